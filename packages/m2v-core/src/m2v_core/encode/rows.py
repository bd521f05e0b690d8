"""Token vectors as rows that can be summed: float32, or float64 for a float64 table, with weights and mapping applied.

If a table's own rows are not of that form, rows are computed when they are needed, and cached.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.forking import is_held, renew_in_forks

_MISSING = 2**62  # no position in any array
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
    indices = ids if mapping is None else mapping.take(ids)
    rows = np.empty((len(ids), table.shape[1]), _sum_dtype(table))
    for start in range(0, len(ids), _CONVERTED):
        rows[start : start + _CONVERTED] = table.take(indices[start : start + _CONVERTED], axis=0)
    if weights is not None:
        factors = weights.take(ids)[:, None]
        try:
            with np.errstate(over="raise", invalid="ignore"):
                rows *= factors.astype(rows.dtype)
        except FloatingPointError:
            return _products(table.take(indices, axis=0), factors, rows.dtype)
    return rows


def _products(rows: NDArray[Any], factors: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The same products, of which finite ones beyond the range of the dtype are its largest number."""
    most = np.finfo(dtype).max
    with np.errstate(over="ignore", invalid="ignore"):
        factors = np.where(np.isinf(factors), factors, np.clip(factors, -most, most)).astype(dtype)
        products = rows.astype(dtype) * factors
    is_beyond = np.isinf(products) & np.isfinite(rows) & np.isfinite(factors)
    return np.asarray(np.where(is_beyond, np.copysign(most, products), products))


def with_zero_rows(table: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """A table with zeros in the given rows, which no text uses; a table that is mapped from its file is not changed.

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
    """The rows of a model's tokens, with a cache; it may be shared between threads.

    Args:
        table: [R, D] embeddings.
        weights: [V] factors of the tokens, or `None`.
        mapping: [V] rows of the tokens, or `None`.
        n_tokens: V.
        max_bytes: Bytes that the cache may use.
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
        self._source = table, weights, mapping
        self._is_direct = weights is None and mapping is None and table.dtype in _SUM_DTYPES
        self._n_tokens = n_tokens
        self._capacity = max_bytes // (_sum_dtype(table).itemsize * table.shape[1])
        self._lock, self._used = threading.Lock(), 0
        if not self._is_direct:
            self._reset()
            renew_in_forks(self)

    def after_fork(self) -> None:
        """Begin anew if a thread of the parent process held the lock."""
        if is_held(self._lock):
            self._lock = threading.Lock()
            self._reset()

    @property
    def dim(self) -> int:
        """D, the number of dimensions."""
        return int(self._source[0].shape[1])

    def of(self, ids: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Rows [m, D], and the position among them of each id [n]: `token_rows(..., ids)` is `rows[positions]`."""
        if self._is_direct:
            return self._source[0], ids
        if len(ids) > self._capacity:
            distinct = self._distinct(ids)
            positions = np.empty(self._n_tokens, np.int64)
            positions[distinct] = np.arange(len(distinct))
            return self._computed(distinct), positions.take(ids)
        with self._lock:
            positions = self._positions.take(ids)
            if np.count_nonzero(positions == _MISSING):
                self._add(self._distinct(ids))
                positions = self._positions.take(ids)
            return self._cached, positions

    def take(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        """`token_rows(..., ids)`, for few ids."""
        if self._is_direct:
            return self._source[0].take(ids, axis=0)
        with self._lock:
            cached, positions = self._cached, self._positions.take(ids)
        try:
            return cached.take(positions, axis=0)
        except IndexError:  # some are missing
            rows, positions = self.of(ids)
            return rows.take(positions, axis=0)

    def _add(self, distinct: NDArray[np.int64]) -> None:
        new = distinct.compress(self._positions.take(distinct) == _MISSING)
        if self._used + len(new) > self._capacity:
            self._reset()
            new = distinct
        end = self._used + len(new)
        self._cached[self._used : end] = self._computed(new)
        self._positions[new] = np.arange(self._used, end)
        self._used = end

    def _computed(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        table, weights, mapping = self._source
        return token_rows(table, ids, weights, mapping)

    def _reset(self) -> None:
        self._cached = np.empty((self._capacity, self.dim), _sum_dtype(self._source[0]))  # others may read the old one
        self._positions = np.full(self._n_tokens, _MISSING)  # of each token among the cached rows
        self._used = 0

    def _distinct(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        seen = np.zeros(self._n_tokens, bool)
        seen[ids] = True
        return np.flatnonzero(seen)
