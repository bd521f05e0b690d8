"""Rows of a table as float32, remembered for tables that hold something else."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.pool import token_rows


class Rows:
    """The vectors of tokens, for few tokens at a time. Safe to share between threads.

    A row of a float16 or int8 table, or of one with weights, is computed once and then kept as float32.

    Args:
        table: [R, D] embeddings.
        weights: [V] factors of the tokens, or `None`.
        mapping: [V] rows of the tokens, or `None`.
        n_tokens: V.
        max_bytes: How much may be kept.
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
        self._plain = weights is None and mapping is None and table.dtype in (np.float32, np.float64)
        self._capacity = 0 if table.dtype == np.float64 else max_bytes // (4 * table.shape[1])
        self._n_tokens = n_tokens
        self._lock = threading.Lock()
        if not self._plain and self._capacity:
            self._start_again()

    def take(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        """The vectors of tokens [n, D], the same as `token_rows` gives."""
        table, weights, mapping = self._of
        if self._plain:
            return table.take(ids, axis=0)
        if not 0 < len(ids) <= self._capacity:
            return token_rows(table, ids, weights, mapping)
        with self._lock:
            places = self._places.take(ids)
            if places.min() < 0:
                places = self._learned(ids)
            kept = self._kept
        return kept.take(places, axis=0)

    def _learned(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        new = np.unique(ids[self._places.take(ids) < 0])
        if self._used + len(new) > self._capacity:
            self._start_again()
            new = np.unique(ids)
        self._kept[self._used : self._used + len(new)] = token_rows(self._of[0], new, *self._of[1:])
        self._places[new] = np.arange(self._used, self._used + len(new))
        self._used += len(new)
        return self._places.take(ids)

    def _start_again(self) -> None:
        self._kept = np.empty((self._capacity, self._of[0].shape[1]), np.float32)  # others may still read the old one
        self._places = np.full(self._n_tokens, -1, np.int32)  # of each token among those kept
        self._used = 0
