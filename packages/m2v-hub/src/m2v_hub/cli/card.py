"""`m2v card`: show a model's card, or write it to a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from m2v_core.cli.parser import Subcommands, add_quiet, set_run
from m2v_core.options import add_options
from m2v_core.redact import printable_lines
from m2v_hub.card.options import CardOptions
from m2v_hub.cli.options import card_options


def register(commands: Subcommands) -> None:
    """Add `m2v card`."""
    parser = commands.add_parser(
        "card",
        help="show or write the card (README.md) of a model",
        description="Show the card of a model as a push writes it. Hand-written text of the existing README.md stays.",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder")
    parser.add_argument(
        "--repo-id", metavar="ORG/NAME", help="the model's repository on the Hub (default: the folder's name)"
    )
    add_options(parser, CardOptions)
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="write the card to a file, merged into the card that it holds"
    )
    add_quiet(parser)
    set_run(parser, _card)


def _card(arguments: argparse.Namespace) -> int:
    from m2v_core.storage.atomic import check_output, replaced_file
    from m2v_hub.card.card import card_for, read_card

    options = card_options(arguments)
    if arguments.out is not None:
        check_output(arguments.out)
    existing = arguments.out or arguments.folder / "README.md"
    card = card_for(
        arguments.folder,
        repo_id=arguments.repo_id,
        **options,
        existing=read_card(existing) if existing.is_file() else None,
    ).encode("utf-8")
    if arguments.out is None and sys.stdout.isatty():
        print(printable_lines(card.decode()), end="")  # a card holds texts of others
        return 0
    if arguments.out is None:
        sys.stdout.buffer.write(card)
        return 0
    with replaced_file(arguments.out, "wb") as file:
        file.write(card)
    if not arguments.quiet:
        print(f"wrote {arguments.out}", file=sys.stderr)
    return 0
