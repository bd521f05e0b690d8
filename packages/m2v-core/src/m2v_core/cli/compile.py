"""`m2v compile`: the compiled vocabulary of a model, beside its other files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_model, add_quiet, set_run
from m2v_core.errors import InvalidInputError


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compile",
        help="make a model start faster, in less memory",
        description="Write the compiled vocabulary of a model beside its tokenizer.json. It is mapped when the model "
        "is loaded, and processes share it. Other libraries ignore it.",
    )
    add_model(parser, "a model folder")
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    folder = Path(options.model)
    if not folder.is_dir():
        raise InvalidInputError(
            f"Expected a folder; found {options.model!r}, which is none. For a model on the Hub: m2v pull ORG/NAME "
            f"--out FOLDER, and then m2v compile FOLDER; m2v push --compiled publishes it with its vocabulary."
        )
    from m2v_core.storage.compile import compile_vocabulary

    file = compile_vocabulary(folder)
    size = file.stat().st_size
    if options.json:
        print(json_line({"file": str(file), "bytes": size}, sys.stdout))
    elif not options.quiet:
        print(f"{file}: {size / 1e6:.1f} MB", file=sys.stderr)
    return 0
