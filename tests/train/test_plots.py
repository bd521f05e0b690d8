"""Pictures, by what is on them: axes, marks and pixels."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as sklearn_matrix

from m2v_core import InvalidInputError, MissingPackageError
from m2v_train.plots import confusion_matrix, confusions, learning_curves, save_png

pytest.importorskip("matplotlib")


def history(n: int, *, steps: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "epoch": (i + 2) // 2 if steps else i + 1,
            "step": 40 * i + 40,
            "learning_rate": 1e-3,
            "train_loss": 3 / (i + 1),
            "val_loss": 3.0 - i if i < 3 else 2.0,
            "train_accuracy": 1 - 0.5 / (i + 1),
            "val_accuracy": 0.8 if i == 1 else 0.7,
        }
        for i in range(n)
    ]


def test_curves() -> None:
    figure = learning_curves(history(5))
    loss, accuracy = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["Loss", "Accuracy"]
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    for axes, keys, best in [
        (loss, ("train_loss", "val_loss"), "1.000"),
        (accuracy, ("train_accuracy", "val_accuracy"), "80.0%"),
    ]:
        for line, key in zip(axes.lines, keys, strict=False):
            assert line.get_xydata().tolist() == [[r["epoch"], r[key]] for r in history(5)]  # type: ignore[union-attr]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [  # type: ignore[union-attr]
            "training",
            "validation",
            f"best validation: {best}",
        ]
    stars = [line.get_xydata().tolist() for line in (loss.lines[-1], accuracy.lines[-1])]  # type: ignore[union-attr]
    assert stars == [[[3, 1.0]], [[2, 0.8]]]


def test_curves_of_several_validations_an_epoch() -> None:
    axes = learning_curves(history(4, steps=True)).axes[0]
    assert axes.get_xlabel() == "step"
    assert axes.lines[0].get_xdata().tolist() == [40, 80, 120, 160]  # type: ignore[union-attr]


def test_curves_with_gaps() -> None:
    """A validation alone; and a training loss that is not known yet."""
    figure = learning_curves([{"epoch": 1, "step": 1, "val_loss": 2.0}])
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [  # type: ignore[union-attr]
        "validation",
        "best validation: 2.000",
    ]
    records = history(2)
    del records[0]["train_loss"]
    assert np.isnan(learning_curves(records).axes[0].lines[0].get_ydata()[0])  # type: ignore[index]


@pytest.mark.parametrize("records", [[], [{"epoch": 1}]])
def test_curves_of_nothing(records: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidInputError, match="history should hold records with train_ and val_ metrics"):
        learning_curves(records)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1).filter(
        lambda pairs: len({label for pair in pairs for label in pair}) > 1
    )
)
@settings(deadline=None)
def test_counts_are_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    true, predicted = zip(*pairs, strict=True)
    classes, counts = confusions(true, predicted)
    assert np.array_equal(counts, sklearn_matrix(true, predicted, labels=classes))


@pytest.mark.parametrize("n", [2, 13, 77])
def test_matrix(n: int, tmp_path: Path) -> None:
    names = [f"class_{i:02}" for i in range(n)]
    true = [names[i % n] for i in range(10 * n)]
    predicted = [names[(i + (i % 7 == 0)) % n] for i in range(10 * n)]
    figure = confusion_matrix(true, predicted)
    axes = figure.axes[0]
    right = sum(one == other for one, other in zip(true, predicted, strict=True))
    assert axes.get_title() == f"Confusion matrix: {right} of {10 * n} texts right ({right / n / 10:.1%})"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert sum(int(text.get_text()) for text in axes.texts) == 10 * n
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    width = axes.get_window_extent().width / n  # of a cell
    assert max(text.get_window_extent().width for text in axes.texts) < width
    save_png(figure, tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_many_classes() -> None:
    figure = confusion_matrix(range(250), range(250))
    assert figure.get_figwidth() < 30
    assert len(figure.axes[0].get_xticklabels()) == 84
    assert not figure.axes[0].texts


def test_awkward_names(tmp_path: Path) -> None:
    figure = confusion_matrix(["$x^$", "a" * 99, r"\frac$"], ["$x^$", "a" * 99, "$$"])
    save_png(figure, tmp_path / "matrix.png")  # a formula would fail
    assert max(len(label.get_text()) for label in figure.axes[0].get_xticklabels()) == 48


@pytest.mark.parametrize(("true", "predicted"), [([], []), (["a"], [])])
def test_matrix_of_nothing(true: list[str], predicted: list[str]) -> None:
    with pytest.raises(InvalidInputError, match=f"found {len(true)} classes and 0 predictions"):
        confusion_matrix(true, predicted)


def test_no_state() -> None:
    """No window, no backend chosen for others."""
    code = (
        "import sys; from m2v_train.plots import *; learning_curves([{'epoch': 1, 'val_loss': 1.0}]); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"pip install m2v-train\[plot\]"):
        learning_curves(history(2))
