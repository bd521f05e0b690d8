"""`m2v pull` and `m2v push`, as a user or a CI job runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import GOLDEN, make_model
from hub.loopback import Hub, Repo
from hub.processes import COMMAND, MODEL, POINTS, READER, SECRET, WRITER, Run, files_of, loads
from m2v_core import StaticModel

MINE = {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.fixture
def m2v(python: Run) -> Run:
    return lambda *arguments, **variables: python(COMMAND, *arguments, **variables)


def printed(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("m2v: error: ")
    assert len(done.stderr.splitlines()) == 1
    for part in parts:
        assert part in done.stderr


def test_info_of_a_name(m2v: Run) -> None:
    done = m2v("info", MODEL, "--json")
    assert loads(done)["dimensions"] == 8
    assert done.stderr == ""
    refused(m2v("info", "org/none"), "The Hub has no model org/none")


def test_pull(hub: Hub, m2v: Run, folder: Path) -> None:
    place = Path(printed(m2v("pull", MODEL)))
    assert StaticModel.from_pretrained(place).dim == 8
    hub.requests.clear()
    assert printed(m2v("pull", MODEL, "--cached")) == str(place)
    assert hub.requests == []
    assert printed(m2v("pull", MODEL, "--force")) == str(place)
    assert len(hub.asked("GET", "store/")) == 1
    small = printed(m2v("pull", MODEL, "--subfolder", "small/int8"))
    assert StaticModel.from_pretrained(small).dim == 3
    refused(m2v("pull", MODEL, "--cached", "--revision", "v1"), "not in the cache")
    refused(m2v("pull", "org/private"), "private")
    assert printed(m2v("pull", "org/private", HF_TOKEN=SECRET))


def test_pull_into_a_folder(hub: Hub, m2v: Run, folder: Path, tmp_path: Path) -> None:
    """Plain files, all of the model and nothing else; what else is in the folder stays."""
    out = tmp_path / "out"
    printed(m2v("pull", MODEL, "--out", out))
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert files_of(out) == {name: (folder / name).read_bytes() for name in [*MINE, "README.md"]} | files_like(folder)
    (out / "notes.txt").write_text("mine")
    printed(m2v("pull", MODEL, "--revision", "v1", "--out", out))
    assert StaticModel.from_pretrained(out).dim == 5
    assert files_of(out).keys() == MINE | {"notes.txt"}


def test_pull_as_json(hub: Hub, m2v: Run, tmp_path: Path) -> None:
    """With `--out` too; and `-q` leaves stderr to errors, also on a terminal."""
    result = loads(m2v("pull", MODEL, "--json", "--out", tmp_path / "out", "-q"))
    assert result == {"model": MODEL, "commit": hub.repos[MODEL].refs["main"], "folder": str(tmp_path / "out")}


def test_where_nothing_can_be_written_nothing_is_fetched(hub: Hub, m2v: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file/inside"):
        refused(m2v("pull", MODEL, "--out", out), "a folder")
    assert hub.requests == []
    assert (tmp_path / "file").read_text() == "mine"


def files_like(folder: Path) -> dict[str, bytes]:
    return {"modules.json": (folder / "modules.json").read_bytes()} if (folder / "modules.json").is_file() else {}


def test_pull_a_layout_of_others(hub: Hub, m2v: Run, tmp_path: Path) -> None:
    """sentence-transformers' nested layout, twice into the same folder."""
    source = next(path.parent.parent for path in GOLDEN.glob("students/*/0_StaticEmbedding/model.safetensors"))
    hub.repos["org/nested"] = Repo({"main": files_of(source)})
    for _ in range(2):
        printed(m2v("pull", "org/nested", "--out", tmp_path / "out"))
        assert StaticModel.from_pretrained(tmp_path / "out").dim == StaticModel.from_pretrained(source).dim


def test_push_from_ci(hub: Hub, m2v: Run, tmp_path: Path) -> None:
    """The token comes from the environment; there is no option for it, which others could read in a list of processes."""
    make_model().save_pretrained(tmp_path / "model")
    done = m2v("push", tmp_path / "model", "org/new", "--variant", "int8", "--message", "From CI", HF_TOKEN=WRITER)
    assert printed(done) == f"{hub.url}/org/new"
    assert hub.repos["org/new"].history()[0] == "From CI"
    assert hub.repos["org/new"].files().keys() >= MINE | {"README.md"} | {f"int8/{name}" for name in MINE}
    done = m2v("push", tmp_path / "model", "org/new", "--compiled", HF_TOKEN=WRITER)
    assert done.returncode == 0
    assert "vocabulary.safetensors" in hub.repos["org/new"].files()
    done = m2v("push", tmp_path / "model", "org/new", "--token", WRITER)
    assert done.returncode == 2
    refused(m2v("push", tmp_path / "model", "org/new"), "HF_TOKEN")
    refused(m2v("push", tmp_path / "model", MODEL, HF_TOKEN=READER), "status 403")
    refused(m2v("push", tmp_path / "model", MODEL, "--private", HF_TOKEN=WRITER), "is public")
    refused(m2v("push", tmp_path / "none", MODEL, HF_TOKEN=WRITER), "is not a folder")


def test_options_of_the_card(hub: Hub, m2v: Run, other: Path, tmp_path: Path) -> None:
    """They are checked before anything is asked of the Hub: a mistake makes no empty repository."""
    (tmp_path / "own.md").write_text("a\n{{ nope }}")
    for options, parts in (
        (["--metrics", "none.json"], ["found 'none.json'", "no such file"]),
        (["--template", tmp_path / "own.md"], ["own.md, line 2", "nope"]),
        (["--base-model", "my model"], ["such as 'org/name'"]),
        (["--variant", "int9"], ["Did you mean 'int8'?"]),
    ):
        refused(m2v("push", other, "org/new", *options, HF_TOKEN=WRITER), *parts)
    assert hub.requests == []
    done = m2v("push", other, "org/new", "--base-model", "org/teacher", "--language", "en", "--json", HF_TOKEN=WRITER)
    result = loads(done)
    assert (result["url"], result["commit"]) == (f"{hub.url}/org/new", hub.repos["org/new"].refs["main"])
    assert result["deleted"] == []
    assert result["files"]["README.md"] == len(hub.repos["org/new"].files()["README.md"])
    assert b"\nbase_model: org/teacher\n" in hub.repos["org/new"].files()["README.md"]


def test_a_dry_run(hub: Hub, m2v: Run, other: Path) -> None:
    hub.repos[MODEL] = Repo({"main": {"head.safetensors": b"old"}})
    done = m2v("push", other, MODEL, "--dry-run", "--create-pr", "--license", "mit", "--language", "en")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {words[-1]: words[0] for words in lines} == dict.fromkeys([*MINE, "README.md"], "upload") | {
        "head.safetensors": "delete"
    }
    assert ["upload", f"{(other / 'tokenizer.json').stat().st_size:,}", "tokenizer.json"] in lines
    assert done.stderr == f"nothing was published at {hub.url}/{MODEL}\n"
    assert m2v("push", other, MODEL, "--dry-run", "-q").stderr == ""
    assert loads(m2v("push", other, MODEL, "--dry-run", "--json", "-q"))["commit"] is None
    assert hub.asked("POST", "") == []


def test_the_help(m2v: Run) -> None:
    shown = printed(m2v("--help"))
    assert "download a model from the Hub" in shown
    assert "HF_TOKEN" in printed(m2v("push", "--help"))
    code = "import sys; from m2v_core.cli.main import build_parser; build_parser(); "
    heavy = '{"huggingface_hub", "jinja2", "yaml"} & {*sys.modules}'
    command = [sys.executable, "-c", f"{POINTS}{code} print(sorted({heavy}))"]  # not a fork, which has them
    assert printed(subprocess.run(command, capture_output=True, text=True, check=False)) == "[]"
    assert json.dumps("not installed: pip install m2v-hub") not in shown
