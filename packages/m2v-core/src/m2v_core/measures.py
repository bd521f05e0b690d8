"""Measures of predicted numbers, of vectors and of rankings. For classes see `m2v_core.evaluation`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.vectors import unit

#: Texts whose nearest neighbours are computed at a time.
_BLOCK = 1024


def number_measures(targets: NDArray[Any], predictions: NDArray[Any]) -> dict[str, float | None]:
    """Errors of predicted numbers, and their cosine with the targets if they are vectors.

    Args:
        targets: [n, k] right numbers.
        predictions: [n, k] predicted numbers.

    Returns:
        "mean squared error" and "mean absolute error" over all outputs; "R2", which is 1 - MSE / variance, averaged
        over the outputs that vary (`None` if none does); for k above 1 "mean cosine".

    Example:
        >>> number_measures(np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]]))
        {'mean squared error': 0.5, 'mean absolute error': 0.5, 'R2': 0.5}
    """
    targets, predictions = targets.astype(float), predictions.astype(float)
    squares, spread = ((predictions - targets) ** 2).mean(axis=0), targets.var(axis=0)
    varied = spread > 0
    measures: dict[str, float | None] = {
        "mean squared error": float(squares.mean()),
        "mean absolute error": float(np.abs(predictions - targets).mean()),
        "R2": float((1 - squares[varied] / spread[varied]).mean()) if varied.any() else None,
    }
    if targets.shape[1] > 1:
        measures["mean cosine"] = float((unit(targets) * unit(predictions)).sum(axis=1).mean())
    return measures


def pair_measures(first: NDArray[Any], second: NDArray[Any], texts: Sequence[str]) -> dict[str, float | None]:
    """Similarity of the vectors of paired texts.

    Args:
        first: [n, D] vectors of the first texts.
        second: [n, D] vectors of the second texts, in the same order.
        texts: The n second texts; equal ones count as one.

    Returns:
        "mean cosine of pairs", and "nearest text_b is right": the fraction of the first texts whose nearest second text
        is that of the same pair.

    Example:
        >>> pair_measures(np.eye(2), np.eye(2), ["a", "b"])
        {'mean cosine of pairs': 1.0, 'nearest text_b is right': 1.0}
    """
    first, second = unit(first), unit(second)
    same = np.unique(np.array(texts, object), return_inverse=True)[1]
    blocks = [first[start : start + _BLOCK] @ second.T for start in range(0, len(first), _BLOCK)]
    nearest = np.concatenate([block.argmax(axis=1) for block in blocks])
    return {
        "mean cosine of pairs": float((first * second).sum(axis=1).mean()),
        "nearest text_b is right": float((same[nearest] == same).mean()),
    }


def ndcg(found: Iterable[Sequence[Hashable]], gains: Iterable[Mapping[Any, float]], k: int = 10) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain of the first k entries of rankings, from 0 to 1.

    The discounted cumulative gain is the sum of gain / log2(rank + 1) (Järvelin and Kekäläinen, "Cumulated gain-based
    evaluation of IR techniques", 2002, with the discount of Burges et al., 2005); it is divided by that of the best
    ranking. This is trec_eval's `ndcg_cut`.

    Args:
        found: What was found for each query, the best first.
        gains: For each query the gain of what is relevant; all else has none.
        k: Number of entries that count.

    Returns:
        A value for each query for which anything has a gain above 0, in order.

    Example:
        >>> ndcg([["a", "b", "c"], ["a"]], [{"c": 1.0}, {}]).tolist()
        [0.5]
    """

    def measured(entries: Sequence[Hashable], gain_of: Mapping[Any, float]) -> float:
        best = sorted(gain_of.values(), reverse=True)
        return _discounted([gain_of.get(entry, 0) for entry in entries[:k]]) / _discounted(best[:k])

    return _by_query(found, gains, measured)


def reciprocal_rank(
    found: Iterable[Sequence[Hashable]], gains: Iterable[Mapping[Any, float]], k: int = 10
) -> NDArray[np.float64]:
    """1 / the rank of the first entry of each ranking that is relevant; 0 if it is not among the first k.

    Their mean is MRR@k (Voorhees, "The TREC-8 question answering track report", 1999). Arguments and result are those
    of `ndcg`.

    Example:
        >>> reciprocal_rank([["a", "b", "c"], ["a"]], [{"c": 1.0}, {"b": 2.0}]).round(2).tolist()
        [0.33, 0.0]
    """

    def measured(entries: Sequence[Hashable], gain_of: Mapping[Any, float]) -> float:
        ranks = (rank for rank, entry in enumerate(entries[:k], 1) if gain_of.get(entry, 0) > 0)
        return 1 / next(ranks, np.inf)

    return _by_query(found, gains, measured)


def recall(
    found: Iterable[Sequence[Hashable]], gains: Iterable[Mapping[Any, float]], k: int = 100
) -> NDArray[np.float64]:
    """The fraction of what is relevant that is among the first k entries of each ranking.

    See Manning, Raghavan and Schütze, *Introduction to Information Retrieval*, 8.4. Arguments and result are those of
    `ndcg`.

    Example:
        >>> recall([["a", "b", "c"]], [{"c": 1.0, "d": 1.0}]).tolist()
        [0.5]
    """

    def measured(entries: Sequence[Hashable], gain_of: Mapping[Any, float]) -> float:
        relevant = {entry for entry, gain in gain_of.items() if gain > 0}
        return len(relevant.intersection(entries[:k])) / len(relevant)

    return _by_query(found, gains, measured)


def _discounted(gains: Sequence[float]) -> float:
    return float(np.asarray(gains, float) @ (1 / np.log2(np.arange(2, len(gains) + 2))))


def _by_query(
    found: Iterable[Sequence[Hashable]],
    gains: Iterable[Mapping[Any, float]],
    measured: Callable[[Sequence[Hashable], Mapping[Any, float]], float],
) -> NDArray[np.float64]:
    """A measure of each ranking, of queries for which anything is relevant."""
    pairs = zip(found, gains, strict=True)
    return np.array([measured(*pair) for pair in pairs if max(pair[1].values(), default=0) > 0], float)


def measures_table(measures: Mapping[str, float | None], n: int) -> str:
    """Measures of n texts as a table of text; `-` stands for `None`.

    Example:
        >>> print(measures_table({"R2": 0.5}, 20))
        R2       0.5000
        texts        20
    """
    width = max(len("texts"), *map(len, measures))
    rows = [f"{name:<{width}}  {'-' if value is None else f'{value:.4f}':>8}" for name, value in measures.items()]
    return "\n".join([*rows, f"{'texts':<{width}}  {n:>8}"])
