"""`m2v encode`: texts to vectors."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from m2v_core.cli.outputs import check_ending, vector_output
from m2v_core.cli.parser import Subcommands, add_model, add_quiet, add_texts, set_run, whole
from m2v_core.cli.texts import BATCH, UnknownTexts, opened_texts, text_bar

ENDINGS = (".npy", ".jsonl", ".csv", ".parquet")


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "encode",
        help="embed texts",
        description="Embed texts: row n of the output is the vector of text n. An empty text has a vector of zeros.",
    )
    add_model(parser)
    add_texts(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help=f"write float32 vectors to a file that ends in {', '.join(ENDINGS)} (default: JSON arrays on stdout)",
    )
    parser.add_argument("--normalize", action=argparse.BooleanOptionalAction, help="unit length (default: the model's)")
    parser.add_argument(
        "--max-length", type=whole(1), metavar="N", help="tokens of a text that count (default: the model's)"
    )
    parser.add_argument("--dimensionality", type=whole(1), metavar="D", help="keep the first D dimensions")
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    check_ending(options.out, ENDINGS)
    unknown, n_texts = UnknownTexts(), 0
    with opened_texts(options) as texts:
        from m2v_core.model import StaticModel

        model = StaticModel.from_pretrained(options.model, dimensionality=options.dimensionality)
        limit = model.max_length if options.max_length is None else options.max_length
        stream = model.encode_stream(texts, normalize=options.normalize, max_length=limit, batch_size=BATCH)
        with text_bar("Encoding", options) as bar, vector_output(options.out, model.dim) as write:
            for vectors in stream:
                write(vectors)
                unknown.add(vectors)
                n_texts += len(vectors)
                bar.update(len(vectors))
            bar.total = n_texts
    if options.out is not None and not options.quiet:
        print(f"{options.out}: {n_texts} x {model.dim} float32", file=sys.stderr)
    unknown.note("their vectors are zeros.", options)
    return 0
