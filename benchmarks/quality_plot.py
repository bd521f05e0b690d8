"""The plot of `quality.py`: quality against speed, as PNG and SVG, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from m2v_core.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]  # left, bottom, right, top

DOT = 5.0  # radius, in points
AWAY = 8.0  # from a dot to its label


@dataclass(frozen=True)
class Dot:
    """An encoder in the plot."""

    name: str
    texts_per_second: float
    quality: float


def check_matplotlib() -> None:
    """Raise `MissingPackageError` if matplotlib is not installed: better before hours of work than after."""
    if find_spec("matplotlib") is None:
        raise MissingPackageError("--plot needs matplotlib: pip install matplotlib")


def draw(dots: Sequence[Dot], stem: Path, *, n_tasks: int) -> tuple[Path, Path]:
    """Draw the dots, and save the plot as `stem`.png and `stem`.svg; returns both paths."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.add_subplot(xscale="log")
    axes.set_title("Quality against speed")
    axes.set_xlabel("texts per second (log scale)")
    axes.set_ylabel(f"mean of {n_tasks} task{'s' * (n_tasks > 1)}")
    axes.grid(visible=True, alpha=0.3)
    speeds, qualities = [dot.texts_per_second for dot in dots], [dot.quality for dot in dots]
    colours = [f"C{place % 10}" for place in range(len(dots))]
    axes.scatter(speeds, qualities, s=(2 * DOT) ** 2, color=colours, edgecolors="white", zorder=3)
    axes.set_xlim(min(speeds) / 3, max(speeds) * 3)
    room = max(0.15 * (max(qualities) - min(qualities)), 0.5)
    axes.set_ylim(min(qualities) - room, max(qualities) + room)
    figure.draw_without_rendering()  # settles the layout, so that places are known
    _label(axes, dots, colours, points=72 / figure.dpi)

    stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = Path(f"{stem}.png"), Path(f"{stem}.svg")
    with mpl.rc_context({"svg.hashsalt": "m2v"}):  # the same figure gives the same file
        figure.savefig(png)
        figure.savefig(svg, metadata={"Date": None})
    return png, svg


def _label(axes: Axes, dots: Sequence[Dot], colours: Sequence[str], *, points: float) -> None:
    """Write the dots' names beside them, in their colours; a pixel has so many points."""
    spots = [(dot.texts_per_second, dot.quality) for dot in dots]
    centres = [(x * points, y * points) for x, y in axes.transData.transform(spots)]
    left, bottom, right, top = (edge * points for edge in axes.bbox.extents)
    labels = [
        axes.annotate(dot.name, spot, (0, 0), textcoords="offset points", va="bottom", color=colour, fontsize=9)
        for dot, spot, colour in zip(dots, spots, colours, strict=True)
    ]
    extents = [label.get_window_extent() for label in labels]
    sizes = [(extent.width * points, extent.height * points) for extent in extents]
    boxes = place_labels(centres, sizes, (left, bottom, right, top))
    for label, centre, box in zip(labels, centres, boxes, strict=True):
        label.set_in_layout(False)
        label.set_position((box[0] - centre[0], box[1] - centre[1]))


def place_labels(
    dots: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box, *, radius: float = DOT
) -> list[Box]:
    """Where each dot's label goes: the nearest of several places around it that meets no dot, no label and no edge.

    Args:
        dots: Centres of the dots, in points.
        sizes: Width and height of each label, in points.
        frame: What labels should stay in.
        radius: Of the dots.

    Returns:
        A box for each label. Where no place is free, it is the one that meets least.

    Example:
        >>> place_labels([(50, 50)], [(20, 10)], (0, 0, 100, 100))
        [(58.0, 45.0, 78.0, 55.0)]
    """
    taken: list[Box] = [(x - radius, y - radius, x + radius, y + radius) for x, y in dots]
    placed: list[Box] = []
    for (x, y), (width, height) in zip(dots, sizes, strict=True):
        candidates = [_beside(x, y, width, height, dx, dy, away) for away in (1, 2, 3, 5) for dx, dy in _SIDES]
        best = min(candidates, key=lambda box: _outside(box, frame) + sum(_overlap(box, other) for other in taken))
        taken.append(best)
        placed.append(best)
    return placed


_SIDES = sorted(product((1, 0, -1), repeat=2), key=lambda side: (abs(side[1]), -side[0]))  # right and left first
_SIDES.remove((0, 0))


def _beside(x: float, y: float, width: float, height: float, dx: int, dy: int, away: int) -> Box:
    left = x - width / 2 + dx * (width / 2 + AWAY * (away if dx else 1))
    bottom = y - height / 2 + dy * (height / 2 + AWAY * away)
    return left, bottom, left + width, bottom + height


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: Box, frame: Box) -> float:
    return _overlap(box, box) - _overlap(box, frame)
