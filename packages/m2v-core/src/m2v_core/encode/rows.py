"""Token vectors as rows that can be summed: float32, or float64 for a float64 table, with weights and mapping applied.

Rows of a table that is not like that already are computed when they are needed, and the latest are remembered.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_UNSEEN = 2**62  # no place in any array
_CONVERTED = 1024  # rows at a time
_SUM_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def token_rows(
    table: NDArray[Any],
    ids: NDArray[np.int64],
    weights: NDArray[Any] | None,
    mapping: NDArray[Any] | None,
) -> NDArray[Any]:
    """The vectors of tokens: `table[mapping[id]] * weights[id]`.

    Args:
        table: [R, D], any of the dtypes of the format.
        ids: [n] token ids.
        weights: [V] or `None` for ones.
        mapping: [V] or `None` for the identity.

    Returns:
        [n, D], float64 for a float64 table, else float32.

    Example:
        >>> token_rows(np.eye(2, dtype=np.float32), np.array([1, 1]), np.array([1.0, 3.0]), None)
        array([[0., 3.],
               [0., 3.]], dtype=float32)
    """
    places = ids if mapping is None else mapping.take(ids)
    rows = np.empty((len(ids), table.shape[1]), _sum_dtype(table))
    for start in range(0, len(ids), _CONVERTED):
        rows[start : start + _CONVERTED] = table.take(places[start : start + _CONVERTED], axis=0)
    if weights is not None:
        rows *= weights.take(ids).astype(rows.dtype)[:, None]
    return rows


def with_zero_rows(table: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """A table with zeros in some rows, which no text reaches; a table that is mapped from its file stays as it is.

    Example:
        >>> with_zero_rows(np.eye(2), np.array([1]))
        array([[1., 0.],
               [0., 0.]])
    """
    if not len(rows) or not table[rows].any() or _is_mapped(table):
        return table
    table = table.copy()
    table[rows] = 0
    return table


def _is_mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def _sum_dtype(table: NDArray[Any]) -> np.dtype[Any]:
    return table.dtype if table.dtype in _SUM_DTYPES else np.dtype(np.float32)


class Rows:
    """The rows of a model's tokens. Safe to share between threads.

    Args:
        table: [R, D] embeddings.
        weights: [V] factors of the tokens, or `None`.
        mapping: [V] rows of the tokens, or `None`.
        n_tokens: V.
        max_bytes: How much may be remembered.
    """

    def __init__(
        self,
        table: NDArray[Any],
        weights: NDArray[Any] | None,
        mapping: NDArray[Any] | None,
        *,
        n_tokens: int,
        max_bytes: int,
    ) -> None:
        self._of = table, weights, mapping
        self._as_they_are = weights is None and mapping is None and table.dtype in _SUM_DTYPES
        self._n_tokens = n_tokens
        self._capacity = max_bytes // (_sum_dtype(table).itemsize * table.shape[1])
        self._lock, self._used = threading.Lock(), 0
        if not self._as_they_are:
            self._start_again()

    def of(self, ids: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Rows [m, D], and which of them each of `ids` has [n]: `token_rows(..., ids)` is `rows[places]`."""
        if self._as_they_are:
            return self._of[0], ids
        if len(ids) > self._capacity:
            distinct = self._distinct(ids)
            places = np.empty(self._n_tokens, np.int64)
            places[distinct] = np.arange(len(distinct))
            return self._computed(distinct), places.take(ids)
        with self._lock:
            places = self._places.take(ids)
            if np.count_nonzero(places == _UNSEEN):
                self._learn(self._distinct(ids))
                places = self._places.take(ids)
            return self._kept, places

    def take(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        """`token_rows(..., ids)`, for few ids."""
        if self._as_they_are:
            return self._of[0].take(ids, axis=0)
        with self._lock:
            kept, places = self._kept, self._places.take(ids)
        try:
            return kept.take(places, axis=0)
        except IndexError:  # some are unseen
            some, places = self.of(ids)
            return some.take(places, axis=0)

    def _learn(self, distinct: NDArray[np.int64]) -> None:
        new = distinct.compress(self._places.take(distinct) == _UNSEEN)
        if self._used + len(new) > self._capacity:
            self._start_again()
            new = distinct
        end = self._used + len(new)
        self._kept[self._used : end] = self._computed(new)
        self._places[new] = np.arange(self._used, end)
        self._used = end

    def _computed(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        table, weights, mapping = self._of
        return token_rows(table, ids, weights, mapping)

    def _start_again(self) -> None:
        dim, dtype = self._of[0].shape[1], _sum_dtype(self._of[0])
        self._kept = np.empty((self._capacity, dim), dtype)  # others may still read the old one
        self._places = np.full(self._n_tokens, _UNSEEN)  # of each token among those kept
        self._used = 0

    def _distinct(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        seen = np.zeros(self._n_tokens, bool)
        seen[ids] = True
        return np.flatnonzero(seen)
