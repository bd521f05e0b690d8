"""`m2v card`: show a model's card, or write it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from m2v_core.errors import InvalidInputError, ModelNotFoundError


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "card",
        help="the card (README.md) of a model",
        description="Show the card of a model, as a push writes it: of its README.md, what was written by hand stays.",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder")
    parser.add_argument(
        "--repo-id", metavar="ORG/NAME", help="where it will lie on the Hub (default: the folder's name)"
    )
    add_options(parser)
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="write it there, over a card that may be there (default: show it)"
    )
    parser.set_defaults(run=_card)


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that a card takes, for `card_options`."""
    parser.add_argument("--license", metavar="ID", help="its licence, as the Hub calls it (default: the teacher's)")
    parser.add_argument(
        "--language", metavar="CODE", action="append", help="a language; may be repeated (default: the teacher's)"
    )
    parser.add_argument(
        "--dataset", metavar="ID", action="append", help="a data set that it was made with; may be repeated"
    )
    parser.add_argument(
        "--metrics", metavar="FILE.json", type=Path, help="measured results: a list of {metric, value, dataset, ...}"
    )
    parser.add_argument("--template", metavar="FILE", type=Path, help="a jinja2 template of your own for the text")


def card_options(options: argparse.Namespace) -> dict[str, Any]:
    """What they say, as keywords of `card_for` and of `push_to_hub`."""
    return {
        "license": options.license,
        "language": options.language,
        "datasets": options.dataset,
        "metrics": _results(options.metrics),
        "template": options.template,
    }


def _card(options: argparse.Namespace) -> int:
    from m2v_hub.card.card import card_for

    old = options.out or options.folder / "README.md"
    card = card_for(
        options.folder,
        repo_id=options.repo_id,
        **card_options(options),
        existing=_text(old) if old.is_file() else None,
    ).encode("utf-8")
    if options.out is None:
        sys.stdout.buffer.write(card)
        return 0
    partial = options.out.with_name(f".{options.out.name}.tmp")
    partial.write_bytes(card)
    partial.replace(options.out)
    print(f"wrote {options.out}", file=sys.stderr)
    return 0


def _results(file: Path | None) -> Any:
    if file is None:
        return None
    if not file.is_file():
        raise ModelNotFoundError(f"There is no file {file} (looked from {Path.cwd()}).")
    try:
        results = json.loads(_text(file))
    except ValueError as error:
        raise InvalidInputError(f"{file}: expected JSON; found a mistake: {error}.") from None
    if not isinstance(results, list | dict):
        raise InvalidInputError(f"{file}: expected one result or a list of them; found {results!r}.")
    return results


def _text(file: Path) -> str:
    """The text of a file, line endings as they are."""
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file}: expected UTF-8 text; found other bytes at offset {error.start}.") from None
