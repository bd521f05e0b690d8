"""Models whose outputs are vectors: like given ones, equal to given ones, or alike for texts that belong together."""

from __future__ import annotations

from typing import Any, ClassVar, Self, Unpack

import numpy as np
from sklearn.base import RegressorMixin

from m2v_core.aliases import aliased_arrays
from m2v_core.errors import InvalidInputError
from m2v_train.config import PairConfig, TrainConfig, TrainOptions
from m2v_train.data.inputs import as_texts, as_vectors, check_aligned, split_indices
from m2v_train.engine.batches import Samples
from m2v_train.engine.losses import Kind, Task
from m2v_train.estimator import Estimator, aligned_texts, checked_validation, single_texts


class _Outputs(Estimator):
    """An estimator whose outputs are what it predicts."""

    @aliased_arrays
    def predict(self, X: Any, show_progress_bar: bool = False, batch_size: int = 1024) -> np.ndarray:
        """[n, k] float32, the outputs for texts; see `StaticModelPipeline.predict`."""
        return self.to_pipeline().predict(X, show_progress_bar=show_progress_bar, batch_size=batch_size)

    @aliased_arrays
    def encode(self, X: Any, batch_size: int = 1024, show_progress_bar: bool = False) -> np.ndarray:
        """`predict`, by model2vec's name."""
        return self.predict(X, show_progress_bar=show_progress_bar, batch_size=batch_size)


class _Targets(_Outputs):
    """An estimator that is trained on a target vector for each text."""

    kind: ClassVar[Kind]

    def fit(self, X: Any, y: Any, *, X_val: Any = None, y_val: Any = None, **options: Unpack[TrainOptions]) -> Self:
        """Train.

        Args:
            X: n texts: a list, an array, a pandas or pyarrow column, a column of a Hugging Face dataset.
            y: [n, k] a vector for each; or n numbers, as vectors of one.
            X_val: Texts for validation. Default: a share of the others (`test_size`).
            y_val: Their vectors.
            **options: The fields of `TrainConfig`, for this time.

        Raises:
            InvalidInputError: The data does not fit together or holds NaN, or an option is out of range.
        """
        config = self._config(dict(options))
        texts, vectors = as_texts(X, "X"), as_vectors(y, "y")
        check_aligned(X=texts, y=vectors)
        validation = None
        if checked_validation(X_val, y_val, ("X_val", "y_val")):
            val_texts, val_vectors = as_texts(X_val, "X_val"), as_vectors(y_val, "y_val")
            check_aligned(X_val=val_texts, y_val=val_vectors)
            if val_vectors.shape[1] != vectors.shape[1]:
                raise InvalidInputError(
                    f"y_val should hold vectors of {vectors.shape[1]} numbers, as y does; found {val_vectors.shape[1]}."
                )
            validation = single_texts(self._tokenized(config, X_val=val_texts), val_vectors.__getitem__)
        data = single_texts(self._tokenized(config, X=texts), vectors.__getitem__)
        return self._trained(config, data, validation, task=Task(self.kind), out_dim=vectors.shape[1])


class StaticModelForSimilarity(_Targets):
    """A static model whose vectors come to point the way of given ones, as a larger model's: the cosine counts.

    See `Estimator` for what all estimators share.

    Example:
        >>> student = StaticModelForSimilarity(tiny_model(), n_layers=0, max_epochs=3)
        >>> student.fit(["good", "day"] * 10, [[0.0, 1.0], [1.0, 0.0]] * 10).predict(["good"]).shape
        (1, 2)
    """

    kind = "cosine"


class StaticModelForRegression(RegressorMixin, _Targets):  # type: ignore[misc]
    """A static model with a head that tells numbers, by squared error.

    See `Estimator` for what all estimators share.

    Example:
        >>> scorer = StaticModelForRegression(tiny_model(), max_epochs=3)
        >>> scorer.fit(["good", "day"] * 10, [1.0, 0.0] * 10).predict(["good"]).shape
        (1, 1)
    """

    kind = "squares"

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R2, the share of the numbers' variance that is told: 1 - MSE / variance, the mean over outputs."""
        return float(super().score(X, as_vectors(y, "y"), sample_weight))


class PairOptions(TrainOptions, total=False):
    """The keywords of training on pairs; see `PairConfig`."""

    out_dim: int | None
    temperature: float


class StaticModelForPairSimilarity(_Outputs):
    """A static model whose vectors come near each other for texts that belong together, and apart for others.

    The loss is InfoNCE: of the second texts of a batch, the first text's own one should have the highest cosine. See
    `Estimator` for what all estimators share.

    Example:
        >>> questions, answers = ["good", "day"] * 10, ["good good", "day day"] * 10
        >>> model = StaticModelForPairSimilarity(tiny_model(), n_layers=0, max_epochs=2)
        >>> model.fit(questions, answers).predict(["day"]).shape
        (1, 2)
    """

    config_class: ClassVar[type[TrainConfig]] = PairConfig

    def fit(
        self,
        text_a: Any,
        text_b: Any,
        *,
        negatives: Any = None,
        text_a_val: Any = None,
        text_b_val: Any = None,
        negatives_val: Any = None,
        **options: Unpack[PairOptions],
    ) -> Self:
        """Train.

        Args:
            text_a: n texts: a list, an array, a pandas or pyarrow column, a column of a Hugging Face dataset.
            text_b: The text that belongs to each.
            negatives: A text for each that is alike but does not belong to it.
            text_a_val: Texts for validation. Default: a share of the others (`test_size`).
            text_b_val: What belongs to them.
            negatives_val: As `negatives`, if they are given.
            **options: The fields of `PairConfig`, for this time.

        Raises:
            InvalidInputError: The data does not fit together, has fewer than two pairs to train on or for validation,
                or an option is out of range.
        """
        config: Any = self._config(dict(options))
        columns = {"text_a": text_a, "text_b": text_b} | ({} if negatives is None else {"negatives": negatives})
        given = {"text_a_val": text_a_val, "text_b_val": text_b_val, "negatives_val": negatives_val}
        has_validation = checked_validation(text_a_val, text_b_val, ("text_a_val", "text_b_val"))
        if has_validation and (negatives is None) != (negatives_val is None):
            raise InvalidInputError("negatives and negatives_val belong together; found one without the other.")
        texts = aligned_texts(**columns)
        if has_validation:
            held_out = aligned_texts(**{name: column for name, column in given.items() if column is not None})
            data, validation = self._pairs(config, texts), self._pairs(config, held_out)
        else:
            kept, others = split_indices(len(texts["text_a"]), config.test_size, seed=config.random_seed)
            everything = self._pairs(config, texts)
            data, validation = everything.take(kept), everything.take(others)
        for name, some in (("train on", data), ("validate with", validation)):
            if len(some) < 2:
                raise InvalidInputError(
                    f"Expected two pairs or more to {name}; found {len(some)}. Add pairs, or change test_size."
                )
        out_dim = config.out_dim or self.model.dim  # type: ignore[union-attr]
        task = Task("pairs", temperature=float(config.temperature))
        return self._trained(config, data, validation, task=task, out_dim=out_dim)

    def _pairs(self, config: TrainConfig, columns: dict[str, Any]) -> Samples:
        """Samples of several texts; their targets are a number for each text, the same for the same tokens."""
        texts, numbers = self._tokenized(config, **columns), dict[bytes, int]()
        known = (
            numbers.setdefault(texts.ids[end - length : end].tobytes(), len(numbers))
            for length, end in zip(texts.lengths, texts.ends, strict=True)
        )
        targets = np.fromiter(known, np.int32, len(texts))
        places = np.arange(len(texts)).reshape(len(columns), -1).T
        return Samples(texts, places, targets[places].__getitem__)
