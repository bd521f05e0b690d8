"""`m2v featurize`."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from m2v_distill.cli.distill import add_teacher_options, notes_on_stderr

if TYPE_CHECKING:
    from m2v_core.cli.parser import Subcommands

EPILOG = """\
examples:
  m2v featurize sentence-transformers/all-MiniLM-L6-v2 features --corpus texts.txt
  m2v featurize ./my-teacher features --corpus a.csv.gz b.parquet --text-column sentence

The same command goes on after an interruption, or after texts were added at the end of the corpus.
then: m2v distill TEACHER OUT --corpus features
"""


def register(commands: Subcommands) -> None:
    """Add the command to `m2v`; JAX is not imported before it runs."""
    parser = commands.add_parser(
        "featurize",
        help="keep what a sentence transformer makes of a corpus",
        description="Send the texts of a corpus through a sentence transformer once, and keep its vectors.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("teacher", metavar="TEACHER", help="a folder, or org/name on the Hugging Face Hub")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write, or to go on with")
    parser.add_argument(
        "--corpus",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="texts: .txt, one a line; .csv, .tsv, .jsonl, .ndjson, any of them .gz; .parquet",
    )
    parser.add_argument("--text-column", metavar="NAME", help="the column or key of the texts (default: text)")
    parser.add_argument(
        "--shard-size", type=int, default=4096, metavar="N", help="texts in a file of OUT (default: %(default)s)"
    )
    add_teacher_options(parser, each="text")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    with nullcontext() if options.quiet else notes_on_stderr():
        return _featurize(options)


def _featurize(options: argparse.Namespace) -> int:
    from m2v_distill.corpus.featurize import featurize
    from m2v_distill.corpus.read import read_texts
    from m2v_distill.teacher.teacher import Teacher

    texts = read_texts(options.corpus, text_column=options.text_column)
    # Counted first, for the time left: so an error in any line comes before the long work. A pipe is read only once.
    total = None
    if all(path.is_file() for path in options.corpus):
        total = sum(1 for _ in texts)
        texts = read_texts(options.corpus, text_column=options.text_column)
    teacher = Teacher.from_pretrained(
        options.teacher,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
        pooling=options.pooling,
        device=options.device,
        precision=options.precision,
        model_parallel=options.model_parallel,
        backend=options.backend,
        compute_as=options.compute_as,
    )
    started = time.perf_counter()
    store = featurize(
        teacher,
        texts,
        options.out,
        prompt=options.prompt,
        prompt_name=options.prompt_name,
        shard_size=options.shard_size,
        show_progress_bar=False if options.quiet else None,
        total=total,
    )
    seconds = time.perf_counter() - started
    if not options.quiet:
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
