"""`m2v embed`: files of texts to shards of Parquet with their vectors."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from m2v_core.cli.encode import add_vector_options
from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_model, add_quiet, set_run, whole

EPILOG = """\
examples:
  m2v embed my-model tweets.parquet --out vectors
  m2v embed my-model 'lake/**/*.jsonl.gz' --out vectors --text-column body --keep id --precision float16

The same command continues after an interruption, and embeds inputs that are new or have changed.
"""


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "embed",
        help="embed files of any size into Parquet",
        description="Embed the texts of files: each becomes a Parquet file with its columns and the vectors. Needs "
        "m2v-core[embed].",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="files, or wildcards in quotes: .parquet; .arrow or .feather; .jsonl, .ndjson, .csv, .tsv or one text a "
        "line (.txt), these also with .gz or .zst after it",
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="the folder to write, or to continue")
    parser.add_argument(
        "--text-column", metavar="NAME", default="text", help="column, or key, of the texts (default: %(default)s)"
    )
    parser.add_argument("--keep", metavar="NAME", nargs="*", help="columns to keep; no name: none (default: all)")
    parser.add_argument(
        "--vector-column", metavar="NAME", default="vector", help="column of the vectors (default: %(default)s)"
    )
    add_vector_options(parser)
    parser.add_argument(
        "--workers", type=whole(1), metavar="N", help="processes, each on a file of its own (default: one a CPU)"
    )
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    from m2v_core.embed import embed_files

    started = time.perf_counter()
    given = ("text_column", "vector_column", "keep", "normalize", "truncate_dim", "precision", "prompt_name", "prompt")
    limit = {} if options.max_length is None else {"max_length": options.max_length}
    done = embed_files(
        options.model,
        options.inputs,
        options.out,
        workers=options.workers,
        show_progress_bar=False if options.quiet else None,
        **{name: getattr(options, name) for name in given},
        **limit,
    )
    seconds = time.perf_counter() - started
    if options.json:
        facts = {
            "out": str(done.folder),
            "shards": len(done.shards),
            "kept": done.n_kept,
            "texts": done.n_texts,
            "embedded": done.n_embedded,
            "unknown": done.n_unknown,
            "dimensions": done.dim,
            "dtype": done.dtype,
            "bytes": done.n_bytes,
            "seconds": seconds,
        }
        print(json_line(facts, sys.stdout))
    elif not options.quiet:
        speed = f", {done.n_embedded / seconds:.0f} texts a second" if done.n_embedded else ""
        kept = f" ({done.n_kept} of them from an earlier run)" if done.n_kept else ""
        print(
            f"{done.folder}: {len(done.shards)} shards{kept}, {done.n_texts} texts x {done.dim} {done.dtype}, "
            f"{done.n_bytes / 1e6:.1f} MB, {seconds:.1f} s{speed}",
            file=sys.stderr,
        )
        if done.n_unknown:
            print(
                f"{done.n_unknown} of {done.n_texts} texts hold no token that the model knows: their vectors are "
                f"zeros.",
                file=sys.stderr,
            )
    return 0
