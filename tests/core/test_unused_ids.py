"""Ids that no token has: their rows are zeros, which no text reaches."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from m2v_core import ModelFormatError, StaticModel, quantize_model
from m2v_core.cli.main import main
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.tokenize.vocabulary import Vocabulary, numbering, tokens_by_id
from tokenizer_files import byte_bpe, special, wordpiece

TEXTS = ["good day", "Bad, sunny days!", "", "unable day", "[CLS] good a"]


def with_hole(*tokens: str, made: str = wordpiece()) -> str:
    """A tokenizer without some tokens, whose ids stay unused."""
    raw = json.loads(made)
    for token in tokens:
        del raw["model"]["vocab"][token]
    return json.dumps(raw)


HOLES = with_hole("good", ",")
WHOLE = Vocabulary.from_json(wordpiece())
UNUSED = [WHOLE.tokens.index("good"), WHOLE.tokens.index(",")]
TABLE = np.random.default_rng(0).normal(size=(len(WHOLE.tokens), 8)).astype(np.float32)


def folder_of(layout: str, path: Path, table: np.ndarray = TABLE) -> Path:
    """A folder as others write it."""
    path.mkdir()
    (path / "tokenizer.json").write_text(HOLES, encoding="utf-8")
    save_file({"embeddings" if layout == "ours" else "embedding.weight": table}, path / "model.safetensors")
    if layout == "ours":
        (path / "config.json").write_text(json.dumps({"model_type": "model2vec"}))
    else:
        (path / "modules.json").write_text(json.dumps([{"type": "StaticEmbedding", "path": ""}]))
    return path


def expected_vectors() -> np.ndarray:
    """By the tokenizers library and the table."""
    tokenizer, unknown = Tokenizer.from_str(HOLES), WHOLE.tokens.index("[UNK]")
    rows = [[i for i in tokenizer.encode(text, add_special_tokens=False).ids if i != unknown] for text in TEXTS]
    return np.stack([TABLE[row].mean(axis=0) if row else np.zeros(8) for row in rows])


def test_tokens_and_ids() -> None:
    vocabulary = Vocabulary.from_json(HOLES)
    assert len(vocabulary.tokens) == len(WHOLE.tokens)
    assert [vocabulary.tokens[index] for index in UNUSED] == ["", ""]
    assert TextTokenizer(HOLES).unused_ids.tolist() == UNUSED
    assert not len(TextTokenizer(wordpiece()).unused_ids)


@pytest.mark.skipif(not hasattr(Tokenizer, "from_str"), reason="the oracle is written for tokenizers 0.2x")
@pytest.mark.parametrize("layout", ["ours", "sentence-transformers"])
def test_vectors_are_those_of_the_ids(layout: str, tmp_path: Path) -> None:
    model = StaticModel.from_pretrained(folder_of(layout, tmp_path / "m"))
    np.testing.assert_allclose(model.encode(TEXTS), expected_vectors(), atol=1e-6)


@pytest.mark.parametrize("layout", ["ours", "sentence-transformers"])
def test_a_hole_is_a_row_of_zeros(layout: str, tmp_path: Path) -> None:
    folder = folder_of(layout, tmp_path / "m")
    model = StaticModel.from_pretrained(folder)
    assert not model.embedding[UNUSED].any()
    assert np.array_equal(np.delete(model.embedding, UNUSED, 0), np.delete(TABLE, UNUSED, 0))
    mapped = StaticModel.from_pretrained(folder, memory_map=True)
    assert not mapped.embedding.flags.owndata
    assert np.array_equal(mapped.encode(TEXTS), model.encode(TEXTS))


def test_the_callers_table_stays() -> None:
    table = TABLE.copy()
    model = StaticModel(table, HOLES)
    assert np.array_equal(table, TABLE)
    assert not model.embedding[UNUSED].any()
    table[UNUSED] = 0
    assert StaticModel(table, HOLES).embedding is table


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    model = StaticModel(TABLE, HOLES)
    model.save_pretrained(tmp_path / "m")
    assert load_file(tmp_path / "m/model.safetensors")["mapping"].tolist() == list(range(len(TABLE)))
    again = StaticModel.from_pretrained(tmp_path / "m")
    assert again.token_mapping is None
    assert again.vocabulary_quantization is None
    assert np.array_equal(again.embedding, model.embedding)
    assert again.tokens == model.tokens
    assert np.array_equal(pickle.loads(pickle.dumps(again)).encode(TEXTS), model.encode(TEXTS))


def test_bytes_have_modules_too(tmp_path: Path) -> None:
    """Nothing is unknown there, so sentence-transformers computes the same: by rows, whatever the mapping says."""
    raw = json.loads(byte_bpe())
    raw["model"]["vocab"]["good"] += 1
    tokenizer = json.dumps(raw)
    StaticModel(np.ones((len(Vocabulary.from_json(tokenizer).tokens), 2), np.float32), tokenizer).save_pretrained(
        tmp_path
    )
    assert (tmp_path / "modules.json").is_file()


@pytest.mark.parametrize("dtype", ["int8", "float16"])
def test_quantized(dtype: str, tmp_path: Path) -> None:
    model = quantize_model(StaticModel(TABLE, HOLES), quantize_to=dtype)
    np.testing.assert_allclose(model.encode(TEXTS), StaticModel(TABLE, HOLES).encode(TEXTS), atol=0.05)
    model.save_pretrained(tmp_path / "m")
    again = StaticModel.from_pretrained(tmp_path / "m")
    assert np.array_equal(again.encode(TEXTS), model.encode(TEXTS))
    assert again.embedding_dtype == dtype


def test_clusters(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="clusters need scikit-learn")
    model = quantize_model(StaticModel(TABLE, HOLES), vocabulary_quantization=20)
    assert np.isfinite(model.encode(TEXTS)).all()
    model.save_pretrained(tmp_path / "m")
    again = StaticModel.from_pretrained(tmp_path / "m")
    assert again.vocabulary_quantization == 20
    assert np.array_equal(again.encode(TEXTS), model.encode(TEXTS))


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder_of("ours", tmp_path / "m")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == len(TABLE)


@pytest.mark.parametrize("layout", ["ours", "sentence-transformers"])
def test_a_row_for_each_token_is_not_one_for_each_id(layout: str, tmp_path: Path) -> None:
    folder = folder_of(layout, tmp_path / "m", TABLE[:-2])
    with pytest.raises(ModelFormatError, match=f"{len(TABLE)} tokens, but embeddings has {len(TABLE) - 2} rows"):
        StaticModel.from_pretrained(folder)


@pytest.mark.parametrize("hole", [False, True])
@pytest.mark.parametrize("distances", [[0], [2], [0, 3], [3, 0], [-30]])
def test_added_tokens_have_the_ids_of_the_library(distances: list[int], hole: bool) -> None:
    """Which gives them the next ones, whatever the file says."""
    raw = json.loads(HOLES if hole else wordpiece())
    raw["added_tokens"] += [special(f"[NEW{i}]", len(WHOLE.tokens) + d) for i, d in enumerate(distances)]
    tokenizer = TextTokenizer(json.dumps(raw))
    for index in range(len(distances)):
        (there,) = tokenizer([f"[NEW{index}]"], None).values.tolist()
        assert tokenizer.vocabulary.tokens[there] == f"[NEW{index}]"
        assert there < tokenizer.n_tokens


@pytest.mark.parametrize(
    "vocab",
    [
        {"a": 0, "b": 5, "c": 5},
        {"a": 3, "[UNK]": 1},
        {},
        [["a", 0.0], ["b", -1.0], ["a", -2.0]],
        [["a", 0.0], ["b", -1.0]],
    ],
)
def test_ids_without_the_tokens(vocab: Any) -> None:
    """The quick way to the ids finds what the tokens have."""
    added = [special("[UNK]", 7), special("new", 3)]
    raw = {"model": {"vocab": vocab, "unk_token": "[UNK]"}, "added_tokens": added}
    token_of, unk_id = tokens_by_id(raw, "x")
    found = numbering(raw, "x")
    assert (found.n_tokens, found.unk_id) == (max(token_of) + 1, unk_id)
    assert found.unused_ids.tolist() == [index for index in range(found.n_tokens) if index not in token_of]
