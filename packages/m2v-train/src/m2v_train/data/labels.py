"""Labels as indices of classes: one label a text, or lists of labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64, Integer

from m2v_core.data.sources import as_column, is_missing, plain, shown
from m2v_core.errors import InvalidInputError
from m2v_core.evaluation import LISTS, label_rows
from m2v_train.data.ragged import take_rows


@dataclass(frozen=True)
class Labels:
    """The labels of n texts.

    Attributes:
        classes: The C classes, sorted: all strings or all whole numbers.
        multilabel: Whether a text has any number of labels, not one.
        targets: Classes as indices into `classes`: one for each text, or if `multilabel` those of all texts, flat, and
            ascending for each.
        ends: Where each text's classes end in `targets`, if `multilabel`; else `None`.
        counts: How many texts each class has.

    Example:
        >>> labels = as_labels([["b", "a"], [], ["b"]], "y")
        >>> labels.classes, labels.targets.tolist(), labels.ends.tolist(), labels.counts.tolist()
        (['a', 'b'], [0, 1, 1], [2, 2, 3], [1, 2])
    """

    classes: list[str] | list[int]
    multilabel: bool
    targets: Int32[np.ndarray, " total"]
    ends: Int64[np.ndarray, " n"] | None
    counts: Int64[np.ndarray, " C"]

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.targets if self.ends is None else self.ends)

    def take(self, indices: Integer[np.ndarray, " m"]) -> Labels:
        """The labels of some texts, in the order given, with the same classes.

        Example:
            >>> as_labels(["b", "a", "b"], "y").take(np.array([0, 2])).counts.tolist()
            [0, 2]
        """
        if self.ends is None:
            targets, ends = self.targets[indices], None
        else:
            targets, ends = take_rows(self.targets, self.ends, indices)
        return Labels(self.classes, self.multilabel, targets, ends, np.bincount(targets, minlength=len(self.classes)))


def as_labels(
    y: Any,
    name: str,
    *,
    classes: Sequence[str] | Sequence[int] | np.ndarray | None = None,
    multilabel: bool | None = None,
) -> Labels:
    """Labels, checked: all strings or all whole numbers; lists of those mean multi-label classification.

    Args:
        y: A column of labels or of lists of labels; see `m2v_train.data.inputs.as_texts`. A list may be empty; a label
            that it holds twice counts once.
        name: What errors call it.
        classes: The classes that there are, for validation and test labels. Default: those found.
        multilabel: If given, what the labels have to be.

    Raises:
        InvalidInputError: A label is neither a string nor a whole number, is missing or is not of `classes`; there are
            strings and numbers, or labels and lists; there is no label, or but one class and nothing to learn.

    Example:
        >>> as_labels([3, 1, 3], "y")
        Labels(classes=[1, 3], multilabel=False, targets=array([1, 0, 1], dtype=int32), ends=None, counts=array([1, 2]))
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
    """A weight for each class.

    Args:
        class_weight: `None` for ones; "balanced" for n / (C * counts), n labels of C classes (King & Zeng, "Logistic
            Regression in Rare Events Data", 2001), as scikit-learn has it; or a mapping of every class to its weight.
        labels: The labels that are trained on.

    Raises:
        InvalidInputError: A class has no weight or no label, is not there, or its weight is no finite number from 0 up.

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
        return np.asarray(labels.counts.sum() / (len(classes) * labels.counts), np.float32)
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
    _check_kinds(labels, lambda place: f"{name}[{place}]")
    if classes is None and len(set(labels)) < 2:
        raise InvalidInputError(
            f"{name} should hold at least two classes; found only {labels[0]!r}, {len(labels)} times: there is nothing "
            f"to learn."
        )
    known, targets = _indexed(labels, name, classes)
    return Labels(known, False, targets, None, np.bincount(targets, minlength=len(known)))  # noqa: FBT003


def _multi(lists: list[Any], name: str, classes: list[Any] | None) -> Labels:
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    text_of = np.repeat(np.arange(len(lists)), lengths)

    def where(place: int) -> str:
        text = int(text_of[place])
        return f"{name}[{text}][{place - int(lengths[:text].sum())}]"

    labels = list(chain.from_iterable(lists))
    _check_kinds(labels, where)
    if classes is None and not labels:
        raise InvalidInputError(f"{name} should hold at least one label; found {len(lists)} empty lists.")
    known, targets = _indexed(labels, name, classes)
    pairs = np.unique(text_of * len(known) + targets)
    owner, targets = pairs // len(known), (pairs % len(known)).astype(np.int32)
    ends = np.cumsum(np.bincount(owner, minlength=len(lists)))
    return Labels(known, True, targets, ends, np.bincount(targets, minlength=len(known)))  # noqa: FBT003


def _check_kinds(labels: list[Any], where: Callable[[int], str]) -> None:
    """Raise unless labels are all strings or all whole numbers; `where` names a place in errors."""
    if set(map(type, labels)) in ({str}, {int}):
        return
    for place, label in enumerate(labels):
        if type(label) not in (str, int):
            found = f"{shown(label)}, a missing value" if is_missing(label) else shown(label)
            raise InvalidInputError(
                f"{where(place)} should be a label: a string or a whole number; found {found}. "
                + ("Leave its text out." if is_missing(label) else "Name the classes by strings, str(label).")
            )
        if type(label) is not type(labels[0]):
            raise InvalidInputError(
                f"Labels should be all strings or all whole numbers; found {shown(labels[0])} as {where(0)} and "
                f"{shown(label)} as {where(place)}. Make all of them strings."
            )


def _indexed(labels: list[Any], name: str, classes: list[Any] | None) -> tuple[list[Any], Int32[np.ndarray, " n"]]:
    """The classes, and the place of each label among them."""
    known = sorted(set(labels)) if classes is None else classes
    places = {label: place for place, label in enumerate(known)}
    if unknown := [label for label in dict.fromkeys(labels) if label not in places]:
        raise InvalidInputError(
            f"{name} should hold labels of the classes that were trained on, {_some(known)}; found others: "
            f"{_some(unknown)}. Leave these texts out, or add texts of these classes to the training data."
        )
    return known, np.fromiter(map(places.__getitem__, labels), np.int32, len(labels))


def _some(labels: Sequence[Any]) -> str:
    return ", ".join(map(repr, labels[:10])) + (f", ... ({len(labels)})" if len(labels) > 10 else "")
