"""`m2v quantize`: a smaller model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from m2v_core.checks import did_you_mean
from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_model, add_quiet, set_run, whole
from m2v_core.errors import InvalidInputError
from m2v_core.storage.atomic import check_output


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "quantize",
        help="make a model smaller",
        description="Write a smaller model: numbers of fewer bytes, fewer dimensions, or clusters of tokens that share "
        "a row. A trained head is kept; it needs all dimensions.",
    )
    add_model(parser)
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write, which may be that of MODEL")
    parser.add_argument("--quantize-to", metavar="DTYPE", type=_dtype, help="float16, float32, float64 or int8")
    parser.add_argument("--dimensionality", type=whole(1), metavar="D", help="keep the first D dimensions")
    parser.add_argument(
        "--vocabulary-quantization",
        type=whole(1),
        metavar="N",
        help="keep N rows, one for each cluster of tokens (pip install m2v-core[quantization])",
    )
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _dtype(text: str) -> str:
    known = ("float16", "float32", "float64", "int8")
    if text not in known:
        raise argparse.ArgumentTypeError(
            f"should be one of {', '.join(known)}; found {text!r}.{did_you_mean(text, known)}"
        )
    return text


def _run(options: argparse.Namespace) -> int:
    changes = {
        name: getattr(options, name)
        for name in ("quantize_to", "dimensionality", "vocabulary_quantization")
        if getattr(options, name) is not None
    }
    if not changes:
        raise InvalidInputError(
            "Expected --quantize-to, --dimensionality or --vocabulary-quantization; found none of them."
        )
    check_output(options.out, folder=True)
    from m2v_core.cli.info import describe
    from m2v_core.model import quantize_model
    from m2v_core.pipeline import StaticModelPipeline, load

    loaded = load(options.model)
    if isinstance(loaded, StaticModelPipeline):
        if "dimensionality" in changes:
            raise InvalidInputError(
                "--dimensionality is for models without a trained head, which needs all dimensions. Leave it out."
            )
        small = quantize_model(loaded.model, **changes)
        StaticModelPipeline(small, loaded.head).save_pretrained(options.out)
        large = loaded.model
    else:
        large, small = loaded, quantize_model(loaded, **changes)
        small.save_pretrained(options.out)
    before, after = describe(large), describe(small)
    if options.json:
        print(json_line({**after, "table_bytes_before": before["table_bytes"]}, sys.stdout))
    elif not options.quiet:
        sizes = " -> ".join(f"{int(str(facts['table_bytes'])) / 1e6:.1f} MB" for facts in (before, after))
        print(
            f"{options.out}: {small.n_tokens} tokens x {small.dim} dimensions, {small.embedding_dtype}, {sizes}",
            file=sys.stderr,
        )
    return 0
