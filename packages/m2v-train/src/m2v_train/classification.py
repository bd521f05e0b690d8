"""A classifier of texts."""

from __future__ import annotations

from typing import Any, ClassVar, Self, Unpack

import numpy as np
from jaxtyping import Integer
from sklearn.base import ClassifierMixin

from m2v_core.aliases import aliased_arrays
from m2v_core.evaluation import label_rows
from m2v_core.head import Activation
from m2v_train.config import ClassificationConfig, TrainConfig, TrainOptions
from m2v_train.data.inputs import Labels, as_labels, as_texts, check_aligned, class_weights
from m2v_train.data.ragged import lengths_of
from m2v_train.engine.batches import Samples
from m2v_train.engine.losses import Task
from m2v_train.estimator import Estimator, checked_validation, single_texts


class ClassificationOptions(TrainOptions, total=False):
    """The keywords of a classifier; see `ClassificationConfig`."""

    class_weight: Any
    focal_gamma: float


class StaticModelForClassification(ClassifierMixin, Estimator):  # type: ignore[misc]
    """A static model with a head that tells classes: one for each text, or any number of them.

    Lists of labels make a multi-label classifier. See `Estimator` for what all estimators share.

    Attributes:
        classes_: [C] the classes, sorted, in the order of the outputs.
        multilabel_: Whether a text may have any number of them.

    Example:
        >>> texts, labels = ["good", "day", "good day"] * 20, ["praise", "time", "praise"] * 20
        >>> classifier = StaticModelForClassification(tiny_model(), max_epochs=40, learning_rate=0.01)
        >>> classifier.fit(texts, labels).predict(["good", "day"]).tolist()
        ['praise', 'time']
    """

    config_class: ClassVar[type[TrainConfig]] = ClassificationConfig

    def fit(
        self, X: Any, y: Any, *, X_val: Any = None, y_val: Any = None, **options: Unpack[ClassificationOptions]
    ) -> Self:
        """Train.

        Args:
            X: n texts: a list, an array, a pandas or pyarrow column, a column of a Hugging Face dataset.
            y: A label for each, or a list of labels; strings or whole numbers.
            X_val: Texts for validation. Default: a share of the others (`test_size`), each class in proportion.
            y_val: Their labels.
            **options: The fields of `ClassificationConfig`, for this time.

        Raises:
            InvalidInputError: The data does not fit together, has one class only or unknown ones for validation, or an
                option is out of range.
        """
        config: Any = self._config(dict(options))
        texts, labels = as_texts(X, "X"), as_labels(y, "y")
        check_aligned(X=texts, y=labels)
        weights = class_weights(config.class_weight, labels)
        validation = None
        if checked_validation(X_val, y_val, ("X_val", "y_val")):
            val_texts = as_texts(X_val, "X_val")
            val_labels = as_labels(y_val, "y_val", classes=labels.classes, multilabel=labels.multilabel)
            check_aligned(X_val=val_texts, y_val=val_labels)
            validation = _data(self._tokenized(config, X_val=val_texts), val_labels)
        data = _data(self._tokenized(config, X=texts), labels)
        self.classes_ = np.array(labels.classes)
        self.multilabel_ = labels.multilabel
        task = Task("labels" if labels.multilabel else "classes", gamma=float(config.focal_gamma))
        return self._trained(
            config,
            data,
            validation,
            task=task,
            out_dim=len(labels.classes),
            class_weights=weights,
            strata=None if labels.multilabel else labels.targets,
        )

    @property
    def classes(self) -> np.ndarray:
        """`classes_`, by model2vec's name."""
        return self.classes_

    @property
    def multilabel(self) -> bool:
        """`multilabel_`, by model2vec's name."""
        return self.multilabel_

    def _activation(self) -> Activation:
        return Activation.SIGMOID if self.multilabel_ else Activation.SOFTMAX

    @aliased_arrays
    def predict(
        self,
        X: Any,
        show_progress_bar: bool = False,
        batch_size: int = 1024,
        threshold: float = 0.5,
    ) -> np.ndarray:
        """The class of each text; or if it may have several, an array of arrays of those above `threshold`.

        See `StaticModelPipeline.predict`.
        """
        return self.to_pipeline().predict(
            X, show_progress_bar=show_progress_bar, batch_size=batch_size, threshold=threshold
        )

    @aliased_arrays
    def predict_proba(self, X: Any, show_progress_bar: bool = False, batch_size: int = 1024) -> np.ndarray:
        """[n, C] the probability of each class: they add up to 1 for single labels, and stand alone for lists."""
        return self.to_pipeline().predict_proba(X, show_progress_bar=show_progress_bar, batch_size=batch_size)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of texts whose class, or whole list of classes, is right."""
        if self.multilabel_:
            return float(self.evaluate(X, y)["accuracy"])
        return float(super().score(X, label_rows(y, "y"), sample_weight))

    def evaluate(self, X: Any, y: Any, batch_size: int = 1024, threshold: float = 0.5) -> dict[str, Any]:
        """A report by classes; see `StaticModelPipeline.evaluate`."""
        return self.to_pipeline().evaluate(X, y, batch_size=batch_size, threshold=threshold)


def _data(texts: Any, labels: Labels) -> Samples:
    if not labels.multilabel:
        return single_texts(texts, lambda batch: labels.targets[batch])

    def ones(batch: Integer[np.ndarray, " b"]) -> np.ndarray:
        own = labels.take(batch)
        targets = np.zeros((len(batch), len(labels.classes)), np.int8)
        targets[np.repeat(np.arange(len(batch)), lengths_of(own.ends)), own.targets] = 1  # type: ignore[arg-type]
        return targets

    return single_texts(texts, ones)
