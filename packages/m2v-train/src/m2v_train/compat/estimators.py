"""`model2vec.train`: the estimators, called as model2vec's are."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np

import m2v_core as core
from m2v_core.aliases import aliased
from m2v_core.compat.calls import ordered
from m2v_core.compat.model import MissingModelError, StaticModel
from m2v_core.compat.pipeline import StaticModelPipeline
from m2v_core.errors import ModelNotFoundError
from m2v_core.options import defaults_of
from m2v_train import classification, legacy, pairs, vectors
from m2v_train.config import TrainConfig
from m2v_train.engine.fitting import Problem
from m2v_train.estimator import DEFAULT_MODEL, Estimator

__all__ = [
    "BaseFinetuneable",
    "StaticModelForClassification",
    "StaticModelForPairSimilarity",
    "StaticModelForRegression",
    "StaticModelForSimilarity",
    "convert_legacy_pipeline",
]

#: What a model may be made of, in place of a model; no parameters in the sense of scikit-learn.
_PARTS = ("vectors", "tokenizer", "token_mapping", "weights")

#: Options of `fit` in the order of model2vec's parameters.
_OPTIONS = ("learning_rate", "batch_size", "min_epochs", "max_epochs", "early_stopping_patience", "test_size", "device")


_fit_classifier = ordered(
    classification.StaticModelForClassification.fit,
    *("self", "X", "y", *_OPTIONS, "X_val", "y_val", "class_weight"),
    *("validation_steps", "random_seed", "token_dropout", "focal_gamma"),
)


class BaseFinetuneable(Estimator):
    """An estimator that is made as model2vec's are, and whose results are of the classes of that name.

    A subclass may have keywords of its own, and a head of its own by `construct_head`; see
    `m2v_train.estimator.Estimator`.

    Args:
        model: Static model to start from.
        vectors: [V, D] its table, in place of a model; an array or a tensor.
        tokenizer: Its tokenizer.
        token_mapping: [V] its mapping.
        weights: [V] its weights.
        out_dim: Number of outputs; it follows from the targets, except for pairs.
        options: Options of the class.

    Attributes:
        out_dim: Number of outputs: before `fit` the one that was given, or 2; `None` for pairs is that of the model.
    """

    __module__ = "model2vec.train.base"

    out_dim: int | None

    def __init__(
        self,
        model: core.StaticModel | None = None,
        *,
        vectors: Any = None,
        tokenizer: Any = None,
        token_mapping: Any = None,
        weights: Any = None,
        out_dim: int | None = None,
        **options: Any,
    ) -> None:
        if vectors is not None:
            arrays = {"weights": _array(weights), "token_mapping": _array(token_mapping)}
            model = StaticModel(_array(vectors), tokenizer, **arrays)
        if model is not None and options.get("max_length", "model") == "model":
            options["max_length"] = model.max_length
        if self._has_out_dim():
            options["out_dim"] = out_dim
        else:
            self.out_dim = out_dim or 2
        super().__init__(model, **options)

    @classmethod
    def _has_out_dim(cls) -> bool:
        return "out_dim" in defaults_of(cls.config_class)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        left_out = {*_PARTS} if cls._has_out_dim() else {*_PARTS, "out_dim"}
        return sorted(set(super()._get_param_names()) - left_out)

    @classmethod
    def _keywords(cls) -> list[str]:
        return [*super()._keywords(), "out_dim"]

    @classmethod
    @aliased
    def from_pretrained(cls, path: str | os.PathLike[str] = DEFAULT_MODEL, **options: Any) -> Self:
        """Make an estimator that starts from a model in a folder or on the Hub; options are those of the class.

        Raises:
            MissingModelError: There is no model of this name; it is also a ValueError.
        """
        try:
            return super().from_pretrained(path, **options)
        except ModelNotFoundError as error:
            raise MissingModelError(str(error)) from error

    @property
    def embed_dim(self) -> int:
        """Dimensions of the model."""
        dim: int = self.model.dim
        return dim

    def _train(self, problem: Problem, config: TrainConfig) -> Self:
        super()._train(problem, config)
        if not self._has_out_dim():
            self.out_dim = problem.out_dim
        return self

    def to(self, device: Any) -> Self:
        """The estimator itself; `fit(device=)` chooses where it is trained."""
        del device
        return self

    def to_static_model(self) -> StaticModel:
        """The trained model without its head."""
        return StaticModel.of(super().to_static_model())

    def to_pipeline(self) -> StaticModelPipeline:
        """The trained model with its head."""
        pipeline = super().to_pipeline()
        return StaticModelPipeline(pipeline.model, pipeline.head)


class StaticModelForClassification(BaseFinetuneable, classification.StaticModelForClassification):
    """`m2v_train.StaticModelForClassification`, called as model2vec's."""

    __module__ = "model2vec.train.classifier"

    def fit(self, *args: Any, **options: Any) -> Self:
        """Train on texts and labels; `classes_` is a list then, as in model2vec."""
        _fit_classifier(self, *args, **options)
        self.classes_ = self.classes_.tolist()
        return self

    @property
    def classes(self) -> np.ndarray:
        """[C] the classes."""
        return np.array(self.classes_)


_TARGETS = ("self", "X", "y", *_OPTIONS, "X_val", "y_val", "validation_steps", "random_seed", "token_dropout")


class StaticModelForSimilarity(BaseFinetuneable, vectors.StaticModelForSimilarity):
    """`m2v_train.StaticModelForSimilarity`, called as model2vec's."""

    __module__ = "model2vec.train.similarity"

    fit = ordered(vectors.StaticModelForSimilarity.fit, *_TARGETS)


class StaticModelForRegression(BaseFinetuneable, vectors.StaticModelForRegression):
    """`m2v_train.StaticModelForRegression`, called as model2vec's."""

    __module__ = "model2vec.train.regression"

    fit = ordered(vectors.StaticModelForRegression.fit, *_TARGETS)


class StaticModelForPairSimilarity(BaseFinetuneable, pairs.StaticModelForPairSimilarity):
    """`m2v_train.StaticModelForPairSimilarity`, called as model2vec's."""

    __module__ = "model2vec.train.pairs"

    fit = ordered(
        pairs.StaticModelForPairSimilarity.fit,
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


def _array(values: Any) -> Any:
    """An array of what may be a tensor; `None` of `None`."""
    return None if values is None else np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
