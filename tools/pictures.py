"""Draw the two pictures of the home page: how a text becomes a vector, and quality beside speed.

`python tools/results.py` writes them to docs/_static/*.svg, the second one from the results of benchmarks.
Both pictures follow the light or dark mode of the reader's system, on a background of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from results_tables import CORPUS, M2V, PEER, TEACHER, WORDLLAMA, Records, score_of, texts_a_second

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
    """A picture with the style of both."""
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
    mean = [sum(column) / len(ROWS) for column in zip(*ROWS, strict=True)]
    length = math.sqrt(sum(value * value for value in mean))
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


def quality_and_speed(shown: Sequence[Point]) -> str:
    """Quality against texts a second, on a logarithmic scale."""
    left, right, top, bottom = 70, 700, 60, 270
    low, high = math.log10(500), math.log10(400_000)
    step = 2
    least = step * math.floor(min(point.quality for point in shown) / step - 0.2)
    most = step * math.ceil(max(point.quality for point in shown) / step + 0.2)

    def place(rate: float, quality: float) -> tuple[float, float]:
        x = left + (math.log10(rate) - low) / (high - low) * (right - left)
        return round(x, 1), round(bottom - (quality - least) / (most - least) * (bottom - top), 1)

    body = [text(24, 34, "Quality beside speed", "head")]
    body.append(text(210, 34, "mean of seven tasks; texts a second on two CPU cores", "soft"))
    for quality in range(least, most + 1, step):
        _, y = place(1000, quality)
        body += [f'<path class="rule" d="M{left} {y} H{right}"/>', text(left - 10, y + 5, str(quality), "soft", "end")]
    for rate in (1000, 10_000, 100_000):
        x, _ = place(rate, least)
        body += [f'<path class="rule" d="M{x} {bottom} v6"/>', text(x, bottom + 24, f"{rate:,}", "soft", "middle")]
    for point in shown:
        kind, (x, y) = "ours" if point.is_ours else "peer", place(point.first, point.quality)
        if point.again:
            end, _ = place(point.again, point.quality)
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


def pictures(records: Records) -> dict[str, str]:
    """Both, by the names of their files."""
    return {"how-it-works.svg": how_it_works(), "quality-and-speed.svg": quality_and_speed(points(records))}
