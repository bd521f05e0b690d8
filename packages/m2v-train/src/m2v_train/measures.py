"""How good a trained pipeline is on texts that it was not trained on, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from m2v_core import StaticModelPipeline
from m2v_core.evaluation import report_table
from m2v_train.data.examples import Examples

_Vectors = Float[np.ndarray, "n k"]


def of_classes(pipeline: StaticModelPipeline, held: Examples) -> str:
    """Precision, recall and F1 of each class; see `StaticModelPipeline.evaluate`."""
    return report_table(pipeline.evaluate(held["X"], held["y"]))


def of_numbers(pipeline: StaticModelPipeline, held: Examples) -> str:
    """Errors of predicted numbers, over all outputs.

    R2 is 1 - MSE / variance, the mean over outputs that vary.
    """
    true, found = np.array(held["y"]), pipeline.predict(held["X"]).astype(float)
    squares, spread = ((found - true) ** 2).mean(axis=0), true.var(axis=0)
    varied = spread > 0
    measures = {
        "mean squared error": squares.mean(),
        "mean absolute error": np.abs(found - true).mean(),
        "R2": (1 - squares[varied] / spread[varied]).mean() if varied.any() else None,
    }
    return _table(measures, len(true))


def of_vectors(pipeline: StaticModelPipeline, held: Examples) -> str:
    """Cosines of predicted vectors with the right ones."""
    return _table({"mean cosine": _cosines(pipeline.predict(held["X"]), np.array(held["y"])).mean()}, len(held["X"]))


def of_pairs(pipeline: StaticModelPipeline, held: Examples) -> str:
    """How near texts are that belong together, and how often they are the nearest of all."""
    first, second = (_unit(pipeline.predict(held[name])) for name in ("text_a", "text_b"))
    ranked = [first[start : start + 1024] @ second.T for start in range(0, len(first), 1024)]
    right = np.concatenate([block.argmax(axis=1) for block in ranked])
    texts = np.unique(held["text_b"], return_inverse=True)[1]
    measures = {
        "mean cosine of pairs": (first * second).sum(axis=1).mean(),
        "nearest text_b is right": (texts[right] == texts).mean(),
    }
    return _table(measures, len(first))


def _cosines(one: _Vectors, other: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    return np.asarray((_unit(one) * _unit(other)).sum(axis=1))


def _unit(vectors: _Vectors) -> _Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _table(measures: Mapping[str, Any], n: int) -> str:
    width = max(map(len, measures))
    lines = [f"{name:<{width}}  {'-' if value is None else f'{value:.4f}':>8}" for name, value in measures.items()]
    return "\n".join([*lines, f"{'texts':<{width}}  {n:>8}"])
