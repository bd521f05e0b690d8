"""Rows of different lengths in one flat array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Rows that `take` moves at a time, so that the index array stays small.
_ROWS = 65_536


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths.

    Attributes:
        values: [total] the values of all rows, one row after the other.
        offsets: [n + 1] int64; row i is `values[offsets[i]:offsets[i + 1]]`.

    Example:
        >>> rows = Ragged.of([[7, 8], [], [9]])
        >>> len(rows), rows[0].tolist(), rows.lengths.tolist()
        (3, [7, 8], [2, 0, 1])
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Any, dtype: Any = np.int64) -> Ragged:
        """Rows out of a sequence of sequences."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        total = int(lengths.sum())
        return cls.with_lengths(np.fromiter((value for row in rows for value in row), dtype, total), lengths)

    @classmethod
    def with_lengths(cls, values: NDArray[Any], lengths: NDArray[np.int64]) -> Ragged:
        """Rows out of their values and the length of each."""
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.values[start:stop] for start, stop in pairwise(self.offsets.tolist()))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[n] the number of values of each row."""
        lengths: NDArray[np.int64] = self.offsets[1:] - self.offsets[:-1]
        return lengths

    def distinct(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The values of all rows, each once for each row that has it, and the numbers of these rows.

        Example:
            >>> [each.tolist() for each in Ragged.of([[3, 1], [3, 3]]).distinct()]
            [[1, 3, 3], [0, 0, 1]]
        """
        n_rows = max(1, len(self))
        rows = np.repeat(np.arange(len(self)), self.lengths)
        once = np.unique(self.values.astype(np.int64) * n_rows + rows)
        return once // n_rows, once % n_rows

    def take(self, rows: NDArray[Any]) -> Ragged:
        """Some rows, in the order given; a row may be taken more than once.

        Example:
            >>> taken = Ragged.of([[7, 8], [], [9]]).take(np.array([2, 0, 0]))
            >>> taken.values.tolist(), taken.offsets.tolist()
            ([9, 7, 8, 7, 8], [0, 1, 3, 5])
        """
        starts, lengths = self.offsets[rows], self.lengths[rows]
        taken = Ragged.with_lengths(np.empty(int(lengths.sum()), self.values.dtype), lengths)
        for first in range(0, len(rows), _ROWS):
            part = slice(first, first + _ROWS)
            begin, end = taken.offsets[first], taken.offsets[min(first + _ROWS, len(rows))]
            shift = np.repeat(starts[part] - taken.offsets[:-1][part], lengths[part])
            taken.values[begin:end] = self.values[np.arange(begin, end) + shift]
        return taken

    def truncate(self, max_length: int | None) -> Ragged:
        """At most the first `max_length` values of each row; `None` leaves the rows as they are.

        Example:
            >>> Ragged.of([[3, 4], [5]]).truncate(1).values.tolist()
            [3, 5]
        """
        if max_length is None or len(self.values) <= max_length:
            return self
        lengths = self.lengths
        if lengths.max() <= max_length:
            return self
        position = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], lengths)
        return Ragged.with_lengths(self.values[position < max_length], np.minimum(lengths, max_length))

    def without(self, value: Any) -> Ragged:
        """The rows with each occurrence of a value removed; `None` leaves the rows as they are.

        Example:
            >>> rows = Ragged.of([[3, 0], [4]]).without(0)
            >>> rows.values.tolist(), rows.offsets.tolist()
            ([3, 4], [0, 1, 2])
        """
        if value is None:
            return self
        kept = self.values != value
        if kept.all():
            return self
        n_kept = np.concatenate(([0], np.cumsum(kept)))
        return Ragged(self.values[kept], n_kept.take(self.offsets))


def concatenated(parts: Sequence[Ragged], dtype: Any = np.int64) -> Ragged:
    """The rows of all parts in new arrays, one part after the other; without parts no rows, of `dtype`.

    Example:
        >>> rows = concatenated([Ragged.of([[7], []]), Ragged.of([[8, 9]])])
        >>> rows.values.tolist(), rows.offsets.tolist()
        ([7, 8, 9], [0, 1, 1, 3])
    """
    values = np.concatenate([part.values for part in parts] or [np.zeros(0, dtype)])
    return Ragged.with_lengths(values, np.concatenate([part.lengths for part in parts] or [np.zeros(0, np.int64)]))


def merged(mask: NDArray[np.bool_], chosen: Ragged, others: Ragged) -> Ragged:
    """The rows of two groups in one order: where `mask` is true the next of `chosen`, elsewhere the next of `others`.

    Example:
        >>> rows = merged(np.array([False, True]), Ragged.of([[7, 8]]), Ragged.of([[5]]))
        >>> rows.values.tolist(), rows.offsets.tolist()
        ([5, 7, 8], [0, 1, 3])
    """
    lengths = np.empty(len(mask), np.int64)
    lengths[mask], lengths[~mask] = chosen.lengths, others.lengths
    rows = Ragged.with_lengths(np.empty(int(lengths.sum()), chosen.values.dtype), lengths)
    is_chosen = np.repeat(mask, lengths)
    rows.values[is_chosen], rows.values[~is_chosen] = chosen.values, others.values
    return rows
