"""Live: prompts, similarities and stored vectors against sentence-transformers (nox -s interop)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

model2vec = pytest.importorskip("model2vec", reason="needs model2vec and sentence-transformers: nox -s interop")
pytest.importorskip("sentence_transformers", reason="needs model2vec and sentence-transformers: nox -s interop")

from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings

from conftest import GOLDEN, make_model
from m2v_core import StaticModel, verify
from m2v_core.encode.output import as_precision
from m2v_core.similarity import similarity, similarity_pairwise
from m2v_core.storage.format import SIMILARITIES

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]  # the peers warn of their own parts

TEXTS = ["good day", "bad, sunny days!", "unable day", "good good good bad"]


def their_model(prompts: dict[str, str]) -> SentenceTransformer:
    model = SentenceTransformer(str(GOLDEN / "students" / "sentence-transformers"), device="cpu")
    model.prompts = prompts
    return model


@pytest.mark.parametrize(
    "prompts",
    [
        {},
        {"query": "good ", "document": "bad "},
        {"query": "good ", "passage": "bad ", "corpus": "days "},
        {"query": "", "document": "", "passage": "bad "},
        {"corpus": "days ", "other": "sunny "},
    ],
)
def test_the_same_prompts(tmp_path: Path, prompts: dict[str, str]) -> None:
    theirs = their_model(prompts)
    theirs.similarity_fn_name = "dot"
    theirs.save_pretrained(str(tmp_path / "m"))
    ours = StaticModel.from_pretrained(tmp_path / "m")
    np.testing.assert_allclose(ours.encode_query(TEXTS), theirs.encode_query(TEXTS), atol=1e-6)
    np.testing.assert_allclose(ours.encode_document(TEXTS), theirs.encode_document(TEXTS), atol=1e-6)
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-6)
    for name in prompts:
        expected = theirs.encode_query(TEXTS, prompt_name=name)
        if any(prompts.values()):  # a folder whose prompts are all empty has none here
            np.testing.assert_allclose(ours.encode_query(TEXTS, prompt_name=name), expected, atol=1e-6)
    first, second = ours.encode(TEXTS), ours.encode(TEXTS[::-1])
    assert ours.similarity_fn_name == "dot"
    np.testing.assert_allclose(ours.similarity(first, second), theirs.similarity(first, second), atol=1e-5)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_the_same_similarities(name: str) -> None:
    model = their_model({})
    model.similarity_fn_name = name
    random = np.random.default_rng(0)
    first, second = (random.normal(size=(count, 64)).astype(np.float32) for count in (40, 30))
    first[3] = 0
    np.testing.assert_allclose(similarity(first, second, name), model.similarity(first, second), atol=2e-4, rtol=1e-4)
    pairs = model.similarity_pairwise(first[:30], second)
    np.testing.assert_allclose(similarity_pairwise(first[:30], second, name), pairs, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
@pytest.mark.parametrize("dim", [1, 7, 8, 9, 64, 300])
@pytest.mark.parametrize("scale", [1e-3, 1, 50])
def test_the_same_bytes(precision: str, dim: int, scale: float) -> None:
    random = np.random.default_rng(0)
    vectors = (random.normal(size=(300, dim)) * scale).astype(np.float32)
    vectors[random.random(vectors.shape) < 0.1] = 0
    ranges = np.stack([vectors[:50].min(axis=0), vectors[:50].max(axis=0)])
    theirs = quantize_embeddings(vectors, precision, ranges=ranges)
    ours = as_precision(vectors, precision, ranges if precision in ("int8", "uint8") else None)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()


def test_the_peers_ignore_what_is_new(tmp_path: Path) -> None:
    model = make_model("wordlevel", normalize=True)
    table = model.embedding.copy()
    table[model.unk_token_id] = 0  # so that sentence-transformers computes the same
    model = StaticModel(table, model.stored.tokenizer_json, normalize=True).calibrate(TEXTS)
    model.prompts, model.similarity_fn_name = {"query": "good "}, "dot"
    assert model.ranges is not None
    model.save_pretrained(tmp_path / "m")
    for theirs in (
        model2vec.StaticModel.from_pretrained(tmp_path / "m"),
        SentenceTransformer(str(tmp_path / "m"), device="cpu"),
    ):
        np.testing.assert_allclose(theirs.encode(TEXTS), model.encode(TEXTS), atol=1e-6)


def test_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What differs is what docs/format.md says, and each difference has its reason."""
    model = make_model("wordpiece", normalize=True, max_length=512)
    table = model.embedding.copy()
    table[model.unk_token_id] = 0
    for dtype, expected in (("float32", "unknown token"), ("float16", "float16")):
        made = StaticModel(table.astype(dtype), model.stored.tokenizer_json, normalize=True, max_length=512)
        made.save_pretrained(tmp_path / dtype)
        found = verify(tmp_path / dtype)
        assert [reading.problem for reading in found.readings] == [None, None]
        for reading in found.readings:
            with capsys.disabled():
                print(f"\n{dtype}: {reading}", end="")
            reasons = [group.reason for group in reading.differences]
            assert all("no reason" not in reason for reason in reasons)
            assert any(expected in reason for reason in reasons)
            if dtype == "float32":
                assert sum(group.texts for group in reading.differences) <= 2, "the long texts"
