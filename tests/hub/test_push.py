"""Publishing: what is pushed comes back byte for byte, in one commit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cards import blocks
from conftest import GOLDEN, make_model
from hub.loopback import Hub, Repo
from hub.processes import MODEL, READER, WRITER, Run, fails, files_of, load, loads, push
from m2v_core import InvalidInputError, StaticModel
from m2v_hub.names import path_in
from m2v_hub.staging import files_of as files_to_publish
from m2v_hub.staging import parsed_variants, stage

NEW = "org/new"
MINE = {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.mark.parametrize("part_size", [None, 500])
def test_there_and_back(hub: Hub, python: Run, folder: Path, part_size: int | None) -> None:
    hub.part_size = part_size
    done = loads(push(python, folder, NEW))
    repo = hub.repos[NEW]
    sent = files_of(folder) | {"README.md": repo.files()["README.md"]}
    assert repo.files() == sent | {".gitattributes": repo.files()[".gitattributes"]}
    assert done["url"] == f"{hub.url}/{NEW}"
    assert done["commit"] == repo.refs["main"]
    assert done["files"] == {path: len(data) for path, data in sent.items()}
    assert len(repo.history()) == 2  # the one that made it, and ours
    parts = hub.asked("PUT", "store/")
    assert (len(parts) > 5) if part_size else (len(parts) == 4)
    pulled = Path(loads(python(PULL, NEW)))
    assert {name: data for name, data in files_of(pulled).items() if name in sent} == {
        name: data for name, data in sent.items() if name in {*MINE, "README.md"}
    }
    vectors = np.array(loads(load(python, NEW))["vectors"], np.float32)
    assert np.array_equal(vectors, StaticModel.from_pretrained(folder).encode(["good day", "bad"]))


PULL = "import json, sys; from m2v_hub import download; print(json.dumps(str(download(sys.argv[1]))))"


def test_a_model_in_memory(hub: Hub, python: Run) -> None:
    code = """
from cards import blocks
from conftest import GOLDEN, make_model
import json, sys
from m2v_hub import push_to_hub
done = push_to_hub(make_model(dim=4), "org/new", commit_message="A small one")
print(json.dumps([repr(done), str(done)]))
"""
    shown, url = loads(python(code, HF_TOKEN=WRITER + "\n", PYTHONPATH=python_path()))
    assert shown.startswith(f"Publication(url='{url}', commit='")
    assert hub.repos[NEW].history()[0] == "A small one"
    assert loads(load(python, NEW))["dim"] == 4


def python_path() -> str:
    return os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])


def test_an_earlier_model_goes(hub: Hub, python: Run, folder: Path, tmp_path: Path) -> None:
    """Its files that the new one lacks are deleted, others stay, and an unchanged model is no commit."""
    make_model("wordlevel", normalize=True).save_pretrained(tmp_path / "first")
    first = files_of(tmp_path / "first") | {
        "head.safetensors": b"old",
        "modules.json": b"[]",
        "notes.txt": b"mine",
        "int8/modules.json": b"[]",
    }
    hub.repos[MODEL] = repo = Repo({"main": first})
    make_model(dim=3).save_pretrained(tmp_path / "second")
    done = loads(push(python, tmp_path / "second"))
    assert done["deleted"] == ["head.safetensors", "modules.json"]
    assert repo.files().keys() == {*MINE, "README.md", "notes.txt", "int8/modules.json"}
    assert len(repo.history()) == 2
    again = loads(push(python, tmp_path / "second"))
    assert len(repo.history()) == 2
    assert again["commit"] == done["commit"]
    assert len(hub.asked("PUT", "store/")) == 1


def test_an_interrupted_push_goes_on(hub: Hub, python: Run, folder: Path) -> None:
    """What the store has is not sent again."""
    hub.repos[NEW] = Repo()
    data = (folder / "model.safetensors").read_bytes()
    hub.repos[NEW].lfs |= Repo({"main": {"x.bin": data}}).lfs
    loads(push(python, folder, NEW))
    assert len(hub.asked("PUT", "store/")) == 3
    assert hub.repos[NEW].files()["model.safetensors"] == data


def test_variants(hub: Hub, python: Run, folder: Path, tmp_path: Path) -> None:
    """Several models in one commit, each in its subfolder."""
    model = make_model(dim=8, normalize=True)
    model.save_pretrained(tmp_path / "model")
    hub.repos[NEW] = Repo({"main": {"int8/modules.json": b"[]", "128/config.json": b"{}"}})
    done = loads(push(python, tmp_path / "model", NEW, variants=["int8", "float16", "4d-int8"]))
    assert done["deleted"] == ["int8/modules.json"]
    assert len(hub.repos[NEW].history()) == 2
    texts = ["good day", "bad"]
    for subfolder, dim, options in [
        (None, 8, {}),
        ("int8", 8, {"quantize_to": "int8"}),
        ("float16", 8, {"quantize_to": "float16"}),
        ("4d-int8", 4, {"dimensionality": 4, "quantize_to": "int8"}),
    ]:
        result = loads(load(python, NEW, subfolder=subfolder))
        expected = StaticModel.from_pretrained(tmp_path / "model", **options).encode(texts)
        assert result["dim"] == dim
        assert np.array_equal(np.array(result["vectors"], np.float32), expected)


def test_compiled_vocabularies(hub: Hub, python: Run, tmp_path: Path) -> None:
    """They are published with the model and its variants, and fetched; a push without them deletes them."""
    make_model(dim=8).save_pretrained(tmp_path / "model")
    name = "vocabulary.safetensors"
    done = loads(push(python, tmp_path / "model", NEW, variants=["int8"], compiled=True))
    assert {name, f"int8/{name}"} <= done["files"].keys()
    assert not (tmp_path / "model" / name).exists()
    for subfolder in ("", "int8"):
        pulled = Path(loads(python(PULL, NEW))) if not subfolder else Path(loads(python(PULL_INNER, NEW))) / subfolder
        assert (pulled / name).read_bytes() == hub.repos[NEW].files()[path_in(subfolder, name)]
        model = StaticModel.from_pretrained(pulled)
        assert not isinstance(model.stored.tokenizer, str)
        assert model.encode("good day").shape == (8,)
    assert loads(push(python, tmp_path / "model", NEW))["deleted"] == [name]


def test_an_onnx_export(hub: Hub, python: Run, tmp_path: Path) -> None:
    """It is published with the settings that other programs need; the folder itself stays as it is."""
    pytest.importorskip("onnx", reason="needs onnx: nox -s tests")
    make_model(dim=8, normalize=True).save_pretrained(tmp_path / "model")
    done = loads(push(python, tmp_path / "model", NEW, onnx=True, compiled=True))
    assert {"onnx/model.onnx", "tokenizer_config.json", "special_tokens_map.json"} <= done["files"].keys()
    assert {path.name for path in (tmp_path / "model").iterdir()} == MINE
    assert "js" in dict(blocks(hub.repos[NEW].files()["README.md"].decode()))
    pulled = StaticModel.from_pretrained(Path(loads(python(PULL, NEW))))
    assert not isinstance(pulled.stored.tokenizer, str)  # the compiled vocabulary is of the tokenizer that is there
    np.testing.assert_array_equal(pulled.encode("good day"), make_model(dim=8, normalize=True).encode("good day"))


PULL_INNER = PULL.replace("download(sys.argv[1])", "download(sys.argv[1], subfolder='int8')")


PREDICT = """
import json, sys
from m2v_core import StaticModelPipeline
pipeline = StaticModelPipeline.from_pretrained(sys.argv[1], subfolder=sys.argv[2] or None)
print(json.dumps(pipeline.predict_proba(["good day", "bad"]).tolist()))
"""


def test_a_pipeline(hub: Hub, python: Run, tmp_path: Path) -> None:
    """By its own method, which finds this package; and of its folder a smaller one beside it."""
    code = """
import json, sys
from m2v_core import StaticModelPipeline
pipeline = StaticModelPipeline.from_pretrained(sys.argv[1])
print(json.dumps([pipeline.push_to_hub("org/new", False, sys.argv[2], variants=["int8"]),
                  pipeline.predict_proba(["good day", "bad"]).tolist()]))
"""
    url, expected = loads(python(code, GOLDEN / "heads/softmax", WRITER))
    assert url == f"{hub.url}/{NEW}"
    assert hub.repos[NEW].files().keys() >= {"head.safetensors", "int8/head.safetensors"}
    assert loads(python(PREDICT, NEW, "")) == expected
    assert np.allclose(loads(python(PREDICT, NEW, "int8")), expected, atol=0.05)
    with pytest.raises(InvalidInputError, match="keeps all dimensions"):
        stage(GOLDEN / "heads/softmax", tmp_path / "staged", ["2d"])


def test_branches_subfolders_and_pull_requests(hub: Hub, python: Run, other: Path) -> None:
    repo = hub.repos[MODEL]
    main, head = repo.files(), repo.refs["main"]
    done = loads(push(python, other, revision="v2/rc"))
    assert done["url"] == f"{hub.url}/{MODEL}/tree/v2/rc"
    assert repo.refs["main"] == head
    assert loads(load(python, revision="v2/rc"))["dim"] == 5
    done = loads(push(python, other, subfolder="other/five/", create_pr=True))
    assert done["url"] == f"{hub.url}/{MODEL}/discussions/1"
    assert repo.refs["main"] == head
    assert repo.files("refs/pr/1").keys() == main.keys() | {f"other/five/{name}" for name in {*MINE, "README.md"}}
    assert loads(load(python, revision="refs/pr/1", subfolder="other/five"))["dim"] == 5
    loads(push(python, other, NEW, revision="dev"))  # a branch of a repository that is new
    assert hub.repos[NEW].files().keys() == {".gitattributes"}
    assert loads(load(python, NEW, revision="dev"))["dim"] == 5


def test_cards(hub: Hub, python: Run, other: Path, tmp_path: Path) -> None:
    """Written at each push for the place where the model lies; its code runs; what is written by hand stays."""
    facts = {"license": "mit", "language": "en", "metrics": {"metric": "accuracy", "value": 0.5, "dataset": "org/data"}}
    loads(push(python, other, NEW, **facts))
    first = hub.repos[NEW].files()["README.md"]
    assert first.startswith(b"---\nlanguage:\n- en\nlicense: mit\n")
    assert b"accuracy" in first
    assert "\n(3, 5)\n" in run_card(python, first)
    hub.repos[NEW].write("README.md", first + b"By hand.\r\n", "By hand")
    make_model(dim=7).save_pretrained(tmp_path / "next")
    loads(push(python, tmp_path / "next", NEW))
    second = hub.repos[NEW].files()["README.md"]
    assert second.endswith(b"By hand.\r\n")
    assert b"license: mit" in second
    assert "\n(3, 7)\n" in run_card(python, second)
    (tmp_path / "next/README.md").write_text("# Mine\n")  # that of the folder goes first
    loads(push(python, tmp_path / "next", NEW))
    assert hub.repos[NEW].files()["README.md"].endswith(b"# Mine\n")
    loads(push(python, other, NEW, subfolder="inner/five"))
    assert "\n(3, 5)\n" in run_card(python, hub.repos[NEW].files()["inner/five/README.md"])


def run_card(python: Run, card: bytes) -> str:
    """What the code for m2v-core prints."""
    code = next(code for language, code in blocks(card.decode()) if language == "python" and "m2v_core" in code)
    done = python(code)
    assert done.returncode == 0, done.stderr
    return f"\n{done.stdout}"


def test_private(hub: Hub, python: Run, other: Path) -> None:
    loads(push(python, other, NEW, private=True))
    fails(load(python, NEW), "ModelNotFoundError", "private")
    assert loads(load(python, NEW, token=WRITER))["dim"] == 5
    loads(push(python, other, NEW, private=True))  # it is
    before = hub.repos[MODEL].refs["main"]
    fails(push(python, other, MODEL, private=True), "InvalidInputError", "is public")
    assert hub.repos[MODEL].refs["main"] == before


def test_who_may_not(hub: Hub, python: Run, other: Path) -> None:
    fails(push(python, other, token=None), "InvalidInputError", "HF_TOKEN", "hf auth login")
    fails(push(python, other, token=READER), "TransferError", "status 403", "write")
    fails(push(python, other, "another/model"), "TransferError", "status 403", "rights to create")
    fails(push(python, other, token="hf_" + "unknown" * 3), "TransferError", "status 401")
    fails(push(python, other, variables={"HF_HUB_OFFLINE": "1"}), "TransferError", "HF_HUB_OFFLINE")
    fails(push(python, other, revision="v9", create_pr=True), "ModelNotFoundError", "no revision 'v9'")
    assert not hub.asked("POST", "/commit/")
    assert not hub.asked("PUT", "store/")


def test_what_does_not_load_is_not_pushed(hub: Hub, python: Run, folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_model().save_pretrained(tmp_path / name)
    (tmp_path / "a/tokenizer.json").unlink()
    (tmp_path / "b/model.safetensors").write_bytes((tmp_path / "b/model.safetensors").read_bytes()[:-1])
    fails(push(python, tmp_path / "a"), "ModelNotFoundError", "tokenizer.json is missing")
    fails(push(python, tmp_path / "b"), "ModelFormatError", "model.safetensors")
    fails(push(python, tmp_path / "none"), "ModelNotFoundError", "is not a folder")
    assert hub.requests == []


def test_a_dry_run(hub: Hub, python: Run, other: Path, tmp_path: Path) -> None:
    hub.repos[MODEL] = Repo({"main": {"modules.json": b"[]"}})
    done = loads(push(python, other, token=None, dry_run=True, variants=["int8"]))
    assert done["commit"] is None
    assert done["files"].keys() == {*MINE, "README.md", *(f"int8/{name}" for name in MINE)}
    assert done["deleted"] == ["modules.json"]
    assert {method for method, _ in hub.requests} <= {"GET", "HEAD"}
    for variables in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        assert loads(push(python, other, token=None, dry_run=True, variables=variables))["deleted"] == []
    fails(push(python, other, "nonsense", dry_run=True), "InvalidInputError", "org/name")


def test_a_snapshot_of_the_cache(hub: Hub, python: Run) -> None:
    """The cache's files are links; what they lead to is published."""
    code = f"""
import json
from m2v_hub import download, push_to_hub
folder = download({MODEL!r})
push_to_hub(folder, {NEW!r}, token={WRITER!r})
print(json.dumps(str(folder)))
"""
    pulled = Path(loads(python(code)))
    assert (pulled / "config.json").is_symlink()
    assert {name: hub.repos[NEW].files()[name] for name in MINE} == {
        name: (pulled / name).read_bytes() for name in MINE
    }


# --- staging, without the Hub ----------------------------------------------------------------------------------


def test_hidden_files_stay(folder: Path, tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "model")
    for name in (".env", ".git/config", "onnx/.cache/x", "onnx/model.onnx", "LICENSE"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text("x")
    stage(tmp_path / "model", tmp_path / "staged")
    assert files_of(tmp_path / "staged").keys() == {*MINE, "onnx/model.onnx", "LICENSE"}


def test_links_and_odd_files_are_refused(tmp_path: Path) -> None:
    def refused(name: str, make) -> None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        make_model().save_pretrained(folder)
        make(folder / name)
        with pytest.raises(InvalidInputError, match=r"link out|rename it"):
            stage(folder, tmp_path / "staged")

    (tmp_path / "secret").write_text("secret")
    (tmp_path / "place").mkdir()
    refused("notes.txt", lambda path: path.symlink_to(tmp_path / "secret"))
    refused("dangling", lambda path: path.symlink_to("nowhere"))
    refused("docs", lambda path: path.symlink_to(tmp_path / "place"))
    refused("loop", lambda path: path.symlink_to("."))
    refused("pipe", os.mkfifo)
    for name in ("a\nb", "a\x1b[2J", "a\\b", "c:d", "what?"):
        refused(name, Path.touch)


def test_links_inside_are_followed(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "model")
    (tmp_path / "model/tokenizer.json").rename(tmp_path / "model/vocabulary")
    (tmp_path / "model/tokenizer.json").symlink_to("vocabulary")
    assert files_to_publish(tmp_path / "model").keys() == {*MINE, "vocabulary"}


@pytest.mark.parametrize(
    ("variants", "found"),
    [
        ("int8", "the text 'int8'"),
        (["int9"], "'int9'.*Did you mean 'int8'"),
        (["128"], "'128'"),
        (["0d"], "'0d'"),
        ([""], "''"),
        ({"../up": {"quantize_to": "int8"}}, "'../up'"),
        ({"a": {}}, "vocabulary_quantization; found"),
        ({"a": {"quantise_to": "int8"}}, "Did you mean 'quantize_to'"),
        ({"a": {"normalize": True}}, "normalize"),
    ],
)
def test_variants_that_say_nothing(variants, found: str) -> None:
    with pytest.raises(InvalidInputError, match=found.replace("../", r"\.\./")):
        parsed_variants(variants)


def test_variants_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="dimension"):
        stage(make_model(dim=8), tmp_path / "a", ["9d"])
    make_model().save_pretrained(tmp_path / "model")
    make_model().save_pretrained(tmp_path / "model/int8")
    with pytest.raises(InvalidInputError, match="has a int8 already"):
        stage(tmp_path / "model", tmp_path / "b", ["int8"])
    with pytest.raises(InvalidInputError, match="found int"):
        stage(5, tmp_path / "c")  # type: ignore[arg-type]
