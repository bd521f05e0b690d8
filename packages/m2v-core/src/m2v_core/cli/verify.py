"""`m2v verify`: whether other libraries compute the same vectors."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_model, set_run

if TYPE_CHECKING:
    from m2v_core.verification import Reading, Verification
from m2v_core.redact import printable


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="compare a model's vectors in other libraries",
        description="Compare the vectors that m2v, model2vec and sentence-transformers compute with a model. "
        "The exit code is 1 if any differ by more than rounding, and not as expected, or if nothing could be compared.",
    )
    add_model(parser)
    parser.add_argument("--python", metavar="PATH", help="a Python in which they are installed (default: this one)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-5,
        metavar="X",
        help="largest difference that is rounding, relative for numbers above 1 (default: 1e-05)",
    )
    add_json(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    from m2v_core.verification import verify

    found = verify(options.model, python=options.python, tolerance=options.tolerance)
    print(json_line(found.to_json(), sys.stdout) if options.json else shown(found))
    return 0 if found.expected else 1


def shown(found: Verification) -> str:
    """The result as lines of text.

    Example:
        >>> from m2v_core.verification import Reading, Verification
        >>> reading = Reading("model2vec", "0.10.0", 3e-08, same=True)
        >>> print(shown(Verification("m", 20, 1e-05, (reading, Reading("other", problem="not installed")))))
        model2vec 0.10.0: the same vectors of 20 texts; largest difference 3.0e-08, tolerance 1.0e-05
        other: not installed
    """
    return "\n".join(line for reading in found.readings for line in _lines(reading, found))


def _lines(reading: Reading, found: Verification) -> list[str]:
    name = reading.reader if reading.version is None else f"{reading.reader} {reading.version}"
    if reading.problem is not None:
        return [f"{name}: {printable(reading.problem)}"]
    differing = sum(difference.texts for difference in reading.differences)
    what = f"other vectors of {differing} of {found.texts}" if differing else f"the same vectors of {found.texts}"
    lines = [f"{name}: {what} texts; largest difference {_number(reading.largest)}, tolerance {found.tolerance:.1e}"]
    for each in reading.differences:
        count = "1 text" if each.texts == 1 else f"{each.texts} texts"
        expected = "as expected, " if each.expected else ""
        lines.append(f"  {count}, up to {_number(each.largest)}, such as {each.example!r}: {expected}{each.reason}")
    return lines


def _number(value: float | None) -> str:
    return "NaN" if value is None else f"{value:.1e}"
