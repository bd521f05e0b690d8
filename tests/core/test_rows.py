from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from m2v_core.encode.rows import Rows, token_rows

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
@pytest.mark.parametrize("extras", [False, True])
@pytest.mark.parametrize("max_bytes", [0, 4 * 4 * 10, 10**6])
def test_rows_are_those_of_the_table(dtype: str, extras: bool, max_bytes: int) -> None:
    table = (RNG.normal(size=(50, 4)) * 30).astype(dtype)
    weights = RNG.random(80).astype(np.float32) if extras else None
    mapping = RNG.integers(0, 50, 80) if extras else None
    n_tokens = 80 if extras else 50
    rows = Rows(table, weights, mapping, n_tokens=n_tokens, max_bytes=max_bytes)

    def job(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for size in [0, 1, 3, 7, 10, 11, 40] * 20:
            ids = rng.integers(0, n_tokens, size)
            found, positions = rows.of(ids)
            assert found.dtype == (np.float64 if dtype == "float64" else np.float32)
            assert found[positions].tolist() == token_rows(table, ids, weights, mapping).tolist()
            ids = rng.integers(0, n_tokens, size)
            assert rows.take(ids).tolist() == token_rows(table, ids, weights, mapping).tolist()

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(job, range(8)))


def test_rows_are_as_the_definition_says() -> None:
    table = np.array([[1, -2], [100, 7]], np.int8)
    weights, mapping = np.array([0.5, 2, 1], np.float32), np.array([1, 0, 0])
    assert token_rows(table, np.array([0, 1, 2, 1]), weights, mapping).tolist() == [
        [50, 3.5],
        [2, -4],
        [1, -2],
        [2, -4],
    ]


def test_every_float16_becomes_the_same_float32() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(4096, 16)
    rows = token_rows(halves, np.arange(4096), None, None)
    assert np.array_equal(rows.view(np.uint32), halves.astype(np.float32).view(np.uint32))
