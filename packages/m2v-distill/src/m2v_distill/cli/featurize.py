"""The command `m2v featurize`."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_quiet, set_run, whole
from m2v_core.options import add_options, chosen
from m2v_core.storage.atomic import check_output
from m2v_distill.cli.distill import TEACHER_OPTIONS, add_source_options
from m2v_distill.config import DistillConfig
from m2v_distill.corpus.read import read_texts
from m2v_distill.corpus.store import check_corpus, check_folder
from m2v_distill.logs import notes_on_stderr
from m2v_distill.teacher.source import check_reference

EPILOG = """\
examples:
  m2v featurize sentence-transformers/all-MiniLM-L6-v2 features --corpus texts.txt
  m2v featurize ./my-teacher features --corpus a.csv.gz b.parquet --text-column sentence

The same command continues after an interruption, or after texts were added at the end of the corpus.
then: m2v distill TEACHER OUT --corpus features
"""


def register(commands: Subcommands) -> None:
    """Add the command to `m2v`; JAX is not imported before it runs."""
    parser = commands.add_parser(
        "featurize",
        help="store a sentence transformer's vectors of a corpus",
        description="Embed the texts of a corpus with a sentence transformer once, and store texts and vectors.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("teacher", metavar="TEACHER", help="a folder, or org/name on the Hugging Face Hub")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write, or to continue")
    parser.add_argument(
        "--corpus",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="texts: .txt, one a line; .csv, .tsv, .jsonl, .ndjson, any of them .gz; .parquet",
    )
    parser.add_argument(
        "--shard-size", type=whole(1), default=4096, metavar="N", help="texts in a file of OUT (default: %(default)s)"
    )
    add_options(parser, DistillConfig, ("text_column", *TEACHER_OPTIONS))
    add_source_options(parser)
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    config = DistillConfig(**chosen(options, DistillConfig))
    check_corpus(options.corpus, text_column=config.text_column)
    check_reference(options.teacher)
    check_output(options.out, folder=True)
    check_folder(options.out)
    with nullcontext() if options.quiet else notes_on_stderr():
        return _featurize(options, config)


def _featurize(options: argparse.Namespace, config: DistillConfig) -> int:
    texts = read_texts(options.corpus, text_column=config.text_column)
    # Counted first, for the time left; so an error in any line comes before the expensive part. A pipe is read once.
    total = None
    if all(path.is_file() for path in options.corpus):
        total = sum(1 for _ in texts)
        texts = read_texts(options.corpus, text_column=config.text_column)
    from m2v_distill.corpus.featurize import featurize
    from m2v_distill.pipeline import load_teacher

    teacher = load_teacher(
        options.teacher, config, revision=options.revision, trust_remote_code=options.trust_remote_code
    )
    started = time.perf_counter()
    store = featurize(
        teacher,
        texts,
        options.out,
        prompt=config.prompt,
        prompt_name=config.prompt_name,
        shard_size=options.shard_size,
        show_progress_bar=False if options.quiet else None,
        total=total,
    )
    seconds = time.perf_counter() - started
    if options.json:
        facts = {"texts": store.n_texts, "kept": store.n_kept, "dimensions": store.dim, "bytes": store.n_bytes}
        print(json_line({"out": str(store.folder), **facts, "seconds": seconds}, sys.stdout))
    elif not options.quiet:
        computed = store.n_texts - store.n_kept
        speed = f", {_per_text(seconds / computed)}" if computed else ""
        kept = f" ({store.n_kept} of them from an earlier run)" if store.n_kept else ""
        print(
            f"{store.folder}: {store.n_texts} texts x {store.dim}{kept}, {seconds:.1f} s{speed}, "
            f"{store.n_bytes / 1e6:.1f} MB\n"
            f"use it: m2v distill {options.teacher} OUT --corpus {store.folder}",
            file=sys.stderr,
        )
    return 0


def _per_text(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} microseconds a text" if seconds < 1e-3 else f"{1e3 * seconds:.1f} milliseconds a text"
