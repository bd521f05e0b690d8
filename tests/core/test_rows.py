from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from m2v_core.pool import token_rows
from m2v_core.rows import Rows

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
            assert rows.take(ids).tolist() == token_rows(table, ids, weights, mapping).tolist()

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(job, range(8)))
