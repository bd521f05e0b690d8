"""`m2v export sentence-transformers`: a folder for `SentenceTransformer`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_model, add_quiet, set_run
from m2v_core.storage.atomic import check_output


def register(kinds: Subcommands) -> None:
    """Add the kind."""
    parser = kinds.add_parser(
        "sentence-transformers",
        help="a folder for SentenceTransformer",
        description="Write a model as a folder of sentence-transformers: a float32 row for each token, which version "
        "3.2 and every newer one reads with the same vectors; prompts and similarity too. A trained head is left out. "
        "With --documents-by, encode_query is by the model, and encode_document by its teacher (5.0 and newer).",
    )
    add_model(parser)
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument(
        "--compact", action="store_true", help="keep float16, int8 and clusters; needs sentence-transformers 6.2"
    )
    parser.add_argument(
        "--documents-by",
        metavar="TEACHER",
        type=Path,
        help="a folder of the sentence transformer in whose space the model is, whose files are copied",
    )
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    check_output(options.out, folder=True)
    from m2v_core.model import StaticModel
    from m2v_core.router import save_router
    from m2v_core.sentence_transformers import save_sentence_transformers

    model = StaticModel.from_pretrained(options.model)
    if options.documents_by is None:
        save_sentence_transformers(model, options.out, compact=options.compact)
    else:
        save_router(model, options.documents_by, options.out, compact=options.compact)
    size = sum(file.stat().st_size for file in options.out.rglob("*.safetensors"))
    if options.json:
        facts = {"folder": str(options.out), "tokens": model.n_tokens, "dimensions": model.dim, "bytes": size}
        print(json_line(facts, sys.stdout))
    elif not options.quiet:
        print(f"{options.out}: {model.n_tokens} tokens x {model.dim} dimensions, {size / 1e6:.1f} MB", file=sys.stderr)
    return 0
