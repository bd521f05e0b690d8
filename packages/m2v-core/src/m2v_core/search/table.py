"""The vectors of an index: rows of unit length, and the exact search among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.search import precision
from m2v_core.search.precision import BITS, VECTORS, Arrays
from m2v_core.search.topk import NONE, Best

#: With bits, the rows for each hit that are compared again by their int8 numbers, and how many at most.
CANDIDATES, _MOST = 100, 10_000

#: Rows that are scored again beyond the k best, since products of matrices round equal rows differently by their place.
_SPARE = 32

#: Queries that are compared at a time, and the scores after which the best are kept.
_QUERIES, _SCORES = 512, 1 << 22

#: Bytes of the rows that are compared at a time if their numbers are not compared as they are: few enough for the
#: processor's cache, and for one query for BLAS not to start threads.
_BYTES, _MANY = 1 << 20, 8


class Table:
    """Rows of unit length, or of zeros, in memory or in a file.

    Args:
        dtype: float32, float16, int8 or binary; see `m2v_core.search.precision`.
        dim: D, the number of dimensions.
        arrays: The arrays of rows that exist already; they are not changed.

    Example:
        >>> table = Table("float32", 2)
        >>> table.append(np.float32([[1, 0], [0, 1], [0.6, 0.8]]))
        >>> best = table.best(np.float32([[0, 1]]), 2)
        >>> best.rows, best.scores
        (array([[1, 2]]), array([[1. , 0.8]], dtype=float32))
    """

    def __init__(self, dtype: str, dim: int, arrays: Arrays | None = None) -> None:
        self.dtype, self.dim = dtype, dim
        self._parts: list[Mapping[str, NDArray[Any]]] = [] if arrays is None else [arrays]
        self._in_file = 1 if self._parts else 0

    def __len__(self) -> int:
        return sum(len(part[VECTORS]) for part in self._parts)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, in memory or in the file."""
        return sum(array.nbytes for part in self._parts for array in part.values())

    def append(self, rows: NDArray[np.float32]) -> None:
        """Add rows [n, D] of unit length or of zeros."""
        if len(rows):
            self._append(precision.packed(rows, self.dtype))

    def extend(self, other: Table) -> None:
        """Add the rows of another table of the same dtype and width."""
        for part in other._parts:
            self._append(part)

    def _append(self, part: Arrays) -> None:
        parts = self._parts
        parts.append(part)
        # Parts grow by the factor two at least, so that they stay few and no row is copied often.
        while len(parts) > self._in_file + 1 and len(parts[-2][VECTORS]) < 2 * len(parts[-1][VECTORS]):
            last, before = parts.pop(), parts.pop()
            parts.append({name: np.concatenate((before[name], last[name])) for name in last})

    def is_known(self) -> NDArray[np.bool_]:
        """[n] whether a row is not of zeros; it reads all rows."""
        known = [piece.any(axis=1) for piece in self.pieces(VECTORS)]
        return np.concatenate(known) if known else np.zeros(0, bool)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows [n, D], as float32."""
        taken = np.empty((len(rows), self.dim), np.float32)
        first = 0
        for part in self._parts:
            here = (rows >= first) & (rows < first + len(part[VECTORS]))
            chosen = rows[here] - first
            taken[here] = precision.unpacked({n: a[chosen] for n, a in part.items() if n != BITS})
            first += len(part[VECTORS])
        return taken

    def best(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Best:
        """The k rows with the highest cosines with each query [q, D] of unit length, exactly (but with bits).

        A score does not depend on other queries or rows. With bits, the candidates are those of the most equal signs.

        Args:
            queries: [q, D] of unit length.
            k: Number of hits; no more than there are rows.
            allowed: [n] whether a row may be a hit. Default: all.
        """
        found = Best(len(queries), k)
        more = min(k * CANDIDATES, _MOST) if self.dtype == "binary" else 0
        n_candidates = min(len(self), max(k + _SPARE, more))
        for start in range(0, len(queries), _QUERIES):
            some = slice(start, start + _QUERIES)
            rows = self._candidates(queries[some], n_candidates, allowed)
            for query, candidates in enumerate(rows, start):
                chosen = candidates[candidates != NONE]
                scores = self.cosines(queries[query], chosen)
                order = np.lexsort((chosen, -scores))[:k]
                found.rows[query, : len(order)] = chosen[order]
                found.scores[query, : len(order)] = scores[order]
        return found

    def cosines(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The cosines [n] of a query [D] of unit length with some rows; each is computed in the same way anywhere.

        It is 0 for NaN and infinities, which a stranger's file may hold: it is not read as a whole before it is used.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            products = np.einsum("nd,d->n", self.take(rows), query)
        return np.asarray(np.where(np.isfinite(products), np.clip(products, -1, 1), 0), np.float32)

    def _candidates(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """The rows [q, k] of the best scores by the arrays that are scanned, -1 where there are fewer."""
        best = Best(len(queries), k)
        scored = precision.agreements if self.dtype == "binary" else precision.cosines
        names = (BITS,) if self.dtype == "binary" else precision.STORED[self.dtype]
        size, step = self._sizes(len(queries))
        first = 0
        for part in self._parts:
            n_rows = len(part[VECTORS])
            for start in range(0, n_rows, size):
                stop = min(start + size, n_rows)
                scores = np.empty((len(queries), stop - start), np.float32)
                with np.errstate(invalid="ignore", over="ignore"):  # see `cosines`
                    for low in range(start, stop, step):
                        high = min(low + step, stop)
                        scored(queries, {n: part[n][low:high] for n in names}, scores[:, low - start : high - start])
                if allowed is not None:
                    scores[:, ~allowed[first + start : first + stop]] = -np.inf
                best.add(scores, first + start)
            first += n_rows
        return best.rows

    def _sizes(self, n_queries: int) -> tuple[int, int]:
        """Rows after which the best are kept, and rows that are compared at a time."""
        size = max(1, _SCORES // n_queries)
        if self.dtype == "float32":
            return size, size
        row = self.dim // 8 + 8 if self.dtype == "binary" and n_queries < _MANY else 4 * self.dim
        return size, max(1, (_BYTES if n_queries < _MANY else 4 * _BYTES) // row)

    def pieces(self, name: str, rows: NDArray[np.int64] | None = None) -> Iterator[NDArray[Any]]:
        """An array of all rows, or of some in ascending order, in pieces of a few megabytes."""
        first = 0
        for part in self._parts:
            n_rows = len(part[VECTORS])
            step = max(1, (1 << 22) // max(1, part[name][:1].nbytes))
            for start in range(0, n_rows, step):
                piece = part[name][start : min(start + step, n_rows)]
                if rows is not None:
                    low, high = np.searchsorted(rows, (first + start, first + start + len(piece)))
                    piece = piece[rows[low:high] - (first + start)]
                yield np.ascontiguousarray(piece)
            first += n_rows
