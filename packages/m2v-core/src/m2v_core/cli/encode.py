"""`m2v encode`: texts to vectors."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from m2v_core.cli.outputs import check_ending, vector_output
from m2v_core.cli.parser import Subcommands, add_model, add_quiet, add_texts, set_run, whole
from m2v_core.cli.texts import BATCH, UnknownTexts, opened_texts, text_bar

ENDINGS = (".npy", ".jsonl", ".csv", ".parquet")
PRECISIONS = ("float32", "float16", "int8", "uint8", "binary", "ubinary")


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
        help=f"write the vectors to a file that ends in {', '.join(ENDINGS)} (default: JSON arrays on stdout)",
    )
    parser.add_argument("--dimensionality", type=whole(1), metavar="D", help="keep the first D dimensions of the model")
    add_vector_options(parser)
    add_quiet(parser)
    set_run(parser, _run)


def add_vector_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide the vectors of a model."""
    parser.add_argument("--normalize", action=argparse.BooleanOptionalAction, help="unit length (default: the model's)")
    parser.add_argument(
        "--max-length", type=whole(1), metavar="N", help="tokens of a text that count (default: the model's)"
    )
    parser.add_argument("--truncate-dim", type=whole(1), metavar="D", help="keep the first D dimensions of the vectors")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="numbers of the vectors; int8 and uint8 need a model with ranges (default: %(default)s)",
    )
    parser.add_argument("--prompt-name", metavar="NAME", help="put this prompt of the model before each text")
    parser.add_argument("--prompt", metavar="TEXT", help="put this text before each text")


def _run(options: argparse.Namespace) -> int:
    check_ending(options.out, ENDINGS)
    unknown, n_texts = UnknownTexts(), 0
    with opened_texts(options) as texts:
        from m2v_core.model import StaticModel

        model = StaticModel.from_pretrained(options.model, dimensionality=options.dimensionality)
        limit = model.max_length if options.max_length is None else options.max_length
        unit = model.normalize if options.normalize is None else options.normalize
        unit, output = model._output(unit, options.truncate_dim, options.precision, None)
        stream = model.encode_stream(
            texts,
            normalize=unit,
            max_length=limit,
            batch_size=BATCH,
            prompt_name=options.prompt_name,
            prompt=options.prompt,
        )
        width, dtype = output.width, output.dtype
        with text_bar("Encoding", options) as bar, vector_output(options.out, width, dtype.name) as write:
            for vectors in stream:
                write(output(vectors))
                unknown.add(vectors)
                n_texts += len(vectors)
                bar.update(len(vectors))
            bar.total = n_texts
    if options.out is not None and not options.quiet:
        print(f"{options.out}: {n_texts} x {width} {dtype.name}", file=sys.stderr)
    unknown.note("their vectors are zeros.", options)
    return 0
