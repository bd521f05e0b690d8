"""Exports for sentence-transformers, read here as it reads them (live: tests/integration)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from commands import m2v
from conftest import make_model
from m2v_core import InvalidInputError, StaticModel, StaticModelPipeline, quantize_model
from m2v_core.sentence_transformers import save_sentence_transformers

TEXTS = ["good day", "A bad, sunny day", "✪", "", "good ✪ day", "a bad " * 20 + "day"]
UNKNOWN = [index for index, text in enumerate(TEXTS) if "✪" in text]

#: sentence-transformers reads such a file by tokenizers 0.2x.
BYTE_LEVEL = pytest.mark.skipif(tokenizers.__version__ >= "1", reason="tokenizers 1.x refuses add_prefix_space")

TABLES = {
    "float32": {},
    "float16": {"quantize_to": "float16"},
    "float64": {"quantize_to": "float64"},
    "int8": {"quantize_to": "int8"},
    "clusters": {"vocabulary_quantization": 12, "quantize_to": "float16"},
    "clusters of int8": {"vocabulary_quantization": 12, "quantize_to": "int8"},
}


def model_of(kind: str, table: str, **options: object) -> StaticModel:
    model = make_model(kind, **options)
    return quantize_model(model, **TABLES[table]) if TABLES[table] else model


def as_they_read(folder: Path, texts: list[str], *, folds: bool) -> np.ndarray:
    """The vectors of StaticEmbedding and Normalize, in the dtype of the file.

    With `folds` as in version 6.2 and newer, otherwise as in older ones, which read the table alone.
    """
    modules = json.loads((folder / "modules.json").read_text())
    inner = folder / modules[0]["path"]
    tensors, tokenizer = load_file(inner / "model.safetensors"), Tokenizer.from_file(str(inner / "tokenizer.json"))
    table = tensors.get("embedding.weight", tensors.get("embeddings"))
    if folds and "embeddings" in tensors:
        table = table[tensors.get("mapping", slice(None))]
        if "weights" in tensors:
            table = table.astype(np.promote_types(table.dtype, np.float32)) * tensors["weights"][:, None]
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    zeros = np.zeros(table.shape[1], table.dtype)
    exactly = None if table.dtype == np.float16 else np.float64
    means = [table[row].mean(axis=0, dtype=exactly).astype(table.dtype) if row else zeros for row in ids]
    vectors = np.array(means)
    if len(modules) == 1:
        return vectors
    with np.errstate(invalid="ignore"):
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12).astype(vectors.dtype)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", ["wordpiece", "unigram", pytest.param("byte_bpe", marks=BYTE_LEVEL)])
def test_the_vectors_are_the_same(kind: str, table: str, compact: bool, tmp_path: Path) -> None:
    model = model_of(kind, table, normalize=True)
    save_sentence_transformers(model, tmp_path / "out", compact=compact)
    expected = model.encode(TEXTS)
    np.testing.assert_allclose(as_they_read(tmp_path / "out", TEXTS, folds=True), expected, atol=1e-6)
    if not compact:
        np.testing.assert_allclose(as_they_read(tmp_path / "out", TEXTS, folds=False), expected, atol=1e-6)
    again = StaticModel.from_pretrained(tmp_path / "out")
    np.testing.assert_allclose(again.encode(TEXTS), expected, atol=1e-6)
    assert (again.normalize, again.max_length) == (True, 512)
    assert (again.embedding_dtype == model.embedding_dtype) == (compact or table == "float32")
    assert (again.vocabulary_quantization == model.vocabulary_quantization) == (compact or "clusters" not in table)


@BYTE_LEVEL
def test_a_plain_save_in_float16_is_not(tmp_path: Path) -> None:
    """Where the root is: 1e-12 is 0 in float16, so Normalize divides 0 by 0."""
    model = make_model("byte_bpe", dtype="float16", normalize=True)
    model.save_pretrained(tmp_path / "m")
    assert np.isnan(as_they_read(tmp_path / "m", [""], folds=True)).all()


@pytest.mark.parametrize("compact", [False, True])
def test_without_normalisation_unknown_tokens_shorten(
    compact: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model("wordpiece")
    save_sentence_transformers(model, tmp_path / "out", compact=compact)
    assert "counts unknown tokens" in caplog.text
    found, expected = as_they_read(tmp_path / "out", TEXTS, folds=True), model.encode(TEXTS)
    same = [index for index in range(len(TEXTS)) if index not in UNKNOWN]
    np.testing.assert_allclose(found[same], expected[same], atol=1e-6)
    np.testing.assert_allclose(found[4] * 3 / 2, expected[4], atol=1e-6)  # one of three tokens is unknown
    assert not found[2].any()


def test_truncation_counts_unknown_tokens(tmp_path: Path) -> None:
    model = make_model("wordpiece", normalize=True, max_length=2)
    save_sentence_transformers(model, tmp_path / "out")
    texts = ["good day bad", "✪ good day"]
    found, expected = as_they_read(tmp_path / "out", texts, folds=True), model.encode(texts)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[1], model.encode("good"), atol=1e-6)


@pytest.mark.parametrize("compact", [False, True])
def test_a_row_of_nan_for_the_unknown_token(compact: bool, tmp_path: Path) -> None:
    model = make_model("wordpiece", normalize=True)
    table = model.embedding.copy()
    table[model.unk_token_id] = np.nan
    model = StaticModel(table, model.stored.tokenizer_json, model.config)
    save_sentence_transformers(model, tmp_path / "out", compact=compact)
    np.testing.assert_allclose(as_they_read(tmp_path / "out", TEXTS, folds=True), model.encode(TEXTS), atol=1e-6)
    assert np.isnan(model.embedding[model.unk_token_id]).all()


@pytest.mark.parametrize("compact", [False, True])
def test_files(compact: bool, tmp_path: Path) -> None:
    model = make_model("wordpiece", normalize=True)
    model.prompts, model.similarity_fn_name = {"query": "good ", "passage": "bad "}, "dot"
    save_sentence_transformers(model, tmp_path / "out", compact=compact)
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    inner = {"0_StaticEmbedding/model.safetensors", "0_StaticEmbedding/tokenizer.json"}
    assert files == inner | {"config_sentence_transformers.json", "modules.json"}
    config = json.loads((tmp_path / "out" / "config_sentence_transformers.json").read_text())
    assert config.pop("requirements", {}).get("sentence-transformers", {}).get("specifier") == (
        ">=6.2" if compact else None
    )
    assert config == {
        "model_type": "SentenceTransformer",
        "__version__": {"sentence_transformers": "6.2.0" if compact else "3.2.0"},
        "prompts": {"query": "good ", "passage": "bad ", "document": "bad "},
        "default_prompt_name": None,
        "similarity_fn_name": "dot",
    }
    again = StaticModel.from_pretrained(tmp_path / "out")
    assert (again.prompts["query"], again.similarity_fn_name) == ("good ", "dot")
    for encode in ("encode_query", "encode_document"):
        assert np.array_equal(getattr(again, encode)(["day"]), getattr(model, encode)(["day"]))


def test_an_export_replaces_an_export_and_no_model(tmp_path: Path) -> None:
    model = make_model("wordpiece", normalize=True)
    model.save_pretrained(tmp_path / "m")
    with pytest.raises(InvalidInputError, match=r"found config\.json of another model"):
        save_sentence_transformers(model, tmp_path / "m")
    (tmp_path / "out").mkdir()  # where there is no model, files are moved one by one
    (tmp_path / "out" / "README.md").write_text("mine")
    for each in (model, make_model("byte_bpe")):
        save_sentence_transformers(each, tmp_path / "out")
        again = StaticModel.from_pretrained(tmp_path / "out")
        assert (again.n_tokens, again.normalize) == (each.n_tokens, each.normalize)
    assert (tmp_path / "out" / "README.md").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_folders_that_change_places_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: the folder is the working directory, so the two cannot be exchanged."""
    for kind in ("wordpiece", "byte_bpe"):
        (tmp_path / "out").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "out")
        save_sentence_transformers(make_model(kind, normalize=True), tmp_path / "out")
    assert StaticModel.from_pretrained(tmp_path / "out").n_tokens == make_model("byte_bpe").n_tokens


def test_the_command(tmp_path: Path, pipeline_folder: Path) -> None:
    out = tmp_path / "out"
    done = m2v("export", "sentence-transformers", str(pipeline_folder), str(out), "--compact")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"{out}: ")
    expected = StaticModelPipeline.from_pretrained(pipeline_folder).model.encode(TEXTS)
    np.testing.assert_allclose(StaticModel.from_pretrained(out).encode(TEXTS), expected, atol=1e-6)
    assert m2v("export", "sentence-transformers", str(pipeline_folder), str(out), "-q").stderr == ""
    facts = json.loads(m2v("export", "sentence-transformers", str(pipeline_folder), str(out), "--json").stdout)
    size = sum(file.stat().st_size for file in out.rglob("*.safetensors"))
    assert facts == {"folder": str(out), "tokens": len(make_model("wordpiece").tokens), "dimensions": 8, "bytes": size}
    failed = m2v("export", "sentence-transformers", str(pipeline_folder), str(pipeline_folder))
    assert failed.returncode == 1
    assert "Choose another folder" in failed.stderr


@pytest.fixture
def pipeline_folder(tmp_path: Path) -> Path:
    from m2v_core import Layer, MLPHead

    model = make_model("wordpiece", normalize=True)
    head = MLPHead([Layer(np.ones((2, model.dim)), np.zeros(2))], "softmax", ["a", "b"])
    StaticModelPipeline(model, head).save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"
