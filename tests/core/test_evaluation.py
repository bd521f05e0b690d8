from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import InvalidInputError
from m2v_core.evaluation import classification_report, report_table

labels = st.sampled_from(["a", "b", "c", "d e"])
numbers = st.integers(-2, 2)
sets = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)


def pairs(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[Any, Any]]]:
    return st.lists(st.tuples(kind, kind), min_size=1, max_size=12)


def check_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, entry in expected.items():
        assert found[name] == pytest.approx(entry, abs=1e-12), name


@given(rows=pairs(labels) | pairs(numbers))
@settings(max_examples=150, deadline=None)
def test_single_labels_as_scikit_learn(rows: list[tuple[Any, Any]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    true, predicted = map(list, zip(*rows, strict=True))
    expected = metrics.classification_report(true, predicted, output_dict=True, zero_division=0)
    check_equal(classification_report(true, np.array(predicted)), expected)
    check_equal(classification_report(np.array(true, object), predicted), expected)


@given(rows=pairs(sets))
@settings(max_examples=150, deadline=None)
def test_lists_of_labels_as_scikit_learn_but_for_the_means(rows: list[tuple[Any, Any]]) -> None:
    """Classes, macro and weighted means are scikit-learn's; "accuracy", of whole texts, is its accuracy_score."""
    metrics = pytest.importorskip("sklearn.metrics")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    true, predicted = map(list, zip(*rows, strict=True))
    classes = sorted({label for row in true + predicted for label in row})
    objects = np.empty(len(predicted), object)
    for place, row in enumerate(predicted):
        objects[place] = np.array(row, dtype=str)
    found = classification_report([set(row) for row in true], objects)
    check_equal(found, classification_report(true, predicted))
    if len(classes) < 2:  # which scikit-learn takes for single labels
        return
    binarizer = preprocessing.MultiLabelBinarizer(classes=classes)
    one, other = binarizer.fit_transform(true), binarizer.transform(predicted)
    expected = metrics.classification_report(one, other, target_names=classes, output_dict=True, zero_division=0)
    assert not {"micro avg", "samples avg"} & set(found)
    for name in (*classes, "macro avg", "weighted avg"):
        assert found[name] == pytest.approx(expected[name], abs=1e-12), name
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(one, other))


def test_nothing_said_and_nothing_to_say() -> None:
    report = classification_report([[], []], [[], []])
    assert report["accuracy"] == 1
    assert report["macro avg"] == {"precision": 0, "recall": 0, "f1-score": 0, "support": 0}
    assert list(report) == ["accuracy", "macro avg", "weighted avg"]
    assert "accuracy" in report_table(report)


@pytest.mark.parametrize(
    ("true", "predicted", "part"),
    [
        ([], [], "found 0 and 0"),
        (["a"], ["a", "b"], "found 1 and 2"),
        (["a", 1], ["a", "b"], "found int and str"),
        (["1"], [1], "found int and str"),
        ([["a"]], ["a"], "found both"),
        ([["a"], "a"], [["a"], ["a"]], "found both"),
    ],
)
def test_what_cannot_be_compared(true: list[Any], predicted: list[Any], part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        classification_report(true, predicted)


def test_a_class_called_accuracy() -> None:
    """As in scikit-learn, the share of right texts takes its place."""
    report = classification_report(["accuracy", "b"], ["accuracy", "a"])
    assert report["accuracy"] == 0.5
    assert report_table(report).splitlines()[-1].startswith("weighted avg")
