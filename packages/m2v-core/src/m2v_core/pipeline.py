"""`StaticModelPipeline`: a static model with a trained head; and `load`, for a model with a head or without."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from m2v_core.aliases import aliased, aliased_arrays
from m2v_core.cache_budget import DEFAULT_CACHE_BYTES
from m2v_core.data.sources import as_texts
from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_core.head import Activation, MLPHead, check_threshold
from m2v_core.model import UNSET, StaticModel, Unset, quantize_model, save
from m2v_core.storage import foreign, format
from m2v_core.storage.files import read_consistently
from m2v_core.storage.format import StoredModel
from m2v_core.storage.head_format import read_head
from m2v_core.storage.resolve import publish, resolve


class StaticModelPipeline:
    """A static model with a head: a text classifier, a regression or a projection.

    A pipeline may be shared between threads.

    Args:
        model: The model.
        head: A head for the model's vectors.

    Raises:
        InvalidInputError: The head expects another number of dimensions.

    Example:
        >>> from m2v_core import Layer
        >>> layer = Layer(np.array([[1.0, 0.0], [0.0, 1.0]], "float32"), np.zeros(2, "float32"))
        >>> pipeline = StaticModelPipeline(tiny_model(), MLPHead([layer], "softmax", ["judgement", "time"]))
        >>> pipeline.predict(["good", "day"])
        array(['judgement', 'time'], dtype='<U9')
        >>> pipeline.predict_proba("good").round(2)
        array([[0.73, 0.27]], dtype=float32)
        >>> pipeline.evaluate(["good", "day"], ["judgement", "judgement"])["accuracy"]
        0.5
    """

    def __init__(self, model: StaticModel, head: MLPHead) -> None:
        head.check_takes(model.dim)
        self.model = model
        self.head = head

    @classmethod
    @aliased
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        token: str | None = None,
        subfolder: str | None = None,
        quantize_to: str | None = None,
        vocabulary_quantization: int | None = None,
        max_length: int | Unset | None = UNSET,
        force_download: bool = True,
        revision: str | None = None,
        memory_map: bool = False,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> Self:
        """Load a pipeline from a folder, or `org/name` from the Hugging Face Hub (with m2v-hub installed).

        As in model2vec, NaN in the table becomes 0 (and infinity the largest number of the dtype), so that a token
        without a valid vector does not spoil every text with it. With `memory_map` the table is not changed.

        Args:
            path: A folder that m2v or model2vec saved a pipeline to, or a repository id.
            token: Hub token, for private repositories.
            subfolder: Path of the pipeline inside the folder or repository.
            quantize_to: dtype of the table: float16, float32, float64 or int8; see `quantize_model`.
            vocabulary_quantization: Number of clusters of the vocabulary; see `quantize_model`.
            max_length: Number of tokens at which a text is truncated, `None` for no limit. Default: the stored setting.
            force_download: Whether to ask the Hub for the newest version; if False, a cached one is used as it is.
            revision: Branch, tag or commit on the Hub.
            memory_map: Whether to leave the table in its file; see `StaticModel.from_pretrained`.
            cache_bytes: See `StaticModel`.

        Raises:
            ModelNotFoundError: There is no pipeline of this name, or a model without a head.
            ModelFormatError: A file is damaged, or the head does not fit the model; the message names it. Or the head
                is a `pipeline.skops` of an older version of model2vec; the message says how to convert it.
            MissingPackageError: The name needs m2v-hub, or `vocabulary_quantization` needs scikit-learn.
            InvalidInputError: `quantize_to` or `vocabulary_quantization` is out of range.
        """
        folder = resolve(path, subfolder=subfolder, token=token, revision=revision, force_download=force_download)

        def read(folder: Path) -> tuple[StoredModel, MLPHead]:
            _check_has_head(folder)
            head = read_head(folder / format.HEAD_FILE, folder / format.CONFIG_FILE)
            return foreign.read_any(folder, memory_map=memory_map), head

        stored, head = read_consistently(folder, read, last=format.LAST_FILES)
        if not isinstance(max_length, Unset):
            stored = replace(stored, config=replace(stored.config, max_length=max_length))
        if not memory_map:
            stored = _without_nan(stored)
        model = StaticModel.from_stored(stored, folder, cache_bytes=cache_bytes)
        try:
            head.check_takes(model.dim)
        except InvalidInputError as error:
            raise ModelFormatError(f"{folder / format.HEAD_FILE}: {error}") from None
        if quantize_to is not None or vocabulary_quantization is not None:
            model = quantize_model(model, quantize_to=quantize_to, vocabulary_quantization=vocabulary_quantization)
        return cls(model, head)

    def save_pretrained(
        self, path: str | os.PathLike[str], *, subfolder: str | None = None, compiled: bool = False
    ) -> None:
        """Save model and head as one folder, which m2v and model2vec load as a pipeline or as a model.

        The folder changes in one step; see `StaticModel.save_pretrained`, which describes `compiled` too.

        Raises:
            OSError: The folder cannot be written.
            InvalidInputError: The vocabulary cannot be compiled.
        """
        save(self.model, path, subfolder, self.head, compiled=compiled)

    def push_to_hub(
        self,
        repo_id: str,
        private: bool | None = None,
        token: str | None = None,
        subfolder: str | None = None,
        **options: Any,
    ) -> str:
        """Publish the pipeline on the Hugging Face Hub; see `StaticModel.push_to_hub`."""
        return publish(self, repo_id, private=private, token=token, subfolder=subfolder, **options)

    @property
    def classes_(self) -> NDArray[Any] | None:
        """[C] classes, in the order of the columns of `predict_proba`; `None` for a head without classes."""
        return self.head.classes_

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, {self.head!r})"

    @aliased_arrays
    def predict(
        self,
        X: str | Iterable[str],
        *,
        show_progress_bar: bool = False,
        max_length: int | Unset | None = UNSET,
        batch_size: int = 1024,
        use_multiprocessing: bool = True,
        multiprocessing_threshold: int = 10_000,
        threshold: float = 0.5,
    ) -> NDArray[Any]:
        """The labels of one text or many.

        Args:
            X: A text, or any iterable of texts; one text counts as a list of one.
            show_progress_bar: See `StaticModel.encode`.
            max_length: See `StaticModel.encode`.
            batch_size: See `StaticModel.encode`.
            use_multiprocessing: See `StaticModel.encode`.
            multiprocessing_threshold: See `StaticModel.encode`.
            threshold: Probability above which a text has a label, for a head with several labels a text.

        Returns:
            [n] the class of each text; with several labels a text [n] objects, an array of classes for each; for a
            head without classes (regression, similarity) the outputs, [n, outputs].

        Raises:
            InvalidInputError: An element is not a text, or an option is out of range.
        """
        check_threshold(threshold)
        logits = self._logits(
            X,
            show_progress_bar=show_progress_bar,
            max_length=max_length,
            batch_size=batch_size,
            use_multiprocessing=use_multiprocessing,
            multiprocessing_threshold=multiprocessing_threshold,
        )
        return self.head.labels(logits, threshold)

    @aliased_arrays
    def predict_proba(
        self,
        X: str | Iterable[str],
        *,
        show_progress_bar: bool = False,
        max_length: int | Unset | None = UNSET,
        batch_size: int = 1024,
        use_multiprocessing: bool = True,
        multiprocessing_threshold: int = 10_000,
    ) -> NDArray[Any]:
        """The probability of each class, for one text or many; options are those of `predict`.

        Returns:
            [n, C] float32, or float64 if the head is; columns in the order of `classes_`. Rows sum to 1, unless a text
            may have several labels.

        Raises:
            InvalidInputError: An element is not a text, an option is out of range, or the head has no classes.
        """
        self._check_has_classes("predict_proba")
        logits = self._logits(
            X,
            show_progress_bar=show_progress_bar,
            max_length=max_length,
            batch_size=batch_size,
            use_multiprocessing=use_multiprocessing,
            multiprocessing_threshold=multiprocessing_threshold,
        )
        return self.head.probabilities(logits)

    @aliased
    def evaluate(
        self,
        X: Iterable[str],
        y: Iterable[Any],
        batch_size: int = 1024,
        threshold: float = 0.5,
        *,
        show_progress_bar: bool = False,
    ) -> dict[str, Any]:
        """Precision, recall and F1 of each class; see `m2v_core.evaluation.classification_report`.

        Args:
            X: Texts.
            y: Label of each text, or the list of its labels if a text may have several. A list, an array or a tensor,
                a pandas or pyarrow column, or a column of a Hugging Face dataset. A label that is not a class of the
                model counts as an error, and a log line says so.
            batch_size: See `predict`.
            threshold: See `predict`.
            show_progress_bar: See `predict`.

        Raises:
            InvalidInputError: There are no texts, not one label for each, or labels of another kind than the classes;
                or the head has no classes.
        """
        from m2v_core.evaluation import check_labels, classification_report, label_rows

        self._check_has_classes("evaluate")
        texts, labels = as_texts(X), label_rows(y, "y")
        if not texts or len(texts) != len(labels):
            raise InvalidInputError(
                f"evaluate needs texts in X and a label for each in y; found {len(texts)} texts, {len(labels)} labels."
            )
        check_labels(labels, self.head)
        predictions = self.predict(
            texts, batch_size=batch_size, threshold=threshold, show_progress_bar=show_progress_bar
        )
        return classification_report(labels, predictions)

    def _logits(self, X: str | Iterable[str], **options: Any) -> NDArray[Any]:
        """The outputs [n, outputs] of the head; options are those of `StaticModel.encode`."""
        return self.head.logits(self.model.encode(as_texts(X), **options))

    def _check_has_classes(self, name: str) -> None:
        if self.head.activation is Activation.IDENTITY:
            raise InvalidInputError(f"{name} needs a head with classes; this one has none. Use predict.")


def load(path: str | os.PathLike[str], **options: Any) -> StaticModel | StaticModelPipeline:
    """Load a model from a folder or the Hub: a pipeline if it has a trained head, else a static model.

    Args:
        path: A folder, or a repository id.
        options: Options of `StaticModel.from_pretrained` and `StaticModelPipeline.from_pretrained`.

    Raises:
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tiny_model().save_pretrained(folder)
        ...     type(load(folder)).__name__
        'StaticModel'
    """
    asked = {
        name: options.pop(name) for name in ("subfolder", "token", "revision", "force_download") if name in options
    }
    folder = resolve(path, **asked)
    has_head = read_consistently(folder, _has_head, last=format.LAST_FILES)
    kind = StaticModelPipeline if has_head else StaticModel
    return kind.from_pretrained(folder, **options)


def _has_head(folder: Path) -> bool:
    return (folder / format.HEAD_FILE).is_file()


def _check_has_head(folder: Path) -> None:
    if _has_head(folder):
        return
    if (folder / format.LEGACY_HEAD_FILE).is_file():
        raise ModelFormatError(
            f"{folder}: expected {format.HEAD_FILE}; found the {format.LEGACY_HEAD_FILE} of an older version of "
            f"model2vec, which holds objects of scikit-learn. Convert it: pip install 'm2v-train[skops]', then "
            f"m2v_train.convert_legacy_pipeline({str(folder)!r}).save_pretrained(...)."
        )
    raise ModelNotFoundError(
        f"{folder} holds no trained head: expected {format.HEAD_FILE}. Load it with StaticModel.from_pretrained, or "
        f"train a head (pip install m2v-train)."
    )


def _without_nan(stored: StoredModel) -> StoredModel:
    """The model with 0 in place of NaN, and the largest number in place of infinity, in its table."""
    table = stored.embeddings
    if table.dtype.kind != "f" or np.isfinite(table).all():
        return stored
    return replace(stored, embeddings=np.nan_to_num(table))
