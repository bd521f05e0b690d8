"""Rows of different lengths, against lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import ragged
from m2v_core.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=12)


def lists(rows: Ragged) -> list[list[int]]:
    return [rows[i].tolist() for i in range(len(rows))]


@settings(deadline=None)
@given(rows=ROWS, data=st.data())
def test_rows_are_those_of_the_lists(rows: list[list[int]], data: st.DataObject) -> None:
    ours = Ragged.of(rows)
    assert lists(ours) == rows
    assert ours.lengths.tolist() == [len(row) for row in rows]
    limit = data.draw(st.one_of(st.none(), st.integers(1, 6)))
    assert lists(ours.truncate(limit)) == [row[:limit] for row in rows]
    assert lists(ours.without(3)) == [[value for value in row if value != 3] for row in rows]
    assert [row.tolist() for row in ours] == rows
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)) if rows else []
    assert lists(ours.take(np.array(index, int))) == [rows[i] for i in index]


def test_many_rows_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragged, "_ROWS", 2)
    assert lists(Ragged.of([[1, 2], [], [3]]).take(np.array([2, 0, 1, 0, 2]))) == [[3], [1, 2], [], [1, 2], [3]]


def test_rows_out_of_range() -> None:
    with pytest.raises(IndexError):
        Ragged.of([[1]])[1]


@given(groups=st.lists(ROWS, max_size=4))
def test_groups_of_rows_one_after_the_other(groups: list[list[list[int]]]) -> None:
    assert lists(ragged.concatenated([Ragged.of(rows) for rows in groups])) == [row for rows in groups for row in rows]


@settings(deadline=None)
@given(rows=ROWS, data=st.data())
def test_two_groups_in_one_order(rows: list[list[int]], data: st.DataObject) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), bool)
    chosen, others = ([row for row, is_in in zip(rows, group, strict=True) if is_in] for group in (mask, ~mask))
    assert lists(ragged.merged(mask, Ragged.of(chosen), Ragged.of(others))) == rows
