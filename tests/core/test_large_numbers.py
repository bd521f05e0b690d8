"""Finite numbers give finite vectors, also where sums, squares and products are beyond the range of float32."""

from __future__ import annotations

import numpy as np
import pytest

from m2v_core import Layer, MLPHead, StaticModel
from m2v_core.encode import pool
from m2v_core.encode.rows import token_rows
from m2v_core.ragged import Ragged
from m2v_core.similarity import similarity, similarity_pairwise
from m2v_core.vectors import unit
from tokenizer_files import wordlevel

#: numpy warns of such numbers before the mean is computed in another way.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")

MOST = float(np.finfo(np.float32).max)
LARGE = 3e38


@pytest.mark.parametrize("n_texts", [1, 3, 20])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_means(n_texts: int, dtype: str) -> None:
    table = np.array([[LARGE, -LARGE], [LARGE, 1], [1, 2], [3, 5]], dtype)
    texts = Ragged.of([[0, 1], [2, 3], [0, 0, 0], []] * n_texts)
    expected = np.float32([[LARGE, -LARGE / 2], [2, 3.5], [LARGE, -LARGE], [0, 0]] * n_texts)
    np.testing.assert_allclose(pool.embed(table, texts), expected, rtol=1e-6)
    found = pool.embed(table, texts, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(found.astype(float), axis=1), [1, 1, 1, 0] * n_texts, rtol=1e-6)
    np.testing.assert_allclose(found[2], [0.5**0.5, -(0.5**0.5)], rtol=1e-6)


def test_a_vector_does_not_depend_on_others_with_large_numbers() -> None:
    table = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    table[0] = LARGE
    texts = [np.random.default_rng(seed).integers(1, 50, 40).tolist() for seed in range(30)]
    for normalize in (True, False):
        alone = pool.embed(table, Ragged.of(texts), normalize=normalize)
        beside = pool.embed(table, Ragged.of([*texts, [0, 0]]), normalize=normalize)
        np.testing.assert_array_equal(beside[:-1], alone)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_model(precision: str) -> None:
    table = np.array([[0, 0], [1e300, 1e300], [1, 2]])
    model = StaticModel(table, wordlevel("good", "day"), normalize=False)
    assert model.encode("good").tolist() == [MOST, MOST]
    assert model.encode(["day", "good"]).tolist() == [[1, 2], [MOST, MOST]]
    assert model.encode_as_sequence("good").tolist() == [[MOST, MOST]]
    np.testing.assert_allclose(
        model.encode("good", normalize=True, truncate_dim=1, precision=precision), np.ones(1), rtol=1e-3
    )


def test_weights() -> None:
    table, ids = np.float32([[LARGE, 1], [2, 3]]), np.array([0, 1])
    assert token_rows(table, ids, np.float32([10, -2]), None).tolist() == [[MOST, 10], [-4, -6]]
    assert token_rows(table, ids, np.array([1e300, 0.5]), None).tolist() == [[MOST, MOST], [1, 1.5]]
    assert np.isnan(token_rows(np.float32([[np.nan, 1]]), ids[:1], np.float32([MOST]), None)).tolist() == [
        [True, False]
    ]


def test_similarities() -> None:
    rows = np.float32([[LARGE, LARGE], [LARGE, -LARGE], [1, 0]])
    np.testing.assert_allclose(
        similarity(rows, rows), [[1, 0, 0.5**0.5], [0, 1, 0.5**0.5], [0.5**0.5, 0.5**0.5, 1]], rtol=1e-6, atol=1e-7
    )
    assert similarity(rows, rows, "dot").tolist()[0] == [MOST, 0, np.float32(LARGE)]
    for name in ("euclidean", "manhattan"):
        assert similarity(rows, rows, name)[0, 1] == similarity_pairwise(rows[0], rows[1], name) == -MOST
    np.testing.assert_array_equal(unit(np.float32([[3, 4], [LARGE, 0]])), np.float32([[0.6, 0.8], [1, 0]]))


def test_heads() -> None:
    layer = Layer(np.float32([[LARGE, -LARGE], [-LARGE, LARGE], [1, 1]]), np.zeros(3, np.float32))
    head = MLPHead([layer], "softmax", ["a", "b", "c"])
    logits = head.logits(np.float32([[2, 1], [100, 100], [2, 1e-3]]))
    np.testing.assert_allclose(logits, np.float32([[LARGE, -LARGE, 3], [0, 0, 200], [MOST, -MOST, 2.001]]), rtol=1e-6)
    assert head.labels(logits).tolist() == ["a", "c", "a"]
    assert head.probabilities(logits).tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_text_of_many_tokens_has_the_bits_of_its_rows(dtype: str) -> None:
    """Its rows are gathered block by block, in the same order."""
    table = np.random.default_rng(0).normal(size=(50, 3)).astype(dtype)
    for n in (pool.MANY, pool.MANY + 1, 40_000):
        ids = np.random.default_rng(n).integers(0, 50, n)
        for normalize in (True, False):
            found = pool.embed(table, Ragged.of([ids.tolist()]), normalize=normalize)[0]
            np.testing.assert_array_equal(found, pool.embed_one(table[ids], normalize=normalize))
