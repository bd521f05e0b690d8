"""`m2v export`: a model in the files of another program. Each kind has a module of its own."""

from __future__ import annotations

from m2v_core.cli import export_onnx, export_sentence_transformers, export_web
from m2v_core.cli.parser import Subcommands


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="write a model for another program",
        description="Write a model in the files of another program.",
    )
    kinds = parser.add_subparsers(title="kinds", metavar="KIND", required=True)
    for kind in (export_onnx, export_sentence_transformers, export_web):
        kind.register(kinds)
