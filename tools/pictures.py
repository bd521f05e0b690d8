"""Draw the pictures of the pages: how a text becomes a vector, and quality beside speed and beside dimensions.

`python tools/results.py` writes them to docs/_static/*.svg, the last two from the results of benchmarks.
All follow the light or dark mode of the reader's system, on a background of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import fmean

from results_tables import CORPUS, M2V, PEER, TEACHER, WORDLLAMA, Record, Records, score_of, texts_a_second

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "docs" / "_static"

STYLE = """
  svg {
    --paper: #ffffff; --ink: #1f2933; --soft: #5f6b7a; --line: #c7ced6;
    --ours: #0b6bcb; --peer: #b45309; --high: #0b6bcb; --low: #d97706;
  }
  @media (prefers-color-scheme: dark) {
    svg {
      --paper: #1b1f24; --ink: #e6e9ed; --soft: #a3adb8; --line: #444c56;
      --ours: #6cb6ff; --peer: #f0a35e; --high: #6cb6ff; --low: #f0a35e;
    }
  }
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-size: 15px; fill: var(--ink) }
  .soft { fill: var(--soft); font-size: 13px }
  .head { font-weight: 600 }
  .ours { fill: var(--ours) }
  .peer { fill: var(--peer) }
  text.ours, text.peer { stroke: var(--paper); stroke-width: 5px; paint-order: stroke }
  .paper { fill: var(--paper); stroke: var(--line) }
  .box { fill: none; stroke: var(--line) }
  .rule { stroke: var(--line) }
  .arrow { stroke: var(--soft); stroke-width: 1.5; fill: none }
"""

#: A made-up table for the first picture: four tokens, six dimensions. The last row is computed.
TOKENS = ("my", "card", "was", "stolen")
ROWS = (
    (0.2, -0.3, 0.1, 0.2, -0.1, 0.1),
    (0.9, 0.6, -0.5, -0.2, 0.8, -0.6),
    (-0.1, 0.1, 0.1, -0.2, 0.0, 0.1),
    (0.6, -0.8, -0.9, 0.7, 0.5, 0.4),
)


#: Edges of the area of a chart, and the distance of its lines.
LEFT, RIGHT, TOP, BOTTOM, STEP = 70, 700, 60, 270, 2


@dataclass(frozen=True)
class Point:
    """An encoder in the second picture.

    Attributes:
        label: Its name.
        quality: Mean of the seven tasks of `docs/quality.md`.
        first: Texts a second that were never seen before.
        again: Texts a second whose words were seen before; None where that makes no difference.
        is_ours: Whether it is one of m2v.
    """

    label: str
    quality: float
    first: float
    again: float | None
    is_ours: bool


def svg(width: int, height: int, title: str, body: Sequence[str]) -> str:
    """A picture with the style of all."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(content)}</text>'


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """A straight arrow."""
    angle = math.atan2(to_y - y, to_x - x)
    tips = [(to_x - 8 * math.cos(angle + turn), to_y - 8 * math.sin(angle + turn)) for turn in (0.45, -0.45)]
    head = f"M{tips[0][0]:.1f} {tips[0][1]:.1f} L{to_x:g} {to_y:g} L{tips[1][0]:.1f} {tips[1][1]:.1f}"
    return f'<path class="arrow" d="M{x:g} {y:g} L{to_x:g} {to_y:g} {head}"/>'


def cells(x: float, y: float, values: Sequence[float]) -> list[str]:
    """A row of numbers as squares: blue above zero, orange below, the stronger the further."""
    found = []
    for column, value in enumerate(values):
        box = f'x="{x + 26 * column:g}" y="{y:g}" width="24" height="24" rx="3"'
        colour = "high" if value > 0 else "low"
        found.append(f'<rect {box} class="box"/>')
        found.append(f'<rect {box} style="fill: var(--{colour})" fill-opacity="{abs(value):.2f}"/>')
    return found


def how_it_works() -> str:
    """A text, its tokens, their rows of the table, and their mean."""
    mean = [fmean(column) for column in zip(*ROWS, strict=True)]
    length = math.hypot(*mean)
    body = [
        text(x, 34, name, "head") for x, name in ((24, "text"), (210, "tokens"), (320, "their rows"), (550, "mean"))
    ]
    body += [text(24, 116, "My card was stolen."), arrow(176, 111, 200, 111)]
    for number, (token, row) in enumerate(zip(TOKENS, ROWS, strict=True)):
        y = 54 + 32 * number
        body += [text(210, y + 17, token), arrow(276, y + 12, 310, y + 12), *cells(320, y, row)]
        body.append(arrow(484, y + 12, 536, 111 + (y - 102) / 8))
    body += cells(550, 99, [value / length for value in mean])
    body.append(text(550, 146, "the text's vector", "soft"))
    body.append(text(210, 204, "split by a tokenizer", "soft"))
    body.append(text(360, 204, "looked up in a table, with no neural network", "soft"))
    return svg(730, 224, "A text is split into tokens; its vector is the mean of their rows in a table.", body)


#: Encoders of the second picture, and their labels.
SHOWN = {
    TEACHER: "all-MiniLM-L6-v2, the teacher",
    PEER: "model2vec 0.10",
    M2V: "m2v",
    CORPUS: "m2v, fitted to a corpus",
    WORDLLAMA: "wordllama",
}


#: Encoders of the third picture: by dimensions, the sides of the results of quality.
CUTS = {
    TEACHER: {384: TEACHER},
    CORPUS: {256: CORPUS} | {dims: f"{CORPUS}, {dims} dimensions" for dims in (64, 128)},
    M2V: {384: f"{M2V}, 384 dimensions", 256: M2V} | {dims: f"{dims} dimensions" for dims in (64, 128)},
    PEER: {256: PEER} | {dims: f"{PEER}, {dims} dimensions" for dims in (64, 128)},
    WORDLLAMA: {256: WORDLLAMA},
}


def points(records: Records) -> list[Point]:
    """What the second picture shows: encoders whose quality and speed are both known."""
    found = []
    for encoder, label in SHOWN.items():
        quality = score_of(records["quality"], "mean", encoder)
        speed = texts_a_second(records["encode"], encoder)
        if quality is not None and speed is not None:
            again = None if encoder == TEACHER else speed[1]
            found.append(Point(label, round(quality, 1), speed[0], again, is_ours=encoder in (M2V, CORPUS)))
    return found


@dataclass(frozen=True)
class Frame:
    """The area of a chart: a logarithmic axis to the right, and quality upwards.

    Attributes:
        low: Left end of the axis.
        high: Right end.
        least: Lowest quality, a multiple of `STEP`.
        most: Highest one.
    """

    low: float
    high: float
    least: int
    most: int

    @classmethod
    def around(cls, qualities: Sequence[float], low: float, high: float) -> Frame:
        """The frame that has room above and below these values."""
        least, most = min(qualities) / STEP, max(qualities) / STEP
        return cls(low, high, STEP * math.floor(least - 0.2), STEP * math.ceil(most + 0.2))

    def place(self, x: float, quality: float) -> tuple[float, float]:
        """Where a point is in the picture."""
        right = LEFT + math.log(x / self.low) / math.log(self.high / self.low) * (RIGHT - LEFT)
        return round(right, 1), round(BOTTOM - (quality - self.least) / (self.most - self.least) * (BOTTOM - TOP), 1)

    def axes(self, ticks: Sequence[int]) -> list[str]:
        """Lines of equal quality, and ticks."""
        body = []
        for quality in range(self.least, self.most + 1, STEP):
            y = self.place(self.low, quality)[1]
            body.append(f'<path class="rule" d="M{LEFT} {y} H{RIGHT}"/>')
            body.append(text(LEFT - 10, y + 5, str(quality), "soft", "end"))
        for tick in ticks:
            x = self.place(tick, self.least)[0]
            body.append(f'<path class="rule" d="M{x} {BOTTOM} v6"/>')
            body.append(text(x, BOTTOM + 24, f"{tick:,}", "soft", "middle"))
        return body


def quality_and_speed(shown: Sequence[Point]) -> str:
    """Quality against texts a second, on a logarithmic scale."""
    frame = Frame.around([point.quality for point in shown], 100, 2_000_000)
    body = [text(24, 34, "Quality beside speed", "head")]
    body.append(text(210, 34, "mean of seven tasks; texts a second on two CPU cores", "soft"))
    body += frame.axes((1000, 10_000, 100_000))
    for point in shown:
        kind, (x, y) = "ours" if point.is_ours else "peer", frame.place(point.first, point.quality)
        if point.again:
            end, _ = frame.place(point.again, point.quality)
            body.append(f'<path d="M{x} {y} H{end}" style="stroke: var(--{kind})" stroke-width="2"/>')
            body.append(
                f'<circle class="paper" style="stroke: var(--{kind})" stroke-width="2" cx="{end}" cy="{y}" r="5"/>'
            )
        body.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="6"/>')
        body.append(text(x - 6, y + (24 if point.label == "m2v" else -12), point.label, kind))
    body.append('<circle cx="84" cy="316" r="6" style="fill: var(--soft)"/>')
    body.append(text(98, 321, "first pass over new texts", "soft"))
    body.append('<circle class="paper" style="stroke: var(--soft)" stroke-width="2" cx="294" cy="316" r="5"/>')
    body.append(text(308, 321, "the same texts again, whose words are known", "soft"))
    title = "; ".join(f"{p.label}: quality {p.quality}, {p.first:,.0f} texts a second" for p in shown)
    return svg(730, 340, title, body)


def sizes(record: Record) -> dict[str, dict[int, float]]:
    """The quality of each encoder of the third picture by its number of dimensions, the smallest first."""
    found: dict[str, dict[int, float]] = {}
    for encoder, cuts in CUTS.items():
        for dims, side in sorted(cuts.items()):
            quality = score_of(record, "mean", side)
            if quality is not None:
                found.setdefault(encoder, {})[dims] = round(quality, 1)
    return found


def quality_and_dimensions(shown: Mapping[str, Mapping[int, float]]) -> str:
    """Quality against dimensions, on a logarithmic scale; a line joins the cuts of a model."""
    frame = Frame.around([quality for cuts in shown.values() for quality in cuts.values()], 48, 640)
    body = [text(24, 34, "Quality beside dimensions", "head"), text(262, 34, "mean of seven tasks", "soft")]
    body += frame.axes((64, 128, 256, 384))
    for encoder, cuts in shown.items():
        kind = "ours" if encoder in (M2V, CORPUS) else "peer"
        places = [frame.place(dims, quality) for dims, quality in cuts.items()]
        line = " L".join(f"{x} {y}" for x, y in places)
        body.append(f'<path d="M{line}" style="stroke: var(--{kind}); fill: none" stroke-width="2"/>')
        body += [f'<circle class="{kind}" cx="{x}" cy="{y}" r="5"/>' for x, y in places]
        x, y = places[0]
        if len(places) == 1:
            body.append(text(x + 10, y + 18, encoder, kind))
        else:  # at the left end of the line
            body.append(text(x, y - 22 if encoder == CORPUS else y + 24, encoder, kind))
    parts = [f"{encoder}: {quality} with {dims}" for encoder, cuts in shown.items() for dims, quality in cuts.items()]
    return svg(730, 310, "; ".join(parts), body)


def pictures(records: Records) -> dict[str, str]:
    """All, by the names of their files."""
    return {
        "how-it-works.svg": how_it_works(),
        "quality-and-speed.svg": quality_and_speed(points(records)),
        "quality-and-dimensions.svg": quality_and_dimensions(sizes(records["quality"])),
    }
