"""The best rows for queries: by vectors, by words, or by both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m2v_core.search.collection import Collection
from m2v_core.search.topk import NONE, Best, first_largest

#: The best of each part that take part in a join, or as many as are asked for, if that is more.
CANDIDATES = 300


def dense(rows: Collection, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Best:
    """The k rows of the highest cosines with each query [q, D]; none for a query of zeros.

    Args:
        rows: Rows.
        queries: [q, D], each of unit length or of zeros.
        k: Number of hits.
        allowed: [n] whether a row may be a hit. Default: all.
    """
    best = Best(len(queries), k)
    known = np.flatnonzero(queries.any(axis=1))
    if rows.table is not None and len(known):
        found = rows.table.best(queries[known], k, rows.may_be_dense(allowed))
        best.rows[known], best.scores[known] = found.rows, found.scores
    return best


def lexical(rows: Collection, queries: Sequence[str], k: int, allowed: NDArray[np.bool_] | None = None) -> Best:
    """The k rows of the highest BM25 for each query; none without a word in common."""
    best = Best(len(queries), k)
    for number, query in enumerate(queries):
        best.rows[number], best.scores[number] = _above_zero(rows.bm25(query), k, allowed)
    return best


def _above_zero(
    scores: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows and scores of the k highest of some scores [n] that are above zero; -1 where there are fewer."""
    hits = scores > 0 if allowed is None else (scores > 0) & allowed
    best = Best(1, k)
    best.add(np.where(hits, scores, np.float32(-np.inf))[None], 0)
    return best.rows[0], best.scores[0]


def hybrid(
    rows: Collection,
    vectors: NDArray[np.float32],
    queries: Sequence[str],
    k: int,
    allowed: NDArray[np.bool_] | None = None,
) -> Best:
    """The k rows of the highest sum of both, each in standard deviations above the mean of the candidates.

    The candidates are the best of each part. A candidate that only one part has found has a score of the other too.

    Args:
        rows: Rows.
        vectors: [q, D], the vectors of the queries, each of unit length or of zeros.
        queries: The texts of the queries.
        k: Number of hits.
        allowed: [n] whether a row may be a hit. Default: all.
    """
    n = min(len(rows), max(k, CANDIDATES))
    by_vector, best = dense(rows, vectors, n, allowed), Best(len(queries), k)
    for number, query in enumerate(queries):
        bm25 = rows.bm25(query)
        candidates = np.union1d(by_vector.rows[number], _above_zero(bm25, n, allowed)[0])
        candidates = candidates[candidates != NONE]
        scores = standardised(rows.cosines(vectors[number], candidates)) + standardised(bm25[candidates])
        chosen = first_largest(scores, min(k, len(candidates)))
        best.rows[number, : len(chosen)] = candidates[chosen]
        best.scores[number, : len(chosen)] = scores[chosen]
    return best


def standardised(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores [n] brought to mean 0 and variance 1; zeros where all are equal.

    Example:
        >>> standardised(np.float32([1, 3])), standardised(np.float32([2, 2]))
        (array([-1.,  1.], dtype=float32), array([0., 0.], dtype=float32))
    """
    centred = scores - scores.mean() if len(scores) else scores
    deviation = centred.std() if len(scores) else np.float32(0)
    return np.asarray(centred / deviation if deviation > 0 else np.zeros_like(centred))
