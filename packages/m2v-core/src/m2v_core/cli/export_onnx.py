"""`m2v export onnx`: a model as an ONNX file, with its tokenizer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_model, add_quiet, set_run
from m2v_core.onnx import FORMS


def register(kinds: Subcommands) -> None:
    """Add the kind."""
    parser = kinds.add_parser(
        "onnx",
        help="for onnxruntime, fastembed and transformers.js (pip install m2v-core[onnx])",
        description="Write onnx/model.onnx, tokenizer.json and the settings that onnxruntime, fastembed and "
        "transformers.js read. A trained head is part of the graph. Needs m2v-core[onnx].",
    )
    add_model(parser)
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument(
        "--form",
        choices=FORMS,
        default="tokens",
        help="inputs and outputs: ids and mask to vectors of tokens and texts (tokens, the default), flat ids and "
        "offsets to vectors of texts (offsets), or what model2vec 0.10 exports (model2vec)",
    )
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    from m2v_core.onnx.export import ONNX_FILE, export_onnx
    from m2v_core.pipeline import load
    from m2v_core.storage.atomic import check_output

    check_output(options.out, folder=True)
    export_onnx(load(options.model, cache_bytes=0), options.out, form=options.form)
    file = options.out / ONNX_FILE
    size = file.stat().st_size
    if options.json:
        print(json_line({"folder": str(options.out), "file": str(file), "bytes": size}, sys.stdout))
    elif not options.quiet:
        print(f"{file}: {size / 1e6:.1f} MB", file=sys.stderr)
    return 0
