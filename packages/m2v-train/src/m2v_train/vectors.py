"""Regression, and similarity to given vectors."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin

from m2v_core.aliases import aliased_arrays
from m2v_core.errors import InvalidInputError
from m2v_train.data.inputs import as_texts, as_vectors, both_given, check_aligned
from m2v_train.data.samples import Samples
from m2v_train.engine.fitting import Problem
from m2v_train.engine.losses import LossKind, Objective
from m2v_train.estimator import Estimator

#: Class weights of tasks without classes.
NO_CLASSES = np.ones(1, np.float32)


class Outputs(Estimator):
    """An estimator that predicts the outputs of its head."""

    @aliased_arrays
    def predict(self, X: Any, show_progress_bar: bool = False, batch_size: int = 1024) -> np.ndarray:
        """Predict outputs [n, k], float32, for texts; see `StaticModelPipeline.predict`."""
        return self._predictor().predict(X, show_progress_bar=show_progress_bar, batch_size=batch_size)

    @aliased_arrays
    def encode(self, X: Any, batch_size: int = 1024, show_progress_bar: bool = False) -> np.ndarray:
        """`predict` under model2vec's name."""
        return self.predict(X, show_progress_bar=show_progress_bar, batch_size=batch_size)


class _Targets(Outputs):
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
