from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core.encode import pool
from m2v_core.ragged import Ragged

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(50, 16)).astype(np.float32)


def reference(table, ids, offsets):
    """Text by text, in float64, as the definition says."""
    rows = [table[ids[start:stop]].astype(np.float64) for start, stop in pairwise(offsets)]
    return np.array([one.mean(axis=0) if len(one) else np.zeros(table.shape[1]) for one in rows])


@given(lengths=st.lists(st.integers(0, 150), min_size=1, max_size=14), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mean_equals_the_definition(dtype: str, lengths: list[int], seed: int) -> None:
    table = TABLE.astype(dtype)
    ids = np.random.default_rng(seed).integers(0, 50, sum(lengths))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    means = pool.embed(table, Ragged(ids, offsets))
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, reference(table, ids, offsets), rtol=1e-6, atol=1e-6)
    for start, stop, rows in zip(offsets, offsets[1:], pool.sequences(table, Ragged(ids, offsets)), strict=False):
        assert rows.dtype == np.float32
        assert rows.tolist() == table[ids[start:stop]].tolist()


@given(lengths=st.lists(st.integers(0, 100) | st.just(1200), min_size=9, max_size=40), dim=st.sampled_from([1, 2, 16]))
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_text_alone_has_the_same_bits(dtype: str, lengths: list[int], dim: int, normalize: bool) -> None:
    table = TABLE[:, :dim].astype(dtype)
    ids = np.random.default_rng(sum(lengths)).integers(0, 50, sum(lengths))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    together = pool.embed(table, Ragged(ids, offsets), normalize=normalize)
    pairs = pool.embed(table, Ragged(ids[: offsets[2]], offsets[:3]), normalize=normalize)
    assert pairs.tolist() == together[:2].tolist()
    for place, (start, stop) in enumerate(pairwise(offsets)):
        alone = pool.embed_one(table[ids[start:stop]], normalize=normalize)
        assert alone.tolist() == together[place].tolist()


def sums_one_by_one(rows: list[list[np.float32]]) -> list[np.float32]:
    """In the order that the module states."""
    while len(rows) > 1:
        runs = (rows[start : start + 32] for start in range(0, len(rows), 32))
        rows = [[reduce(add, column) for column in zip(*run, strict=True)] for run in runs]
    return rows[0]


@pytest.mark.parametrize("normalize", [False, True])
def test_the_same_bits_on_every_processor(normalize: bool) -> None:
    """Those of numbers that are added one by one, each sum rounded as IEEE 754 says."""
    lengths = [1, 2, 31, 32, 33, 70, 1100, 19, 20]
    ids, offsets = RNG.integers(0, 50, sum(lengths)), np.concatenate(([0], np.cumsum(lengths)))
    found = pool.embed(TABLE, Ragged(ids, offsets), normalize=normalize)
    for vector, (start, stop) in zip(found, pairwise(offsets), strict=True):
        sums = sums_one_by_one([list(TABLE[token]) for token in ids[start:stop]])
        if normalize:  # NumPy adds along a row in eight sums, which it adds in pairs
            a, b, c, d, e, f, g, h = (one * one + other * other for one, other in zip(sums[:8], sums[8:], strict=True))
            scale = np.sqrt(((a + b) + (c + d)) + ((e + f) + (g + h)))
        else:
            scale = np.float32(stop - start)
        assert vector.tolist() == [float(total / scale) for total in sums]


@pytest.mark.parametrize("n_tokens", [1, 19, 32, 33, 512, 5000])
def test_within_a_millionth_of_float64(n_tokens: int) -> None:
    table = RNG.normal(size=(1000, 256)).astype(np.float32)
    ids = RNG.integers(0, 1000, 20 * n_tokens)
    offsets = np.arange(21) * n_tokens
    exact = reference(table, ids, offsets)
    np.testing.assert_allclose(pool.embed(table, Ragged(ids, offsets)), exact, rtol=0, atol=1e-6)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(pool.embed(table, Ragged(ids, offsets), normalize=True), exact, rtol=0, atol=1e-6)


def test_zeros_stay_zeros() -> None:
    empty = np.zeros(10, np.int64)
    for offsets in (empty[:1], empty[:3], empty):
        vectors = pool.embed(TABLE, Ragged(empty[:0], offsets), normalize=True)
        assert vectors.shape == (len(offsets) - 1, 16)
        assert not vectors.any()


def test_lengths_are_one() -> None:
    vectors = pool.embed(TABLE, Ragged(RNG.integers(0, 50, 400), np.arange(0, 401, 10)), normalize=True)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
