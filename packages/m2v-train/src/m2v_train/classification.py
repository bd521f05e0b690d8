"""Text classification."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin

from m2v_core import StaticModel
from m2v_core.aliases import aliased, aliased_arrays
from m2v_core.evaluation import label_rows
from m2v_core.head import Activation
from m2v_train.config import ClassificationConfig, MaxLength, TrainConfig
from m2v_train.data.inputs import as_texts, both_given, check_aligned
from m2v_train.data.labels import Labels, as_labels, class_weights
from m2v_train.data.samples import MultiHot, Samples
from m2v_train.data.tokens import logger
from m2v_train.engine.fitting import Problem
from m2v_train.engine.losses import Objective
from m2v_train.estimator import Estimator


class StaticModelForClassification(ClassifierMixin, Estimator):  # type: ignore[misc]
    """A text classifier: a static model with a head for one class per text, or for any number of labels.

    Lists of labels make a multi-label classifier. `Estimator` describes what all estimators share, and
    `m2v_train.config.ClassificationConfig` the options.

    Attributes:
        classes_: [C] the classes, sorted, in the order of the outputs.
        multilabel_: Whether a text may have any number of labels.

    Example:
        >>> texts, labels = ["good", "day", "good day"] * 20, ["praise", "time", "praise"] * 20
        >>> classifier = StaticModelForClassification(tiny_model(), max_epochs=40, learning_rate=0.01)
        >>> classifier.fit(texts, labels).predict(["good", "day"]).tolist()
        ['praise', 'time']
    """

    config_class: ClassVar[type[TrainConfig]] = ClassificationConfig

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
        token_dropout: float = 0.1,
        device: Any = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        show_progress_bar: bool | None = None,
        class_weight: Any = None,
        focal_gamma: float = 0.0,
    ) -> None:
        self._store(locals())

    def fit(self, X: Any, y: Any, *, X_val: Any = None, y_val: Any = None, **options: Any) -> Self:
        """Train on texts and labels.

        Args:
            X: n texts: a list, an array, a pandas or pyarrow column, a column of a Hugging Face dataset.
            y: A label for each text, or a list of labels; strings or whole numbers.
            X_val: Texts for validation. Default: a fraction of X (`test_size`), each class in proportion.
            y_val: Labels of the validation texts.
            **options: Options of the class, for this call only.

        Raises:
            InvalidInputError: Lengths differ, there is only one class, the validation data has unknown classes, or an
                option is out of range.
            TypeError: An option is unknown.
        """
        config = self._config(options)
        texts, labels = as_texts(X, "X"), as_labels(y, "y")
        check_aligned(X=texts, y=labels)
        weights = class_weights(config.class_weight, labels)
        if both_given(X_val, y_val, names=("X_val", "y_val")):
            val_texts = as_texts(X_val, "X_val")
            val_labels = as_labels(y_val, "y_val", classes=labels.classes, multilabel=labels.multilabel)
            check_aligned(X_val=val_texts, y_val=val_labels)
            validation = Samples.of_texts(self._tokenized(config, X_val=val_texts), val_labels.targets)
            samples = Samples.of_texts(self._tokenized(config, X=texts), labels.targets)
        else:
            everything = Samples.of_texts(self._tokenized(config, X=texts), labels.targets)
            samples, validation = self._split(everything, config, strata=labels.strata)
            _warn_of_missing_classes(labels, samples)
        objective = Objective("labels" if labels.multilabel else "classes", gamma=float(config.focal_gamma))
        self._train(Problem(samples, validation, objective, len(labels.classes), weights), config)
        self.classes_ = np.array(labels.classes)
        self.multilabel_ = labels.multilabel
        return self

    @property
    def classes(self) -> np.ndarray:
        """`classes_` under model2vec's name."""
        return self.classes_

    @property
    def multilabel(self) -> bool:
        """`multilabel_` under model2vec's name."""
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
        """Predict the class of each text; for lists of labels, arrays of those whose probability is above `threshold`.

        See `StaticModelPipeline.predict`.
        """
        return self._predictor().predict(
            X, show_progress_bar=show_progress_bar, batch_size=batch_size, threshold=threshold
        )

    @aliased_arrays
    def predict_proba(self, X: Any, show_progress_bar: bool = False, batch_size: int = 1024) -> np.ndarray:
        """Predict probabilities [n, C]: they add up to 1 for single labels, and are independent for lists of labels."""
        return self._predictor().predict_proba(X, show_progress_bar=show_progress_bar, batch_size=batch_size)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy: the fraction, by weight, of texts whose class, or whole list of classes, is predicted."""
        rows, predicted = label_rows(y, "y"), self.predict(X).tolist()
        check_aligned(X=predicted, y=rows)
        if self.multilabel_:
            right = [set(found) == set(row) for found, row in zip(predicted, rows, strict=True)]
        else:
            right = [found == row for found, row in zip(predicted, rows, strict=True)]
        return float(np.average(right, weights=sample_weight))

    def evaluate(self, X: Any, y: Any, batch_size: int = 1024, threshold: float = 0.5) -> dict[str, Any]:
        """Report precision, recall and F1 of each class; see `StaticModelPipeline.evaluate`."""
        return self._predictor().evaluate(X, y, batch_size=batch_size, threshold=threshold)


def _warn_of_missing_classes(labels: Labels, samples: Samples) -> None:
    """Log a warning if the split has left a class without a training text."""
    targets = labels.targets
    kept = targets.ones.take(samples.rows).values if isinstance(targets, MultiHot) else targets[samples.rows]
    counts = np.bincount(kept, minlength=len(labels.classes))
    missing = [repr(label) for label, count in zip(labels.classes, counts, strict=True) if not count]
    if missing:
        logger.warning(
            "no text of %d of the %d classes is left to train on, since all are held out for validation: %s. "
            "These classes cannot be learned: add texts of each, or pass validation data",
            *(len(missing), len(labels.classes), ", ".join(missing[:10]) + ", ..." * (len(missing) > 10)),
        )
