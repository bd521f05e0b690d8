"""How good predictions are: precision, recall and F1 of each class, without scikit-learn."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.data.sources import is_missing, plain, plain_rows, rows_of, shown
from m2v_core.errors import InvalidInputError

if TYPE_CHECKING:
    from m2v_core.head import MLPHead

#: What holds the labels of a text that may have several.
LISTS = (list, tuple, set, frozenset)
_COLUMNS = ("precision", "recall", "f1-score", "support")


def classification_report(y_true: Iterable[Any], y_pred: Iterable[Any]) -> dict[str, Any]:
    """Precision, recall and F1 of each class, and their means, as a dictionary.

    What has no value, such as the precision of a class that is never predicted, is 0. For single labels it is
    scikit-learn's `classification_report(..., output_dict=True, zero_division=0)`. For lists of labels it is
    model2vec's: with "accuracy", the share of texts whose labels are all right and no others, instead of
    scikit-learn's "micro avg" and "samples avg".

    Args:
        y_true: The right label of each text, or the list (or set) of its labels.
        y_pred: The predictions, as `StaticModelPipeline.predict` gives them.

    Returns:
        By the name of each class that occurs on either side, and by "macro avg" (the mean of classes) and "weighted
        avg" (by the number of texts with the class): "precision", "recall", "f1-score", "support". And "accuracy".

    Raises:
        InvalidInputError: There are no texts, more on one side than on the other, labels here and lists there, or
            labels of several kinds; or either is a matrix or a table.

    Example:
        >>> report = classification_report(["a", "a", "b"], ["a", "b", "b"])
        >>> report["accuracy"].__round__(2), report["a"]
        (0.67, {'precision': 1.0, 'recall': 0.5, 'f1-score': 0.6666666666666666, 'support': 2.0})
    """
    true, predicted = label_rows(y_true, "y_true"), label_rows(y_pred, "y_pred")
    if not true or len(true) != len(predicted):
        raise InvalidInputError(
            f"An evaluation needs texts, and as many labels as predictions; found {len(true)} and {len(predicted)}."
        )
    true, predicted = _as_lists(true, predicted)
    classes = _classes(chain(true, predicted))
    places = {label: place for place, label in enumerate(classes)}
    right, said = _codes(true, places), _codes(predicted, places)
    n_hits, support, n_said = (
        _by_class(codes, len(classes)) for codes in (np.intersect1d(right, said, assume_unique=True), right, said)
    )
    scores = np.stack([_ratio(n_hits, n_said), _ratio(n_hits, support), _ratio(2 * n_hits, n_said + support)])
    n_wrong = len(np.unique(np.setxor1d(right, said, assume_unique=True) // len(support)))
    total = float(support.sum())
    report: dict[str, Any] = {
        str(label): _entry(scores[:, place], support[place]) for place, label in enumerate(classes)
    }
    report["accuracy"] = (len(true) - n_wrong) / len(true)
    report["macro avg"] = _entry(scores.mean(axis=1), total)
    report["weighted avg"] = _entry(scores @ _ratio(support, np.full_like(support, total)), total)
    return report


def report_table(report: Mapping[str, Any]) -> str:
    """A report as people read it: a line for each class and mean.

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
    width = max(map(len, report))
    lines = [f"{'':<{width}}  precision  recall  f1-score  support"]
    for name, entry in report.items():
        if name == "accuracy" and not isinstance(entry, Mapping):
            support = report["macro avg"]["support"]
            lines += ["", f"{name:<{width}}  {'':9}  {'':6}  {entry:8.3f}  {support:7.0f}"]
        else:
            precision, recall, f1, support = (entry[column] for column in _COLUMNS)
            lines.append(f"{name:<{width}}  {precision:9.3f}  {recall:6.3f}  {f1:8.3f}  {support:7.0f}")
    return "\n".join(lines)


def label_rows(y: Any, name: str) -> list[Any]:
    """The label of each text, or the list of its labels, as Python's own objects.

    Args:
        y: A list, an array or a tensor, a pandas or pyarrow column, a column of a Hugging Face dataset, or another
            iterable.
        name: What errors call it.

    Raises:
        InvalidInputError: It is a single text, a matrix, a table, or cannot be iterated over.

    Example:
        >>> label_rows(np.array(["a", "b"]), "y"), label_rows([np.array([1, 2]), []], "y")
        (['a', 'b'], [[1, 2], []])
    """
    rows, shape = rows_of(y, name), getattr(y, "shape", ())
    if len(shape) > 1:
        raise InvalidInputError(
            f"{name} should be a list of labels, or of lists of labels; found an array of shape {tuple(shape)}. Of a "
            f"matrix of zeros and ones: [np.flatnonzero(row).tolist() for row in {name}]."
        )
    return [plain_rows(row) if isinstance(row, LISTS) else row for row in rows]


def check_labels(rows: list[Any], head: MLPHead) -> None:
    """Check what `label_rows` gave against the classes that a head has.

    Labels that are of the classes' kind but none of them are reported in a log line: they count as wrong.

    Raises:
        InvalidInputError: A label is of another kind than the classes; or it is a list and should be none, or the
            other way round. The error says where.
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
                    f"y should hold labels of the kind of the model's classes, such as {shown(classes[0])}; "
                    f"found {shown(label)} at index {index}. {'Leave its text out.' if is_missing(label) else remedy}"
                )
            if label not in known:
                unknown[label] = None
                n_unknown += 1
    if unknown:
        logging.getLogger("m2v_core").warning(
            "%d of the labels in y are none of the model's %d classes, and count as wrong: %s",
            n_unknown,
            len(known),
            ", ".join(map(repr, list(unknown)[:10])) + (", ..." if len(unknown) > 10 else ""),
        )


def _as_lists(true: list[Any], predicted: list[Any]) -> tuple[list[Any], list[Any]]:
    """Both sides as lists of labels: of one label each if they are no lists."""
    kinds = {isinstance(label, LISTS) for label in chain(true, predicted)}
    if len(kinds) > 1:
        raise InvalidInputError(
            "Labels and predictions should be a label for each text, or a list of labels for each; found both."
        )
    if kinds == {True}:
        return [list(row) for row in true], [list(row) for row in predicted]
    return [[label] for label in true], [[label] for label in predicted]


def _classes(rows: Iterable[list[Any]]) -> list[Any]:
    """The labels that occur, sorted."""
    labels = set(chain.from_iterable(rows))
    kinds = sorted({type(label).__name__ for label in labels})
    if len(kinds) > 1:
        raise InvalidInputError(
            f"Labels and predictions should be of one kind, that of the head's classes; found {' and '.join(kinds)}."
        )
    return sorted(labels)


def _codes(rows: list[Any], places: Mapping[Any, int]) -> NDArray[np.int64]:
    """A number for each text and label of it, without repeats: `text * classes + place of the label`."""
    n_classes = len(places)
    found = [text * n_classes + places[label] for text, row in enumerate(rows) for label in row]
    return np.unique(np.array(found, np.int64))


def _by_class(codes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """[C] how many texts have each class; a zero if there are no classes."""
    n_classes = max(n_classes, 1)
    return np.bincount(codes % n_classes, minlength=n_classes).astype(np.float64)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _entry(scores: NDArray[np.float64], support: float) -> dict[str, float]:
    return dict(zip(_COLUMNS, (*map(float, scores), float(support)), strict=True))
