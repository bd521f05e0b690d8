from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import pool

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(50, 16)).astype(np.float32)


def reference(table, ids, offsets, weights=None, mapping=None):
    """Text by text, in float64, as the definition says."""
    out = []
    for start, stop in pairwise(offsets):
        rows = [
            table[index if mapping is None else mapping[index]].astype(np.float64)
            * (1 if weights is None else float(weights[index]))
            for index in ids[start:stop]
        ]
        out.append(np.mean(rows, axis=0) if rows else np.zeros(table.shape[1]))
    return np.array(out).reshape(len(offsets) - 1, table.shape[1])


@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=10), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
@pytest.mark.parametrize("extras", ["none", "weights", "mapping", "both"])
def test_mean_equals_the_definition(dtype: str, extras: str, lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = (TABLE * 40).astype(dtype)
    mapping = rng.integers(0, 50, 80) if extras in ("mapping", "both") else None
    weights = rng.random(80 if mapping is not None else 50).astype("f4") if extras in ("weights", "both") else None
    ids = rng.integers(0, 80 if mapping is not None else 50, sum(lengths))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    means = pool.segment_mean(table, ids, offsets, weights, mapping)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, reference(table, ids, offsets, weights, mapping), rtol=2e-5, atol=2e-5)


def test_neighbours_do_not_matter() -> None:
    ids = RNG.integers(0, 50, 40)
    alone = pool.segment_mean(TABLE, ids[10:25], np.array([0, 15]))
    among = pool.segment_mean(TABLE, ids, np.array([0, 10, 25, 25, 40]))
    assert (among[1] == alone[0]).all()
    assert (pool.normalized(among)[1] == pool.normalized(alone)[0]).all()


def test_zeros_stay_zeros() -> None:
    assert not pool.normalized(np.zeros((2, 3), np.float32)).any()
    assert pool.normalized(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_lengths_are_one() -> None:
    np.testing.assert_allclose(np.linalg.norm(pool.normalized(TABLE), axis=1), 1, rtol=1e-6)
