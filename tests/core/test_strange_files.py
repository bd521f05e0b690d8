"""Files of strangers that `nox -s fuzz` found: an error that names the file, or the right value."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN, make_model
from m2v_core import M2VError, ModelFormatError, StaticModel
from m2v_core.errors import BadTextError, ModelNotFoundError
from m2v_core.search import Index
from m2v_core.search.files import LEXICAL_FILE
from m2v_core.storage.tensor_file import read_all

ASCII, OTHER = "good day", "gööd 日本 day"


def changed(path: Path, change: Any) -> None:
    raw = json.loads(path.read_text(encoding="utf-8"))
    change(raw)
    path.write_text(json.dumps(raw), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_model().save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def test_every_error_can_be_printed() -> None:
    for error in (M2VError("\ud800"), ModelNotFoundError("a\udcff"), BadTextError("\ud800", 3, "é")):
        assert str(error).encode().startswith((b"\\ud800", b"a\\udcff"))
    assert str(M2VError("é")) == "é"


@pytest.mark.parametrize("name", ["\ud800", "x\udc00"])
def test_names_of_tensors_that_are_no_unicode(folder: Path, name: str) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header[name] = header.pop("embeddings")
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    with pytest.raises(ModelFormatError, match=r"expected a safetensors header; found something else"):
        StaticModel.from_pretrained(folder)


@pytest.mark.parametrize("dtype", ["O", "object", "float32", "V8", "F32\ud800", ""])
def test_dtypes_that_safetensors_has_not(tmp_path: Path, dtype: str) -> None:
    entry = {"dtype": dtype, "shape": [1], "data_offsets": [0, 8]}
    text = json.dumps({"a": entry}).encode()
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(ModelFormatError, match=r"expected (numbers that numpy has|a safetensors header)"):
        read_all(tmp_path / "x")


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "unigram", "wordlevel"])
def test_a_compiled_vocabulary_that_is_not_aligned(tmp_path: Path, kind: str) -> None:
    model, path = make_model(kind), tmp_path / "vocabulary.safetensors"
    model.save_pretrained(tmp_path, compiled=True)
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    for more in range(8):
        path.write_bytes(struct.pack("<Q", size + more) + data[8 : 8 + size] + b" " * more + data[8 + size :])
        loaded = StaticModel.from_pretrained(tmp_path)
        for text in (ASCII, OTHER):
            np.testing.assert_array_equal(loaded.encode(text), model.encode(text))


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 5_000, "../..", "/", "circle/x"])
def test_paths_of_modules(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "m"
    shutil.copytree(GOLDEN / "students/sentence-transformers-nested", folder)
    (folder / "circle").symlink_to("circle")
    changed(folder / "modules.json", lambda raw: raw[0].update(path=path))
    with pytest.raises((ModelFormatError, OSError)):
        StaticModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("version", None),
        ("normalizer", {"type": "BertNormalizer", "clean_text": "yes"}),
        ("normalizer", {"type": "Lowercase\ud800"}),
        ("pre_tokenizer", {"type": "BertPreTokenizer", "more": {}}),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "▁", "prepend_scheme": {}}),
    ],
)
def test_parts_that_the_library_refuses(folder: Path, part: str, value: object) -> None:
    """They are errors once a text needs the library: others have their vectors."""
    changed(folder / "tokenizer.json", lambda raw: raw.update({part: value}))
    try:
        found = StaticModel.from_pretrained(folder).encode([ASCII, OTHER, "good\0day"])
    except M2VError as error:
        assert isinstance(error, ModelFormatError | BadTextError)  # noqa: PT017
    else:
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("wordpiece", lambda model: model.pop("type")),
        ("wordpiece", lambda model: model.update(type=["WordPiece"])),
        ("byte_bpe", lambda model: model["vocab"].update({"!": None})),
        ("unigram", lambda model: model.update(unk_id={})),
        ("unigram", lambda model: model.update(unk_id=1.5)),
        ("unigram", lambda model: model.update(unk_id="1")),
    ],
)
def test_a_vocabulary_of_other_kinds(tmp_path: Path, kind: str, change: Any) -> None:
    make_model(kind).save_pretrained(tmp_path)
    changed(tmp_path / "tokenizer.json", lambda raw: change(raw["model"]))
    try:
        StaticModel.from_pretrained(tmp_path).encode([ASCII, OTHER])
    except ModelFormatError as error:
        assert "tokenizer.json" in str(error)  # noqa: PT017
    else:
        assert kind == "wordpiece"  # the library finds the type out


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_scores_of_words_that_are_none(tmp_path: Path, value: float) -> None:
    index = Index(make_model(), lexical=True)
    index.add([ASCII, "bad"])
    index.save(tmp_path)
    tensors = load_file(tmp_path / LEXICAL_FILE)
    tensors["scores"][0] = value
    save_file(tensors, tmp_path / LEXICAL_FILE)
    with pytest.raises(ModelFormatError, match=r"lexical\.safetensors.*scores should be numbers below 1e\+15"):
        Index.load(tmp_path)
