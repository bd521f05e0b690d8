"""`model2vec.inference.StaticModelPipeline`, which takes what model2vec takes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from m2v_core import model as core_model
from m2v_core import pipeline as core
from m2v_core.compat.calls import ordered, positional
from m2v_core.compat.model import MissingModelError, StaticModel
from m2v_core.errors import ModelNotFoundError
from m2v_core.head import MLPHead

__all__ = ["StaticModelPipeline", "evaluate_single_or_multi_label"]


class StaticModelPipeline(core.StaticModelPipeline):
    """`m2v_core.StaticModelPipeline` with the signatures of model2vec's."""

    __module__ = "model2vec.inference.model"

    model: StaticModel

    def __init__(self, model: core_model.StaticModel, head: MLPHead) -> None:
        super().__init__(StaticModel.of(model), head)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], token: str | None = None, **options: Any) -> Self:
        """Load a pipeline; see `m2v_core.StaticModelPipeline.from_pretrained`.

        Raises:
            MissingModelError: There is no pipeline of this name; it is also a ValueError.
        """
        try:
            return super().from_pretrained(path, token=token, **options)
        except ModelNotFoundError as error:
            raise MissingModelError(str(error)) from error

    predict = positional(core.StaticModelPipeline.predict)
    predict_proba = positional(core.StaticModelPipeline.predict_proba)
    push_to_hub = ordered(core.StaticModelPipeline.push_to_hub, "self", "repo_id", "subfolder", "token", "private")


def evaluate_single_or_multi_label(predictions: Any, y: Iterable[Any]) -> dict[str, Any]:
    """Precision, recall and F1 of predicted labels; see `m2v_core.evaluation.classification_report`."""
    from m2v_core.evaluation import classification_report, label_rows

    rows = list(predictions) if np.ndim(predictions) == 2 else predictions  # as many labels for each text
    return classification_report(label_rows(y, "y"), rows)
