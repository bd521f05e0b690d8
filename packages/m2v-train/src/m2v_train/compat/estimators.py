"""`model2vec.train`: the estimators, called as model2vec's are."""

from __future__ import annotations

from typing import Any

from m2v_core.compat.calls import ordered
from m2v_core.compat.model import StaticModel
from m2v_core.compat.pipeline import StaticModelPipeline
from m2v_train import classification, legacy, vectors
from m2v_train.estimator import Estimator

__all__ = [
    "StaticModelForClassification",
    "StaticModelForPairSimilarity",
    "StaticModelForRegression",
    "StaticModelForSimilarity",
    "convert_legacy_pipeline",
]

#: Options of `fit` in the order of model2vec's parameters.
_OPTIONS = ("learning_rate", "batch_size", "min_epochs", "max_epochs", "early_stopping_patience", "test_size", "device")


class _Compatible(Estimator):
    """An estimator whose results are of the classes of model2vec's name."""

    def to_static_model(self) -> StaticModel:
        """The trained model without its head."""
        return StaticModel.of(super().to_static_model())

    def to_pipeline(self) -> StaticModelPipeline:
        """The trained model with its head."""
        pipeline = super().to_pipeline()
        return StaticModelPipeline(pipeline.model, pipeline.head)


class StaticModelForClassification(_Compatible, classification.StaticModelForClassification):
    """`m2v_train.StaticModelForClassification`, called as model2vec's."""

    __module__ = "model2vec.train.classifier"

    fit = ordered(
        classification.StaticModelForClassification.fit,
        *("self", "X", "y", *_OPTIONS, "X_val", "y_val", "class_weight"),
        *("validation_steps", "random_seed", "token_dropout", "focal_gamma"),
    )


_TARGETS = ("self", "X", "y", *_OPTIONS, "X_val", "y_val", "validation_steps", "random_seed", "token_dropout")


class StaticModelForSimilarity(_Compatible, vectors.StaticModelForSimilarity):
    """`m2v_train.StaticModelForSimilarity`, called as model2vec's."""

    __module__ = "model2vec.train.similarity"

    fit = ordered(vectors.StaticModelForSimilarity.fit, *_TARGETS)


class StaticModelForRegression(_Compatible, vectors.StaticModelForRegression):
    """`m2v_train.StaticModelForRegression`, called as model2vec's."""

    __module__ = "model2vec.train.regression"

    fit = ordered(vectors.StaticModelForRegression.fit, *_TARGETS)


class StaticModelForPairSimilarity(_Compatible, vectors.StaticModelForPairSimilarity):
    """`m2v_train.StaticModelForPairSimilarity`, called as model2vec's."""

    __module__ = "model2vec.train.pairs"

    fit = ordered(
        vectors.StaticModelForPairSimilarity.fit,
        *("self", "text_a", "text_b", *_OPTIONS, "text_a_val", "text_b_val"),
        *("validation_steps", "random_seed", "temperature", "token_dropout"),
    )


def convert_legacy_pipeline(
    path: Any,
    token: str | None = None,
    trust_remote_code: bool = False,  # noqa: ARG001 - nothing of the file is ever run here
) -> StaticModelPipeline:
    """A pipeline with a head of scikit-learn's; see `m2v_train.convert_legacy_pipeline`."""
    pipeline = legacy.convert_legacy_pipeline(path, token=token)
    return StaticModelPipeline(pipeline.model, pipeline.head)
