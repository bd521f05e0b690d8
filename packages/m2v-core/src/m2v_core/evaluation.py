"""Measures of predicted classes: precision, recall and F1, without scikit-learn. For numbers see `measures`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.data.sources import is_missing, plain, plain_rows, rows_of, shown
from m2v_core.errors import InvalidInputError
from m2v_core.head import MLPHead
from m2v_core.redact import printable

#: Types that hold the labels of a text that may have several.
LISTS = (list, tuple, set, frozenset)
_COLUMNS = ("precision", "recall", "f1-score", "support")


def classification_report(y_true: Iterable[Any], y_pred: Iterable[Any]) -> dict[str, Any]:
    """Precision, recall and F1 of each class, and their means, as a dictionary.

    Undefined values, such as the precision of a class that is never predicted, are 0. For single labels the result is
    that of scikit-learn's `classification_report(..., output_dict=True, zero_division=0)`. For lists of labels it is
    that of model2vec: "accuracy", the fraction of texts with exactly the right labels, instead of scikit-learn's
    "micro avg" and "samples avg".

    Args:
        y_true: Right label of each text, or the list (or set) of its labels.
        y_pred: Predictions, as `StaticModelPipeline.predict` returns them.

    Returns:
        "precision", "recall", "f1-score" and "support" for each class that occurs in either argument, for "macro avg"
        (the mean over classes) and for "weighted avg" (weighted by support); and "accuracy".

    Raises:
        InvalidInputError: There are no texts, not one prediction for each label, both labels and lists of labels, or
            labels of several types; or an argument is a matrix or a table.

    Example:
        >>> report = classification_report(["a", "a", "b"], ["a", "b", "b"])
        >>> report["accuracy"].__round__(2), report["a"]
        (0.67, {'precision': 1.0, 'recall': 0.5, 'f1-score': 0.6666666666666666, 'support': 2.0})
    """
    labels, predictions = label_rows(y_true, "y_true"), label_rows(y_pred, "y_pred")
    if not labels or len(labels) != len(predictions):
        raise InvalidInputError(
            f"An evaluation needs texts, and as many labels as predictions; found {len(labels)} and {len(predictions)}."
        )
    labels, predictions = _as_lists(labels, predictions)
    classes = _classes(chain(labels, predictions))
    index_of = {label: index for index, label in enumerate(classes)}
    true, predicted = _codes(labels, index_of), _codes(predictions, index_of)
    hits = np.intersect1d(true, predicted, assume_unique=True)
    n_hits, support, n_predicted = (_by_class(codes, len(classes)) for codes in (hits, true, predicted))
    scores = np.stack([_ratio(n_hits, n_predicted), _ratio(n_hits, support), _ratio(2 * n_hits, n_predicted + support)])
    n_wrong = len(np.unique(np.setxor1d(true, predicted, assume_unique=True) // len(support)))
    total = float(support.sum())
    report: dict[str, Any] = {
        str(label): _entry(scores[:, index], support[index]) for index, label in enumerate(classes)
    }
    report["accuracy"] = (len(labels) - n_wrong) / len(labels)
    report["macro avg"] = _entry(scores.mean(axis=1), total)
    report["weighted avg"] = _entry(scores @ _ratio(support, np.full_like(support, total)), total)
    return report


def report_table(report: Mapping[str, Any]) -> str:
    """A report as a table of text, with a line for each class and mean.

    Example:
        >>> print(report_table(classification_report(["a", "a", "b"], ["a", "b", "b"])))
                      precision  recall  f1-score  support
        a                 1.000   0.500     0.667        2
        b                 0.500   1.000     0.667        1
        <BLANKLINE>
        accuracy                            0.667        3
        macro avg         0.750   0.750     0.667        3
        weighted avg      0.833   0.667     0.667        3
    """
    shown_names = [printable(str(name)) for name in report]
    width = max(map(len, shown_names))
    lines = [f"{'':<{width}}  precision  recall  f1-score  support"]
    for shown_name, (name, entry) in zip(shown_names, report.items(), strict=True):
        if name == "accuracy" and not isinstance(entry, Mapping):
            support = report["macro avg"]["support"]
            lines += ["", f"{name:<{width}}  {'':9}  {'':6}  {entry:8.3f}  {support:7.0f}"]
        else:
            precision, recall, f1, support = (entry[column] for column in _COLUMNS)
            lines.append(f"{shown_name:<{width}}  {precision:9.3f}  {recall:6.3f}  {f1:8.3f}  {support:7.0f}")
    return "\n".join(lines)


def label_rows(y: Any, name: str) -> list[Any]:
    """The label of each text, or the list of its labels, as Python's own objects.

    Args:
        y: A list, an array or a tensor, a pandas or pyarrow column, a column of a Hugging Face dataset, or another
            iterable.
        name: Name of the argument in errors.

    Raises:
        InvalidInputError: The argument is a single text, a matrix, a table, or not iterable.

    Example:
        >>> label_rows(np.array(["a", "b"]), "y"), label_rows([np.array([1, 2]), []], "y")
        (['a', 'b'], [[1, 2], []])
    """
    rows, shape = rows_of(y, name), getattr(y, "shape", ())
    if len(shape) > 1:
        raise InvalidInputError(
            f"{name} should be a list of labels, or of lists of labels; found an array of shape {tuple(shape)}. "
            f"Convert a matrix of zeros and ones: [np.flatnonzero(row).tolist() for row in {name}]."
        )
    return [plain_rows(row) if isinstance(row, LISTS) else row for row in rows]


def check_labels(rows: list[Any], head: MLPHead) -> None:
    """Check labels, as `label_rows` returns them, against the classes of a head.

    Labels of the right type that are not classes count as errors, and a log line names them.

    Raises:
        InvalidInputError: A label is of another type than the classes, is a list for a head with one label a text, or
            is not a list for a head with several. The error gives its index.
    """
    classes, several = plain(head.classes_), head.activation == "sigmoid"
    kind, known = type(classes[0]), set(classes)
    unknown: dict[Any, None] = {}
    n_unknown = 0
    for index, row in enumerate(rows):
        if isinstance(row, LISTS) != several:
            expected = "a list of labels for each text" if several else "one label for each text, and no lists"
            raise InvalidInputError(
                f"y should hold {expected}, as the model gives; found {shown(row)} at index {index}."
            )
        for label in row if several else [row]:
            if type(label) is not kind:
                remedy = f"Give its labels as {kind.__name__}: {kind.__name__}(label)."
                raise InvalidInputError(
                    f"y should hold labels of the type of the model's classes, such as {shown(classes[0])}; "
                    f"found {shown(label)} at index {index}. {'Leave its text out.' if is_missing(label) else remedy}"
                )
            if label not in known:
                unknown[label] = None
                n_unknown += 1
    if unknown:
        logging.getLogger("m2v_core").warning(
            "%d of the labels in y are not among the model's %d classes, and count as errors: %s",
            n_unknown,
            len(known),
            ", ".join(map(repr, list(unknown)[:10])) + (", ..." if len(unknown) > 10 else ""),
        )


def _as_lists(labels: list[Any], predictions: list[Any]) -> tuple[list[Any], list[Any]]:
    """Labels and predictions as lists of labels; single labels become lists of one."""
    kinds = {isinstance(label, LISTS) for label in chain(labels, predictions)}
    if len(kinds) > 1:
        raise InvalidInputError(
            "Labels and predictions should be a label for each text, or a list of labels for each; found both."
        )
    if kinds == {True}:
        return [list(row) for row in labels], [list(row) for row in predictions]
    return [[label] for label in labels], [[label] for label in predictions]


def _classes(rows: Iterable[list[Any]]) -> list[Any]:
    """The labels that occur, sorted."""
    labels = set(chain.from_iterable(rows))
    kinds = sorted({type(label).__name__ for label in labels})
    if len(kinds) > 1:
        raise InvalidInputError(
            f"Labels and predictions should be of one type, that of the head's classes; found {' and '.join(kinds)}."
        )
    return sorted(labels)


def _codes(rows: list[Any], index_of: Mapping[Any, int]) -> NDArray[np.int64]:
    """A number for each pair of a text and a label of it, without repeats: `text * classes + index of the label`."""
    n_classes = len(index_of)
    found = [text * n_classes + index_of[label] for text, row in enumerate(rows) for label in row]
    return np.unique(np.array(found, np.int64))


def _by_class(codes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """[C] number of texts with each class; one zero if there are no classes."""
    n_classes = max(n_classes, 1)
    return np.bincount(codes % n_classes, minlength=n_classes).astype(np.float64)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _entry(scores: NDArray[np.float64], support: float) -> dict[str, float]:
    return dict(zip(_COLUMNS, (*map(float, scores), float(support)), strict=True))
