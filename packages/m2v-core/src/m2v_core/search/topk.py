"""The k best of many scores, while blocks of scores come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Row of a place that no hit takes.
NONE = -1

#: Scores of a query that are looked through at first.
_FIRST = 4096


class Best:
    """The k highest scores of each query among the blocks of scores seen so far.

    Of equal scores the one of the lower row is better. Scores that are NaN or minus infinity are no hits.

    Args:
        n_queries: Number of queries, q.
        k: Number of hits of each.

    Attributes:
        rows: [q, k] int64, the best first; -1 where there are fewer hits.
        scores: [q, k] float32 beside them, minus infinity where there are fewer hits.

    Example:
        >>> best = Best(1, 2)
        >>> best.add(np.float32([[0.1, 0.5, np.nan]]), 0)
        >>> best.add(np.float32([[0.5, 0.2]]), 3)
        >>> best.rows, best.scores
        (array([[1, 3]]), array([[0.5, 0.5]], dtype=float32))
    """

    def __init__(self, n_queries: int, k: int) -> None:
        self.rows = np.full((n_queries, k), NONE, np.int64)
        self.scores = np.full((n_queries, k), -np.inf, np.float32)

    def add(self, scores: NDArray[np.float32], first_row: int) -> None:
        """Take the scores [q, n] of n rows, the first of which is `first_row`; rows come in ascending order.

        The first scores are looked through in small parts, so that few of the others are better than the best so far.
        """
        start, n = 0, scores.shape[1]
        while start < n:
            stop = start + max(_FIRST, first_row + start)
            self._add(scores[:, start:stop], first_row + start)
            start = stop

    def _add(self, scores: NDArray[np.float32], first_row: int) -> None:
        better = scores > self.scores[:, -1:]
        for query in np.flatnonzero(better.any(axis=1)):
            columns = np.flatnonzero(better[query])
            merged = np.concatenate((self.scores[query], scores[query, columns]))
            rows = np.concatenate((self.rows[query], columns + first_row))
            chosen = first_largest(merged, self.rows.shape[1])
            self.scores[query], self.rows[query] = merged[chosen], rows[chosen]


def first_largest(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of the k largest scores [n], the largest first; of equal ones, the first.

    Args:
        scores: [n] without NaN, k or more of them.
        k: Their number.

    Example:
        >>> first_largest(np.float32([1, 3, 2, 3, 3]), 2)
        array([1, 3])
    """
    kept = np.arange(len(scores))
    if len(scores) > 4 * k:  # sorting a few is faster than finding the k-th
        limit = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = scores > limit
        above[np.flatnonzero(scores == limit)[: k - int(above.sum())]] = True
        kept = np.flatnonzero(above)
    order = np.argsort(-scores[kept], kind="stable")[:k]
    return np.asarray(kept[order], np.int64)
