"""Plots of training: learning curves and a confusion matrix. Needs matplotlib, the extra `m2v-train[plot]`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from m2v_core.errors import InvalidInputError, MissingPackageError
from m2v_core.storage.atomic import replaced_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours (Okabe & Ito's, which colour-blind people can distinguish), dashes and markers.
_STYLES: dict[str, dict[str, Any]] = {
    "train": {"label": "training", "color": "#0072B2", "marker": "o", "linestyle": "-"},
    "val": {"label": "validation", "color": "#D55E00", "marker": "s", "linestyle": "--"},
}
_NAMES = {"loss": "Loss", "accuracy": "Accuracy"}
_DPI = 150

#: A confusion matrix of more classes does not grow further, names only some of them, and has no numbers.
_MOST_CLASSES = 100


def learning_curves(history: Sequence[Mapping[str, Any]], *, title: str = "Learning curves") -> Figure:
    """Plot loss and other metrics of training and validation, one panel each.

    Args:
        history: One record per validation, in order, as in an estimator's `history_`: `epoch`, `step`, and metrics
            with names that begin with `train_` and `val_`. An accuracy is a fraction from 0 to 1.
        title: Title of the figure.

    Raises:
        InvalidInputError: There is no record, or no metric in it.
        MissingPackageError: matplotlib is not installed.

    Example:
        >>> history = [{"epoch": 1, "step": 9, "train_loss": 2.0, "val_loss": 2.1}]
        >>> [axes.get_ylabel() for axes in learning_curves(history).axes]
        ['loss, mean over texts']
    """
    keys = [key for record in history for key in record if key.startswith(("train_", "val_"))]
    names = list(dict.fromkeys(key.partition("_")[2] for key in keys))
    if not names:
        raise InvalidInputError(f"history should hold records with train_ and val_ metrics; found {list(history)[:1]}.")
    names.sort(key=lambda name: name != "loss")
    figure = _figure(width=5.2 * len(names), height=4.2)
    figure.suptitle(title)
    epochs = [record.get("epoch") for record in history]
    unit = "epoch" if len(set(epochs)) == len(epochs) else "step"
    positions = np.array([record[unit] for record in history])
    for axes, name in zip(np.ravel(figure.subplots(1, len(names))), names, strict=True):
        _curves(axes, history, positions, name)
        axes.set_xlabel(unit)
    return figure


def confusion_matrix(true: Sequence[Any], predicted: Sequence[Any], *, title: str = "Confusion matrix") -> Figure:
    """Plot how often each class is predicted for texts of each class: rows are true classes, columns predicted ones.

    Colours are fractions of a row, numbers are numbers of texts.

    Args:
        true: Class of each text.
        predicted: Predicted class of each text.
        title: Title of the figure; the accuracy follows it.

    Raises:
        InvalidInputError: There is no text, or the numbers of classes and predictions differ.
        MissingPackageError: matplotlib is not installed.

    Example:
        >>> figure = confusion_matrix(["a", "b", "b"], ["a", "b", "a"])
        >>> figure.axes[0].get_title()
        'Confusion matrix: 2 of 3 texts right (66.7%)'
    """
    if not len(true) or len(true) != len(predicted):
        raise InvalidInputError(
            f"Expected texts, and as many predictions as true classes; found {len(true)} classes and {len(predicted)} "
            f"predictions."
        )
    classes, counts = confusions(true, predicted)
    names = [_name(label) for label in classes]
    side = 0.5 * len(names) if len(names) <= 12 else max(6.0, 0.21 * min(len(names), _MOST_CLASSES))  # inches
    small = 9 if len(names) <= 20 else 7  # points
    large = max(12.0, side)
    margin = max(map(len, names)) * small / 120  # inches for names
    figure = _figure(width=side + margin + 2.5, height=side + margin + 1)
    axes = figure.subplots()
    n, right = int(counts.sum()), int(counts.trace())
    axes.set_title(f"{title}: {right} of {n} texts right ({right / n:.1%})", fontsize=large, pad=large)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(fractions, cmap="Blues", norm=_norm())
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 4 / side), aspect=20, pad=0.02, ticks=[0, 0.05, 0.2, 0.5, 1])
    bar.set_label("fraction of the true class")
    bar.ax.yaxis.set_major_formatter(_percent())
    every = -(-len(names) // _MOST_CLASSES)
    ticks = np.arange(0, len(names), every)
    axes.set_xticks(ticks, names[::every], rotation=90 if max(map(len, names)) > 3 else 0, fontsize=small)
    axes.set_yticks(ticks, names[::every], fontsize=small)
    axes.set_xlabel("predicted class", fontsize=large - 1)
    axes.set_ylabel("true class", fontsize=large - 1)
    if every == 1:
        between = np.arange(len(names) - 1) + 0.5
        axes.set_xticks(between, minor=True)
        axes.set_yticks(between, minor=True)
        axes.grid(which="minor", color="#E4E4E4", linewidth=0.4)
        axes.tick_params(which="minor", length=0)
        for row, column in np.argwhere(counts):
            color = "white" if fractions[row, column] > 0.4 else "black"
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", fontsize=small - 1, color=color)
    return figure


def confusions(true: Sequence[Any], predicted: Sequence[Any]) -> tuple[list[Any], Int64[np.ndarray, "C C"]]:
    """Count, for the sorted classes, the texts of each class (rows) by predicted class (columns).

    Example:
        >>> classes, counts = confusions(["a", "b", "b"], ["a", "b", "a"])
        >>> classes, counts.tolist()
        (['a', 'b'], [[1, 0], [1, 1]])
    """
    from sklearn import metrics  # here, so that `m2v --help` stays quick

    classes = sorted({*true, *predicted})
    return classes, np.asarray(metrics.confusion_matrix(true, predicted, labels=classes), np.int64)


def save_png(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG.

    Raises:
        OSError: The file cannot be written.
    """
    with replaced_file(path, "wb") as file:
        figure.savefig(file, format="png", dpi=_DPI, bbox_inches="tight")


def _curves(axes: Axes, history: Sequence[Mapping[str, Any]], positions: np.ndarray, name: str) -> None:
    """One metric, for training and validation, with its best validation."""
    from matplotlib.ticker import MaxNLocator

    for part, style in _STYLES.items():
        values = np.array([record.get(f"{part}_{name}", np.nan) for record in history], float)
        if np.isfinite(values).any():
            axes.plot(positions, values, markersize=4, linewidth=1.6, **style)
        if part == "val" and np.isfinite(values).any():
            best = int(np.nanargmin(values) if name == "loss" else np.nanargmax(values))
            shown = f"{values[best]:.3f}" if name == "loss" else f"{values[best]:.1%}"
            axes.plot(
                positions[best], values[best], "*", markersize=13, color="#D55E00", label=f"best validation: {shown}"
            )
    axes.set_title(_NAMES.get(name, name.replace("_", " ")))
    if name == "loss":
        axes.set_ylabel("loss, mean over texts")
    elif name == "accuracy":
        axes.set_ylabel("fraction of texts")
        axes.yaxis.set_major_formatter(_percent())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def require_matplotlib() -> None:
    """Raise `MissingPackageError` unless matplotlib is installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackageError(
            "Plots need matplotlib, which is not installed: pip install m2v-train[plot]"
        ) from None


def _figure(*, width: float, height: float) -> Figure:
    """An empty figure of a size in inches, without a window and without pyplot's state."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _name(label: Any) -> str:
    """Label of a class on an axis: shortened, with `$` escaped so that it does not begin a formula."""
    text = str(label)
    return (text if len(text) <= 48 else text[:47] + "…").replace("$", r"\$")


def _norm() -> Any:
    """Fractions as colours, such that a few percent are still visible."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=1)


def _percent() -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1, decimals=None)
