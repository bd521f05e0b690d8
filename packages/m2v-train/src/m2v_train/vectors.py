"""Regression, similarity to given vectors, and similarity of pairs of texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin

from m2v_core import StaticModel
from m2v_core.aliases import aliased, aliased_arrays
from m2v_core.errors import InvalidInputError
from m2v_train.config import MaxLength, PairConfig, TrainConfig
from m2v_train.data.inputs import as_texts, as_vectors, both_given, check_aligned
from m2v_train.data.samples import Samples
from m2v_train.engine.fitting import Problem
from m2v_train.engine.losses import LossKind, Objective
from m2v_train.estimator import Estimator

#: Class weights of tasks without classes.
NO_CLASSES = np.ones(1, np.float32)


class _Outputs(Estimator):
    """An estimator that predicts the outputs of its head."""

    @aliased_arrays
    def predict(self, X: Any, show_progress_bar: bool = False, batch_size: int = 1024) -> np.ndarray:
        """Predict outputs [n, k], float32, for texts; see `StaticModelPipeline.predict`."""
        return self._predictor().predict(X, show_progress_bar=show_progress_bar, batch_size=batch_size)

    @aliased_arrays
    def encode(self, X: Any, batch_size: int = 1024, show_progress_bar: bool = False) -> np.ndarray:
        """`predict` under model2vec's name."""
        return self.predict(X, show_progress_bar=show_progress_bar, batch_size=batch_size)


class _Targets(_Outputs):
    """An estimator that is trained on a target vector per text."""

    kind: ClassVar[LossKind]

    def fit(self, X: Any, y: Any, *, X_val: Any = None, y_val: Any = None, **options: Any) -> Self:
        """Train on texts and target vectors.

        Args:
            X: n texts: a list, an array, a pandas or pyarrow column, a column of a Hugging Face dataset.
            y: Target vectors [n, k]; or n numbers, as vectors of length 1.
            X_val: Texts for validation. Default: a fraction of X (`test_size`).
            y_val: Target vectors of the validation texts.
            **options: Options of the class, for this call only.

        Raises:
            InvalidInputError: Lengths differ, a value is not finite, or an option is out of range.
            TypeError: An option is unknown.
        """
        config = self._config(options)
        texts, vectors = as_texts(X, "X"), as_vectors(y, "y")
        check_aligned(X=texts, y=vectors)
        if both_given(X_val, y_val, names=("X_val", "y_val")):
            val_texts, val_vectors = as_texts(X_val, "X_val"), as_vectors(y_val, "y_val")
            check_aligned(X_val=val_texts, y_val=val_vectors)
            if val_vectors.shape[1] != vectors.shape[1]:
                raise InvalidInputError(
                    f"y_val should hold vectors of {vectors.shape[1]} numbers, as y does; found {val_vectors.shape[1]}."
                )
            validation = Samples.of_texts(self._tokenized(config, X_val=val_texts), val_vectors)
            samples = Samples.of_texts(self._tokenized(config, X=texts), vectors)
        else:
            samples, validation = self._split(Samples.of_texts(self._tokenized(config, X=texts), vectors), config)
        return self._train(Problem(samples, validation, Objective(self.kind), vectors.shape[1], NO_CLASSES), config)


class StaticModelForSimilarity(_Targets):
    """A static model trained to give vectors similar to given ones, such as a larger model's, by cosine.

    `Estimator` describes what all estimators share.

    Example:
        >>> student = StaticModelForSimilarity(tiny_model(), n_layers=0, max_epochs=3)
        >>> student.fit(["good", "day"] * 10, [[0.0, 1.0], [1.0, 0.0]] * 10).predict(["good"]).shape
        (1, 2)
    """

    kind = "cosine"


class StaticModelForRegression(RegressorMixin, _Targets):  # type: ignore[misc]
    """A static model with a head that predicts numbers, trained by squared error.

    `Estimator` describes what all estimators share.

    Example:
        >>> scorer = StaticModelForRegression(tiny_model(), max_epochs=3)
        >>> scorer.fit(["good", "day"] * 10, [1.0, 0.0] * 10).predict(["good"]).shape
        (1, 1)
    """

    kind = "squares"

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R2, the fraction of variance explained: 1 - MSE / variance, averaged over outputs."""
        return float(super().score(X, as_vectors(y, "y"), sample_weight))


class StaticModelForPairSimilarity(_Outputs):
    """A static model trained to give similar vectors to texts that belong together, and dissimilar ones to others.

    The loss is InfoNCE: of all second texts of a batch, the one of its own pair should have the highest cosine with a
    first text. `Estimator` describes what all estimators share, and `m2v_train.config.PairConfig` the options.

    Example:
        >>> questions, answers = ["good", "day"] * 10, ["good good", "day day"] * 10
        >>> model = StaticModelForPairSimilarity(tiny_model(), n_layers=0, max_epochs=2)
        >>> model.fit(questions, answers).predict(["day"]).shape
        (1, 2)
    """

    config_class: ClassVar[type[TrainConfig]] = PairConfig

    @aliased
    def __init__(
        self,
        model: StaticModel | None = None,
        *,
        n_layers: int = 1,
        hidden_dim: int = 512,
        freeze: bool = False,
        normalize: bool = True,
        freeze_weights: bool | None = None,
        max_length: MaxLength = "model",
        learning_rate: float = 1e-3,
        batch_size: int | None = None,
        min_epochs: int | None = None,
        max_epochs: int | None = -1,
        early_stopping_patience: int | None = 5,
        test_size: float | int = 0.1,
        validation_steps: int | None = None,
        random_seed: int = 42,
        token_dropout: float = 0.0,
        device: Any = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        show_progress_bar: bool | None = None,
        out_dim: int | None = None,
        temperature: float = 0.05,
    ) -> None:
        self._store(locals())

    def fit(
        self,
        text_a: Any,
        text_b: Any,
        *,
        negatives: Any = None,
        text_a_val: Any = None,
        text_b_val: Any = None,
        negatives_val: Any = None,
        **options: Any,
    ) -> Self:
        """Train on pairs of texts.

        Args:
            text_a: First texts of n pairs: a list, an array, a pandas or pyarrow column, a column of a Hugging Face
                dataset.
            text_b: Second texts.
            negatives: Hard negatives: for each pair a text that is similar to the second one but does not belong to it.
            text_a_val: First texts for validation. Default: a fraction of the pairs (`test_size`).
            text_b_val: Second texts for validation.
            negatives_val: Hard negatives for validation, if `negatives` are given.
            **options: Options of the class, for this call only.

        Raises:
            InvalidInputError: Lengths differ, there are fewer than two pairs on either side of the split, or an
                option is out of range.
            TypeError: An option is unknown.
        """
        config = self._config(options)
        texts = _columns(text_a=text_a, text_b=text_b, negatives=negatives)
        if both_given(text_a_val, text_b_val, names=("text_a_val", "text_b_val")):
            if (negatives is None) != (negatives_val is None):
                raise InvalidInputError("negatives and negatives_val belong together; found one without the other.")
            held_out = _columns(text_a_val=text_a_val, text_b_val=text_b_val, negatives_val=negatives_val)
            samples, validation = self._pairs(config, texts), self._pairs(config, held_out)
        else:
            samples, validation = self._split(self._pairs(config, texts), config)
        for purpose, part in (("train on", samples), ("validate with", validation)):
            if len(part) < 2:
                raise InvalidInputError(
                    f"Expected two pairs or more to {purpose}; found {len(part)}. Add pairs, or change test_size."
                )
        out_dim = config.out_dim or self.model.dim
        objective = Objective("pairs", temperature=float(config.temperature))
        return self._train(Problem(samples, validation, objective, out_dim, NO_CLASSES), config)

    def _pairs(self, config: TrainConfig, columns: dict[str, Sequence[str]]) -> Samples:
        """Samples of several texts; their targets number the texts, with the same number for the same tokens."""
        texts, numbers = self._tokenized(config, **columns), dict[bytes, int]()
        known = (
            numbers.setdefault(texts.values[start:stop].tobytes(), len(numbers))
            for start, stop in pairwise(texts.offsets.tolist())
        )
        number_of = np.fromiter(known, np.int32, len(texts))
        members = np.arange(len(texts)).reshape(len(columns), -1).T
        return Samples(texts, members, number_of[members], np.arange(len(members)))


def _columns(**columns: Any) -> dict[str, Sequence[str]]:
    """The columns of texts that are given, checked."""
    checked = {name: as_texts(column, name) for name, column in columns.items() if column is not None}
    check_aligned(**checked)
    return checked
