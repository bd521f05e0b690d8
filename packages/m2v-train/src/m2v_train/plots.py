"""Pictures of a training: learning curves and a confusion matrix. Needs matplotlib, the extra `m2v-train[plot]`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from m2v_core.errors import InvalidInputError, MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Told apart by colour (Okabe & Ito's, which the colour-blind can tell apart), dashes and markers.
_STYLES: dict[str, dict[str, Any]] = {
    "train": {"label": "training", "color": "#0072B2", "marker": "o", "linestyle": "-"},
    "val": {"label": "validation", "color": "#D55E00", "marker": "s", "linestyle": "--"},
}
_NAMES = {"loss": "Loss", "accuracy": "Accuracy"}
_DPI = 150

#: A confusion matrix of more classes grows no more, names only some of them, and is without numbers.
_MOST_CLASSES = 100


def learning_curves(history: Sequence[Mapping[str, Any]], *, title: str = "Learning curves") -> Figure:
    """Loss and other metrics of a training, one panel each, for training and validation.

    Args:
        history: One record for each validation, in order, as an estimator's `history_`: `epoch`, `step`, and metrics
            whose names begin with `train_` and `val_`. An accuracy is a share from 0 to 1.
        title: Stands above all.

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
    places = np.array([record[unit] for record in history])
    for axes, name in zip(np.ravel(figure.subplots(1, len(names))), names, strict=True):
        _curves(axes, history, places, name)
        axes.set_xlabel(unit)
    return figure


def confusion_matrix(true: Sequence[Any], predicted: Sequence[Any], *, title: str = "Confusion matrix") -> Figure:
    """How often texts of each class were taken for each: rows are true classes, columns predicted ones.

    Colours are shares of a row, numbers are texts.

    Args:
        true: The class of each text.
        predicted: What was predicted for it.
        title: Stands above all; the accuracy follows it.

    Raises:
        InvalidInputError: There is no text, or not one prediction for each.
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
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", norm=_norm())
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 4 / side), aspect=20, pad=0.02, ticks=[0, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the true class")
    bar.ax.yaxis.set_major_formatter(_percent())
    every = -(-len(names) // _MOST_CLASSES)
    places = np.arange(0, len(names), every)
    axes.set_xticks(places, names[::every], rotation=90 if max(map(len, names)) > 3 else 0, fontsize=small)
    axes.set_yticks(places, names[::every], fontsize=small)
    axes.set_xlabel("predicted class", fontsize=large - 1)
    axes.set_ylabel("true class", fontsize=large - 1)
    if every == 1:
        between = np.arange(len(names) - 1) + 0.5
        axes.set_xticks(between, minor=True)
        axes.set_yticks(between, minor=True)
        axes.grid(which="minor", color="#E4E4E4", linewidth=0.4)
        axes.tick_params(which="minor", length=0)
        for row, column in np.argwhere(counts):
            color = "white" if shares[row, column] > 0.4 else "black"
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", fontsize=small - 1, color=color)
    return figure


def confusions(true: Sequence[Any], predicted: Sequence[Any]) -> tuple[list[Any], Int64[np.ndarray, "C C"]]:
    """The classes, sorted, and how many texts of each (rows) were taken for each (columns).

    Example:
        >>> classes, counts = confusions(["a", "b", "b"], ["a", "b", "a"])
        >>> classes, counts.tolist()
        (['a', 'b'], [[1, 0], [1, 1]])
    """
    classes = sorted({*true, *predicted})
    places = {label: place for place, label in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, ([places[label] for label in true], [places[label] for label in predicted]), 1)
    return classes, counts


def save_png(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG.

    Raises:
        OSError: The file cannot be written.
    """
    figure.savefig(path, format="png", dpi=_DPI, bbox_inches="tight")


def _curves(axes: Axes, history: Sequence[Mapping[str, Any]], places: np.ndarray, name: str) -> None:
    """One metric, for training and validation, with its best validation."""
    from matplotlib.ticker import MaxNLocator

    for part, style in _STYLES.items():
        values = np.array([record.get(f"{part}_{name}", np.nan) for record in history], float)
        if np.isfinite(values).any():
            axes.plot(places, values, markersize=4, linewidth=1.6, **style)
        if part == "val" and np.isfinite(values).any():
            best = int(np.nanargmin(values) if name == "loss" else np.nanargmax(values))
            shown = f"{values[best]:.3f}" if name == "loss" else f"{values[best]:.1%}"
            axes.plot(
                places[best], values[best], "*", markersize=13, color="#D55E00", label=f"best validation: {shown}"
            )
    axes.set_title(_NAMES.get(name, name.replace("_", " ")))
    if name == "loss":
        axes.set_ylabel("loss, mean over texts")
    elif name == "accuracy":
        axes.set_ylabel("share of texts")
        axes.yaxis.set_major_formatter(_percent())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def require_matplotlib() -> None:
    """Raise `MissingPackageError` unless pictures can be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackageError(
            "Pictures need matplotlib, which is not installed: pip install m2v-train[plot]"
        ) from None


def _figure(*, width: float, height: float) -> Figure:
    """An empty figure of so many inches; no window, and nothing of pyplot's state."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _name(label: Any) -> str:
    """A class on an axis: short, and `$` begins no formula."""
    text = str(label)
    return (text if len(text) <= 48 else text[:47] + "…").replace("$", r"\$")


def _norm() -> Any:
    """Shares as colours, so that a few of a hundred still show."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=1)


def _percent() -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1, decimals=None)
