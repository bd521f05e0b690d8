"""Rows of any length as two flat arrays: all values, and where each row ends. Pure functions on those."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, Integer, Shaped

#: Rows that are moved at a time, so that places take little memory.
_ROWS = 65_536


def lengths_of(ends: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """How many values each row has.

    Example:
        >>> lengths_of(np.array([2, 2, 5])).tolist()
        [2, 0, 3]
    """
    return np.diff(ends, prepend=np.int64(0))


def take_rows(
    values: Shaped[np.ndarray, " total"], ends: Int64[np.ndarray, " n"], rows: Integer[np.ndarray, " m"]
) -> tuple[Shaped[np.ndarray, " taken"], Int64[np.ndarray, " m"]]:
    """Some rows, in the order given, as values and ends.

    Example:
        >>> values, ends = take_rows(np.array([7, 8, 9]), np.array([2, 2, 3]), np.array([2, 0, 0]))
        >>> values.tolist(), ends.tolist()
        ([9, 7, 8, 7, 8], [1, 3, 5])
    """
    lengths = lengths_of(ends)
    new_ends = np.cumsum(lengths[rows])
    taken = np.empty(int(new_ends[-1]) if len(rows) else 0, values.dtype)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        counts = lengths[part]
        filled = new_ends[start : start + len(part)] - counts
        places = np.arange(counts.sum()) + np.repeat(ends[part] - counts - (filled - filled[0]), counts)
        taken[filled[0] : filled[0] + len(places)] = values[places]
    return taken, new_ends
