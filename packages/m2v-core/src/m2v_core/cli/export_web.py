"""`m2v export web`: a page that searches in the browser."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import TABLES, Subcommands, add_json, add_model, add_quiet, set_run
from m2v_core.cli.texts import opened_texts
from m2v_core.errors import InvalidInputError
from m2v_core.storage.atomic import check_output


def register(kinds: Subcommands) -> None:
    """Add the kind."""
    parser = kinds.add_parser(
        "web",
        help="a page that searches in the browser",
        description="Write a folder of static files: a page that embeds queries in the browser, by our own JavaScript, "
        "and ranks documents. Any static server can serve it, such as python -m http.server.",
    )
    add_model(parser)
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument(
        "--docs",
        metavar="FILE",
        dest="file",
        help=f"UTF-8 texts to rank, one a line (.txt); a table: {TABLES}; - for lines of stdin "
        "(default: the user pastes texts into the page)",
    )
    parser.add_argument("--text-column", metavar="NAME", help="column, or key, of the texts of a table (default: text)")
    parser.add_argument("--name", metavar="NAME", help="name of the model on the page (default: that of its folder)")
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    check_output(options.out, folder=True)
    if options.text_column is not None and options.file is None:
        raise InvalidInputError("--text-column is for the table of --docs; found no --docs.")
    with nullcontext() if options.file is None else opened_texts(options) as texts:
        from m2v_core.model import StaticModel
        from m2v_core.web.export import export_web

        model = StaticModel.from_pretrained(options.model)
        name = options.name or Path(options.model).resolve().name
        sizes = export_web(model, options.out, documents=texts, name=name)
    if options.json:
        print(json_line({"folder": str(options.out), "bytes": sum(sizes.values()), "files": sizes}, sys.stdout))
    elif not options.quiet:
        parts = ", ".join(f"{what} {_size(sizes, *files)}" for what, files in _PARTS.items())
        print(f"{options.out}: {sum(sizes.values()) / 1e6:.1f} MB ({parts})", file=sys.stderr)
        print(f"To look at it: {Path(sys.executable).name} -m http.server --directory {options.out}", file=sys.stderr)
    return 0


_PARTS = {"table": ("table.safetensors",), "tokenizer": ("vocabulary.json",), "page": (".js", ".css", ".html")}


def _size(sizes: dict[str, int], *endings: str) -> str:
    return f"{sum(size for name, size in sizes.items() if name.endswith(endings)) / 1e6:.2f} MB"
