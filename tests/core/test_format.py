"""What is on disk: byte-exact, checked on the way in, replaced in one step."""

from __future__ import annotations

import json
import struct
import threading
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import make_model
from m2v_core import Config, InvalidInputError, ModelFormatError, ModelNotFoundError, StaticModel, quantize_model
from tokenizer_files import byte_bpe, wordlevel

TEXTS = ["good day", "bad, sunny days!", "", "unable"]
FILES = {"config.json", "model.safetensors", "tokenizer.json"}


def saved(folder: Path, **options: object) -> Path:
    make_model(**options).save_pretrained(folder)  # type: ignore[arg-type]
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", Config().by_name())
def test_each_field_of_the_config_is_checked(name: str) -> None:
    with pytest.raises(ModelFormatError, match=rf'here: "{name}" should be .*, found \[3\]'):
        Config.from_json({name: [3]}, "here")
    assert Config.from_json({name: None}).by_name()[name] is (False if name == "normalize" else None)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("max_length", [None, 5])
def test_round_trip(
    tmp_path: Path, any_model: StaticModel, dtype: str, normalize: bool, max_length: int | None
) -> None:
    config = Config(
        normalize=normalize,
        max_length=max_length,
        prompts={"query": "good ", "passage": ""},
        similarity_fn_name="dot",
        base_model="org/teacher",
        language=("en", "de"),
        license="mit",
        pooling="mean",
        apply_pca="auto",
        sif_coefficient=1e-4,
        distillation="composed",
        base_model_revision="0" * 40,
        distillation_settings={"rounds": 6, "prompt": "a: "},
        package_versions={"jax": "0.4"},
        extra={"mine": {"a": [1, None]}},
    )
    model = StaticModel(any_model.embedding, any_model.stored.tokenizer_json, config)
    model = quantize_model(model, quantize_to=dtype)
    model.save_pretrained(tmp_path / "m")
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    assert loaded.config == model.config
    assert loaded.tokens == model.tokens
    assert loaded.embedding_dtype == dtype
    assert np.array_equal(loaded.embedding, model.embedding)
    assert np.array_equal(loaded.encode(TEXTS), model.encode(TEXTS))
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    loaded.save_pretrained(tmp_path / "again")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}


WRONG = {
    "normalize": (1, np.True_, "yes"),
    "max_length": (0, 1.5, True, np.int64(3)),
    "prompts": ({"a": 1}, [("a", "b")]),
    "base_model": (3, b"bytes"),
    "language": (3, [3], ["en"], {"en": 1}),
    "license": (["mit"],),
    "apply_pca": (b"auto", True),
    "sif_coefficient": ("1", True, np.float32(1)),
    "distillation_settings": ({"a": object()}, {"a": {1, 2}}, [1], {"a": 10**5000}),
    "package_versions": ({"a": np.int64(3)},),
    "extra": ({"normalize": "x"}, {"a": object()}, [1], {"max_length": 3}),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_could_not_be_saved_and_loaded_cannot_be_made(name: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=name):
        Config(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config",
    [
        Config(license="\ud800", extra={"a\udfff": ["\ud800 b"]}),
        Config(distillation_settings={"prompt": "\udcff"}, base_model="日本"),
        Config(max_length=int(1e30)),
        Config(prompts=MappingProxyType({"query": "a "}), extra=MappingProxyType({"a": None})),
        Config(sif_coefficient=np.float64(1e-4), extra={"a": float("inf")}),
    ],
)
def test_what_can_be_made_can_be_saved_and_loaded(tmp_path: Path, config: Config) -> None:
    model = make_model(config=config)
    model.save_pretrained(tmp_path / "m")
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    assert loaded.config == model.config
    assert loaded.tokenizer.get_vocab_size() == model.n_tokens  # the library reads it too
    assert np.array_equal(loaded.encode(TEXTS), model.encode(TEXTS))


def test_no_limit_of_transformers(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    model = StaticModel.from_pretrained(tmp_path / "m", max_length=int(1e30))
    assert model.max_length is None
    model.max_length = int(1e30)
    assert model.max_length is None
    assert len(model.encode("good day " * 600, max_length=int(1e30))) == model.dim


@pytest.mark.parametrize("options", [{"base_model_name": 3}, {"language": [3]}, {"language": 3}, {"normalize": 1}])
def test_settings_of_the_wrong_kind(tmp_path: Path, options: dict) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(options)).removesuffix("_name")):
        make_model(**options)
    saved(tmp_path / "m")
    if "normalize" in options:
        with pytest.raises(InvalidInputError, match="normalize should be True, False or None"):
            StaticModel.from_pretrained(tmp_path / "m", **options)


def test_the_bytes_of_a_model(tmp_path: Path) -> None:
    """The format itself: change it only with its version and docs/format.md."""
    table = np.array([[0, 0], [1, 2], [3, 4], [5, 6]], np.float32)
    StaticModel(table, wordlevel(), normalize=True, base_model_name="org/teacher").save_pretrained(tmp_path / "m")
    save_id = json.loads((tmp_path / "m/config.json").read_text())["save_id"]
    assert len(bytes.fromhex(save_id)) == 16
    header = b'{"__metadata__":{"save_id":"%s"},"embeddings":{"dtype":"F32","shape":[4,2],"data_offsets":[0,32]}}'
    header %= save_id.encode()
    header += b" " * (-len(header) % 8)
    expected = struct.pack("<Q", len(header)) + header + table.tobytes()
    assert (tmp_path / "m/model.safetensors").read_bytes() == expected
    assert (tmp_path / "m/config.json").read_text() == (
        '{\n    "model_type": "model2vec",\n    "architectures": [\n        "StaticModel"\n    ],\n'
        '    "normalize": true,\n    "max_length": 512,\n    "base_model": "org/teacher",\n'
        f'    "save_id": "{save_id}"\n}}\n'
    )
    tokenizer = json.loads((tmp_path / "m/tokenizer.json").read_text())
    truncation = {"direction": "Right", "max_length": 512, "strategy": "LongestFirst", "stride": 0}
    assert tokenizer == {**json.loads(wordlevel()), "truncation": truncation}
    assert [m["type"].rsplit(".")[-1] for m in json.loads((tmp_path / "m/modules.json").read_text())] == [
        "StaticEmbedding",
        "Normalize",
    ]


def test_weights_and_mapping_round_trip(tmp_path: Path) -> None:
    model = StaticModel(
        np.ones((2, 3), np.float16),
        wordlevel(),
        weights=np.arange(4, dtype=np.float64),
        token_mapping=np.array([0, 1, 1, 0], np.int32),
    )
    model.save_pretrained(tmp_path / "m")
    assert set(load_file(tmp_path / "m/model.safetensors")) == {"embeddings", "weights", "mapping"}
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    assert loaded.weights.tolist() == [0, 1, 2, 3]
    assert loaded.token_mapping.tolist() == [0, 1, 1, 0]
    assert "modules.json" not in names(tmp_path / "m")


@pytest.mark.parametrize(
    ("options", "zero_unknown", "agrees"),
    [
        ({"kind": "byte_bpe"}, False, True),  # nothing is unknown
        ({"kind": "byte_bpe", "dtype": "float16"}, False, True),
        ({"kind": "wordpiece", "normalize": True}, True, True),
        ({"kind": "wordpiece", "normalize": True}, False, False),  # the unknown token would count
        ({"kind": "wordpiece"}, True, False),  # and so would its share of the divisor
        ({"kind": "byte_bpe", "dtype": "int8"}, False, False),
    ],
)
def test_modules_json_only_where_it_is_true(tmp_path: Path, options: dict, zero_unknown: bool, agrees: bool) -> None:
    model = make_model(**options)
    if zero_unknown:
        model.embedding[model.unk_token_id] = 0
    model.save_pretrained(tmp_path / "m")
    assert ("modules.json" in names(tmp_path / "m")) == agrees


def test_loading_options(tmp_path: Path) -> None:
    saved(tmp_path / "m", normalize=True, max_length=9)
    load = StaticModel.from_pretrained
    assert load(str(tmp_path / "m"), normalize=False, max_length=None).config == Config(max_length=None)
    small = load(tmp_path / "m", quantize_to="int8", dimensionality=3)
    assert (small.embedding_dtype, small.dim, small.max_length) == ("int8", 3, 9)
    saved(tmp_path / "m/inner/most", dim=2)
    assert load(tmp_path / "m", subfolder="inner/most").dim == 2
    make_model(dim=5).save_pretrained(tmp_path / "m", subfolder="inner/other")
    assert load(tmp_path / "m/inner/other").dim == 5
    assert load(tmp_path / "m").dim == 8  # still there


def test_model2vecs_config_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    theirs = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "tokenizer_name": "baai/bge-base-en-v1.5",
        "apply_pca": 0.95,
        "hidden_dim": 768,
        "seq_length": 1000000,
        "normalize": True,
        "embedding_dtype": "float32",
        "apply_zipf": True,
    }
    (tmp_path / "m/config.json").write_text(json.dumps(theirs))
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    assert loaded.base_model_name == "baai/bge-base-en-v1.5"
    assert loaded.max_length == 512
    assert loaded.config.extra == {"apply_zipf": True}
    loaded.save_pretrained(tmp_path / "m")
    assert not {"hidden_dim", "seq_length", "embedding_dtype"} & set(
        json.loads((tmp_path / "m/config.json").read_text())
    )


# --- damage ----------------------------------------------------------------------------------------------------


def fails(folder: Path, *parts: str, kind: type[Exception] = ModelFormatError) -> None:
    with pytest.raises(kind) as caught:
        StaticModel.from_pretrained(folder)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "m")
    (folder / name).unlink()
    fails(folder, name, "Found there", kind=ModelNotFoundError)


def test_an_empty_folder_and_none_at_all(tmp_path: Path) -> None:
    fails(tmp_path, "no static model", "Found there: nothing", kind=ModelNotFoundError)
    fails(tmp_path / "none", "neither a folder", "org/name", kind=ModelNotFoundError)
    (tmp_path / "file").write_text("x")
    fails(tmp_path / "file", "not a folder", kind=ModelNotFoundError)


@pytest.mark.parametrize("keep", [0, 5, 8, 40, -1])
def test_truncated_tensors(tmp_path: Path, keep: int) -> None:
    folder = saved(tmp_path / "m")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:keep])
    found = str(len(whole[:keep]))
    fails(folder, str(folder / "model.safetensors"), "expected", found)


def test_a_header_without_end(tmp_path: Path) -> None:
    """A stranger's header of many bytes is not read to say what is wrong with it (here they are a hole on the disk)."""
    folder = saved(tmp_path / "m")
    with (folder / "model.safetensors").open("wb") as file:
        file.write((1 << 33).to_bytes(8, "little"))
        file.truncate((1 << 33) + 8)
    fails(folder, "model.safetensors", "100000000 bytes at the most", str(1 << 33))


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"embeddings":{"data_offsets":[0,1e999]}}'])
def test_headers_of_no_sense(tmp_path: Path, header: bytes) -> None:
    folder = saved(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    fails(folder, "model.safetensors", "expected a safetensors header", "something else")


def test_surplus_bytes(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")
    fails(folder, "model.safetensors", "expected", "found")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("not json", "line 1"),
        ("[]", "expected an object as the outermost JSON value; found an array"),
        ("[" * 100_000, "nested too deeply"),
        ('{"normalize": "yes"}', '"normalize" should be true or false'),
        ('{"max_length": 0}', "max_length should be"),
        ('{"max_length": true}', "max_length"),
        ('{"max_length": 1.5}', "max_length"),
        ('{"language": [1]}', "language"),
        ('{"base_model": {}}', "base_model"),
        ('{"similarity_fn_name": "cosin"}', "Did you mean 'cosine'?"),
        ('{"model_type": "bert"}', "m2v distill"),
    ],
)
def test_a_damaged_config(tmp_path: Path, content: str, part: str) -> None:
    folder = saved(tmp_path / "m")
    (folder / "config.json").write_text(content)
    fails(folder, str(folder / "config.json"), part)


def test_a_config_of_other_bytes(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    (folder / "config.json").write_bytes(b'{"a": "\xff"}')
    fails(folder, str(folder / "config.json"), "UTF-8")


def test_a_tokenizer_with_more_tokens_than_rows(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", kind="wordlevel")
    (folder / "tokenizer.json").write_text(wordlevel("good", "day", "bad", "more"))
    fails(folder, str(folder), "5 tokens", "4 rows")


def test_another_tokenizer_and_a_broken_one(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    (folder / "tokenizer.json").write_text(byte_bpe())
    fails(folder, str(folder), "tokens", "rows")
    (folder / "tokenizer.json").write_text('{"model": 3}')
    fails(folder, "tokenizer.json")


@pytest.mark.parametrize(
    ("tensors", "part"),
    [
        ({"other": np.ones((4, 2), np.float32)}, "expected the tensor embeddings; found other"),
        ({"embeddings": np.ones((4, 2), np.int64)}, "found I64"),
        ({"embeddings": np.ones(4, np.float32)}, "shape"),
        ({"embeddings": np.ones((3, 2), np.float32)}, "3 rows"),
        ({"embeddings": np.ones((4, 2), np.float32), "weights": np.ones(3, np.float32)}, "weights should hold 4"),
        ({"embeddings": np.ones((4, 2), np.float32), "weights": np.ones(4, np.int64)}, "weights should be one of"),
        ({"embeddings": np.ones((2, 2), np.float32), "mapping": np.array([0, 1, 2, 0])}, "rows 0 to 1"),
        ({"embeddings": np.ones((2, 2), np.float32), "mapping": np.ones(4, np.float32)}, "mapping should be one of"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path: Path, tensors: dict, part: str) -> None:
    folder = saved(tmp_path / "m", kind="wordlevel")
    save_file(tensors, folder / "model.safetensors")
    fails(folder, str(folder), part)


def test_a_dtype_that_is_not_read_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", kind="wordlevel")
    header = b'{"embeddings":{"dtype":"U64","shape":[4,2],"data_offsets":[0,64]}}'
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    fails(folder, "should be one of float16, float32, float64, int8; found U64")


# --- one step --------------------------------------------------------------------------------------------------


def test_files_of_the_user_stay(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", kind="byte_bpe")
    (folder / "README.md").write_text("mine")
    (folder / "data").mkdir()
    (folder / "data/notes.txt").write_text("mine too")
    (folder / "head.safetensors").write_bytes(b"of the old model")
    assert "modules.json" in names(folder)
    with pytest.warns(UserWarning, match="holds a trained head, which this save removes"):
        saved(folder, kind="wordlevel")
    assert names(folder) == FILES | {"README.md", "data"}
    assert (folder / "data/notes.txt").read_text() == "mine too"
    assert names(tmp_path) == {"m"}  # nothing is left beside it
    assert StaticModel.from_pretrained(folder).tokens[1] == "good"


def test_a_folder_without_a_model_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/diary.txt").write_text("dear diary")
    saved(tmp_path / "m")
    assert (tmp_path / "m/diary.txt").read_text() == "dear diary"
    assert StaticModel.from_pretrained(tmp_path / "m").dim == 8
    assert names(tmp_path) == {"m"}


def test_saving_into_the_working_directory(tmp_path: Path, monkeypatch) -> None:
    folder = saved(tmp_path / "m")
    monkeypatch.chdir(folder)
    saved(Path("."), dim=3)
    assert StaticModel.from_pretrained(".").dim == 3
    assert Path.cwd().samefile(folder)


def test_saving_where_only_the_folder_is_ours(tmp_path: Path, monkeypatch) -> None:
    """As in a container with a volume: the staging folder lies inside, and nothing of it stays."""
    folder = saved(tmp_path / "m", kind="byte_bpe")
    (folder / "README.md").write_text("mine")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    saved(folder, kind="wordlevel")
    assert names(folder) == FILES | {"README.md"}
    assert StaticModel.from_pretrained(folder).tokens[1] == "good"


def test_a_link_is_followed(tmp_path: Path) -> None:
    saved(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    saved(tmp_path / "link", dim=3)
    assert (tmp_path / "link").is_symlink()
    assert StaticModel.from_pretrained(tmp_path / "real").dim == 3


def test_others_may_read_it(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_a_failed_save_leaves_the_old_model(tmp_path: Path, monkeypatch) -> None:
    folder = saved(tmp_path / "m")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("m2v_core.storage.format.write_json", lambda *_: (folder / "no/such/folder").touch())
    with pytest.raises(FileNotFoundError, match="no/such/folder"):
        make_model(dim=3).save_pretrained(folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert names(tmp_path) == {"m"}


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a file")
    with pytest.raises(OSError, match="m"):
        saved(tmp_path / "m")
    assert (tmp_path / "m").read_text() == "a file"
    assert names(tmp_path) == {"m"}


def test_readers_see_one_model_or_the_other(tmp_path: Path) -> None:
    """Two models take turns in one folder while it is read: tables, tokens and config are never mixed."""
    small = make_model("wordlevel", dim=2, base_model_name="small")
    large = make_model("byte_bpe", dim=3, base_model_name="large")
    small.save_pretrained(tmp_path / "m")
    stop = threading.Event()
    failures: list[BaseException] = []
    seen: set[tuple[int, int, str | None]] = set()

    def read() -> None:
        try:
            while not stop.is_set():
                found = StaticModel.from_pretrained(tmp_path / "m")
                seen.add((found.dim, len(found.tokens), found.base_model_name))
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(60):
        (large if turn % 2 else small).save_pretrained(tmp_path / "m")
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert seen <= {(2, len(small.tokens), "small"), (3, len(large.tokens), "large")}
    assert names(tmp_path) == {"m"}
