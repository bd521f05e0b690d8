"""Measures of predicted numbers and vectors. For classes see `m2v_core.evaluation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
