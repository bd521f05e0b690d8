"""The best of many scores, and vectors as float32, float16, int8 and bits."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2v_core.search import precision, topk
from m2v_core.search.precision import STORED, agreements, as_unit, packed, unpacked
from m2v_core.search.table import Table
from m2v_core.search.topk import NONE, Best, first_largest

FEW = [-np.inf, -1.0, 0.0, 0.25, 0.5, 1.0, np.nan]


def reference(scores: np.ndarray, k: int) -> tuple[list[int], list[float]]:
    """By sorting: the largest first, and of equal ones the first."""
    hits = [(-score, row) for row, score in enumerate(scores.tolist()) if score > -np.inf]
    return [row for _, row in sorted(hits)[:k]], [-score for score, _ in sorted(hits)[:k]]


@given(
    st.lists(st.lists(st.sampled_from(FEW), min_size=3, max_size=3), max_size=40),
    st.integers(1, 50),
    st.lists(st.integers(1, 9), max_size=20),
)
def test_the_best_of_blocks_are_those_of_a_sort(columns: list[list[float]], k: int, sizes: list[int]) -> None:
    scores = np.array(columns, np.float32).reshape(-1, 3).T
    best, start = Best(3, k), 0
    with patch.object(topk, "_FIRST", 5):
        for size in [*sizes, 1000]:
            best.add(scores[:, start : start + size], start)
            start += size
    for query in range(3):
        rows, values = reference(scores[query], k)
        assert best.rows[query].tolist() == rows + [NONE] * (k - len(rows))
        assert best.scores[query].tolist() == values + [-np.inf] * (k - len(rows))


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=1, max_size=60), st.integers(1, 60))
def test_first_largest(values: list[float], k: int) -> None:
    scores = np.array(values, np.float32)
    assert first_largest(scores, min(k, len(scores))).tolist() == reference(scores, k)[0]


def random_rows(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return as_unit(np.random.default_rng(seed).normal(size=(n, dim)))


@pytest.mark.parametrize("dim", [1, 8, 63, 64, 100])
@pytest.mark.parametrize("dtype", STORED)
def test_rows_come_back(dtype: str, dim: int) -> None:
    rows = np.concatenate((random_rows(50, dim), np.zeros((1, dim), np.float32)))
    arrays = packed(rows, dtype)
    assert {name: array.dtype.name for name, array in arrays.items()} == dict(STORED[dtype])
    widths = precision.widths(dtype, dim)
    assert {name: array.shape[1:] for name, array in arrays.items()} == widths
    tolerance = {"float32": 0, "float16": 1e-3}.get(dtype, 1 / 127)
    np.testing.assert_allclose(unpacked(arrays), rows, atol=tolerance)
    assert not unpacked(arrays)[-1].any()
    if dtype in ("int8", "binary"):
        np.testing.assert_allclose(np.linalg.norm(unpacked(arrays)[:-1], axis=1), 1, atol=1e-6)
    out = np.empty((len(rows), len(rows)), np.float32)
    precision.cosines(rows, arrays, out)
    np.testing.assert_allclose(out, rows @ unpacked(arrays).T, atol=1e-6)


def test_float16_are_widened_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    np.testing.assert_array_equal(precision.widened(finite), finite.astype(np.float32))
    assert np.signbit(precision.widened(np.float16([-0.0])))[0]


@pytest.mark.parametrize("count", [precision._count, precision._count_by_table])
@pytest.mark.parametrize("dim", [1, 63, 100, 700])
@pytest.mark.parametrize("n_queries", [3, 20])
def test_bits_agree_where_signs_do(n_queries: int, dim: int, count: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_count", count)
    queries, rows = random_rows(n_queries, dim), random_rows(40, dim, 1)
    rows[3] = -rows[5]
    equal = ((queries > 0)[:, None] == (rows > 0)).sum(axis=2)
    out = np.empty((n_queries, 40), np.float32)
    agreements(queries, packed(rows, "binary"), out)
    np.testing.assert_array_equal(out - out[:, :1], equal - equal[:, :1])


def test_unit_vectors_of_any_numbers() -> None:
    for array in (np.array([[-128, 0]], np.int8), np.array([[3e38, 0]], np.float32), np.array([[5e-324, 0]])):
        assert np.abs(as_unit(array.astype(np.result_type(array.dtype, np.float32)))).tolist() == [[1, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_table_is_searched_exactly(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of few scores, in parts of any size, and with rows that may be no hits."""
    monkeypatch.setattr("m2v_core.search.table._SCORES", 100)
    monkeypatch.setattr("m2v_core.search.table._QUERIES", 4)
    monkeypatch.setattr("m2v_core.search.table._BYTES", 150)
    rows, queries = random_rows(300, 16), random_rows(9, 16, 1)
    rows[50:60] = rows[:10]  # equal scores
    table = Table(dtype, 16)
    for start in (0, 1, 2, 7, 100, 299):
        stop = {0: 1, 1: 2, 2: 7, 7: 100, 100: 299, 299: 300}[start]
        table.append(rows[start:stop])
    np.testing.assert_allclose(table.take(np.arange(300)[::-1]), rows[::-1], atol=0.01)
    exact = queries.astype(np.float64) @ table.take(np.arange(300)).astype(np.float64).T
    allowed = np.random.default_rng(2).random(300) > 0.5
    for mask in (None, allowed):
        shown = exact if mask is None else np.where(mask, exact, -np.inf)
        found = table.best(queries, 12, mask)
        for query in range(9):
            expected = np.sort(shown[query])[::-1][:12]
            np.testing.assert_allclose(found.scores[query], expected, atol=1e-6)
            np.testing.assert_allclose(shown[query, found.rows[query]], expected, atol=1e-6)
            equal = [np.flatnonzero(found.rows[query] == row) for row in range(10)]
            twins = [np.flatnonzero(found.rows[query] == row + 50) for row in range(10)]
            assert all(a < b for a, b in zip(equal, twins, strict=True) if len(a) and len(b))


def test_a_score_is_the_same_in_any_company() -> None:
    rows, queries = random_rows(200, 33), random_rows(20, 33, 1)
    whole, part = Table("float32", 33), Table("float32", 33)
    whole.append(rows)
    part.append(rows[:50])
    together = whole.best(queries, 200)
    for query in range(20):
        alone = whole.best(queries[query : query + 1], 200)
        assert alone.rows[0].tolist() == together.rows[query].tolist()
        assert alone.scores[0].tolist() == together.scores[query].tolist()
        fewer = part.best(queries[query : query + 1], 50)
        scores = dict(zip(together.rows[query].tolist(), together.scores[query].tolist(), strict=True))
        assert [scores[row] for row in fewer.rows[0].tolist()] == fewer.scores[0].tolist()


def test_bits_find_nearly_all_and_score_as_int8() -> None:
    rows, queries = random_rows(3000, 64), random_rows(20, 64, 1)
    rows[:200] = as_unit(queries.repeat(10, axis=0) + 0.1 * random_rows(200, 64, 2))
    tables = {dtype: Table(dtype, 64) for dtype in ("binary", "int8")}
    for table in tables.values():
        table.append(rows)
    bits, whole = (tables[dtype].best(queries, 10) for dtype in ("binary", "int8"))
    np.testing.assert_array_equal(bits.rows, whole.rows)
    np.testing.assert_array_equal(bits.scores, whole.scores)
