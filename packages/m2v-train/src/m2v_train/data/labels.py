"""Labels that users pass, converted to class indices; and loss weights of classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64
from sklearn.utils.class_weight import compute_class_weight

from m2v_core.data.sources import as_column, is_missing, plain, shown
from m2v_core.errors import InvalidInputError
from m2v_core.evaluation import LISTS, label_rows
from m2v_core.ragged import Ragged
from m2v_train.data.samples import MultiHot


@dataclass(frozen=True)
class Labels:
    """Labels of n texts.

    Attributes:
        classes: The C classes, sorted: all strings or all whole numbers.
        targets: Index of each text's class; or, if texts may have several labels, a row of C zeros and ones per text.
        counts: Number of texts with each class.

    Example:
        >>> labels = as_labels([["b", "a"], [], ["b"]], "y")
        >>> labels.classes, labels.multilabel, labels.counts.tolist()
        (['a', 'b'], True, [1, 2])
    """

    classes: list[str] | list[int]
    targets: Int32[np.ndarray, " n"] | MultiHot
    counts: Int64[np.ndarray, " C"]

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.targets)

    @property
    def multilabel(self) -> bool:
        """Whether a text may have any number of labels."""
        return isinstance(self.targets, MultiHot)

    @property
    def strata(self) -> Int32[np.ndarray, " n"] | None:
        """Class indices that a split keeps in proportion; `None` for lists of labels."""
        return None if isinstance(self.targets, MultiHot) else self.targets


def as_labels(
    y: Any,
    name: str,
    *,
    classes: Sequence[str] | Sequence[int] | np.ndarray | None = None,
    multilabel: bool | None = None,
) -> Labels:
    """Convert a column of labels, or of lists of labels, to class indices.

    Args:
        y: A column of strings or of whole numbers; or of lists of them, for texts with any number of labels. See
            `m2v_train.data.inputs.as_texts`. A list may be empty; repeated labels in a list count once.
        name: Name of the column in errors.
        classes: Known classes, for validation and test labels. Default: those found.
        multilabel: Whether lists are expected. Default: either.

    Raises:
        InvalidInputError: A label is missing, is neither a string nor a whole number, or is not one of `classes`;
            strings and numbers, or labels and lists, are mixed; there is no label, or only one class.

    Example:
        >>> as_labels([3, 1, 3], "y")
        Labels(classes=[1, 3], targets=array([1, 0, 1], dtype=int32), counts=array([1, 2]))
    """
    known = None if classes is None else [plain(label) for label in classes]
    rows = label_rows(as_column(y, name), name)
    if not rows:
        raise InvalidInputError(f"{name} should hold at least one label; found none.")
    found_lists = isinstance(rows[0], LISTS)
    if multilabel is not None and multilabel != found_lists:
        kinds = ("single labels", "lists of labels")
        raise InvalidInputError(
            f"{name} should hold {kinds[multilabel]}, as the training data does; found {kinds[found_lists]}."
        )
    for index, row in enumerate(rows):
        if isinstance(row, LISTS) != found_lists:
            raise InvalidInputError(
                f"{name} should hold single labels, or lists of labels; found {shown(rows[0])} at index 0 and "
                f"{shown(row)} at index {index}."
            )
    return _multi(rows, name, known) if found_lists else _single(rows, name, known)


def class_weights(class_weight: Any, labels: Labels) -> Float32[np.ndarray, " C"]:
    """Loss weight of each class.

    Args:
        class_weight: `None` for ones; "balanced" for n / (C * counts) with n labels of C classes (King & Zeng,
            "Logistic Regression in Rare Events Data", 2001), as in scikit-learn; or a mapping from every class to its
            weight.
        labels: Training labels.

    Raises:
        InvalidInputError: A class has no weight or no text, a weight's class is unknown, or a weight is not a finite
            number from 0 up.

    Example:
        >>> class_weights("balanced", as_labels(["a", "b", "b"], "y")).tolist()
        [1.5, 0.75]
    """
    classes = labels.classes
    if class_weight is None:
        return np.ones(len(classes), np.float32)
    if isinstance(class_weight, str) and class_weight == "balanced":
        if not labels.counts.all():
            absent = [label for label, count in zip(classes, labels.counts, strict=True) if not count]
            raise InvalidInputError(
                f"class_weight='balanced' needs a label of each class; found none of {_some(absent)}."
            )
        flat = labels.targets.ones.values if isinstance(labels.targets, MultiHot) else labels.targets
        return np.asarray(compute_class_weight("balanced", classes=np.arange(len(classes)), y=flat), np.float32)
    if not isinstance(class_weight, Mapping):
        raise InvalidInputError(
            f"class_weight should be None, 'balanced' or a dictionary {{class: weight}}; found {shown(class_weight)}."
        )
    given = {plain(label): weight for label, weight in class_weight.items()}
    known = set(classes)
    missing, unknown = [c for c in classes if c not in given], [c for c in given if c not in known]
    if missing or unknown:
        raise InvalidInputError(
            "class_weight should have a weight for each class and no other"
            + (f"; missing: {_some(missing)}" if missing else "")
            + (f"; unknown: {_some(unknown)}" if unknown else "")
            + f". The classes are {_some(classes)}."
        )
    for label, weight in given.items():
        if isinstance(weight, str | bool) or not _is_weight(weight):
            raise InvalidInputError(f"class_weight[{label!r}] should be a number from 0 up; found {shown(weight)}.")
    weights = np.array([given[label] for label in classes], np.float32)
    if not weights.any():
        raise InvalidInputError("class_weight should be above 0 for one class at least; found 0 for all.")
    return weights


def _is_weight(value: Any) -> bool:
    try:
        return bool(math.isfinite(value) and value >= 0)
    except TypeError:
        return False


def _single(labels: list[Any], name: str, classes: list[Any] | None) -> Labels:
    _check_kinds(labels, lambda index: f"{name}[{index}]")
    if classes is None and len(set(labels)) < 2:
        raise InvalidInputError(
            f"{name} should hold at least two classes; found only {labels[0]!r}, {len(labels)} times: there is nothing "
            f"to learn."
        )
    known, indices = _indexed(labels, name, classes)
    return Labels(known, indices, np.bincount(indices, minlength=len(known)))


def _multi(lists: list[Any], name: str, classes: list[Any] | None) -> Labels:
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    text_of = np.repeat(np.arange(len(lists)), lengths)

    def where(index: int) -> str:
        text = int(text_of[index])
        return f"{name}[{text}][{index - int(lengths[:text].sum())}]"

    labels = list(chain.from_iterable(lists))
    _check_kinds(labels, where)
    if classes is None and not labels:
        raise InvalidInputError(f"{name} should hold at least one label; found {len(lists)} empty lists.")
    known, indices = _indexed(labels, name, classes)
    pairs = np.unique(text_of * len(known) + indices)  # sorted by text, then by class
    owners, ones = pairs // len(known), (pairs % len(known)).astype(np.int32)
    targets = MultiHot(Ragged.with_lengths(ones, np.bincount(owners, minlength=len(lists))), len(known))
    return Labels(known, targets, np.bincount(ones, minlength=len(known)))


def _check_kinds(labels: list[Any], where: Callable[[int], str]) -> None:
    """Raise an error unless labels are all strings or all whole numbers; `where` names an index in errors."""
    if set(map(type, labels)) in ({str}, {int}):
        return
    for index, label in enumerate(labels):
        if type(label) not in (str, int):
            found = f"{shown(label)}, a missing value" if is_missing(label) else shown(label)
            raise InvalidInputError(
                f"{where(index)} should be a label: a string or a whole number; found {found}. "
                + ("Leave its text out." if is_missing(label) else "Name the classes by strings, str(label).")
            )
        if type(label) is not type(labels[0]):
            raise InvalidInputError(
                f"Labels should be all strings or all whole numbers; found {shown(labels[0])} as {where(0)} and "
                f"{shown(label)} as {where(index)}. Make all of them strings."
            )


def _indexed(labels: list[Any], name: str, classes: list[Any] | None) -> tuple[list[Any], Int32[np.ndarray, " n"]]:
    """The classes, and the index of each label's class."""
    known = sorted(set(labels)) if classes is None else classes
    index_of = {label: index for index, label in enumerate(known)}
    if unknown := [label for label in dict.fromkeys(labels) if label not in index_of]:
        raise InvalidInputError(
            f"{name} should hold labels of the classes that were trained on, {_some(known)}; found others: "
            f"{_some(unknown)}. Leave these texts out, or add texts of these classes to the training data."
        )
    return known, np.fromiter(map(index_of.__getitem__, labels), np.int32, len(labels))


def _some(labels: Sequence[Any]) -> str:
    return ", ".join(map(repr, labels[:10])) + (f", ... ({len(labels)})" if len(labels) > 10 else "")
