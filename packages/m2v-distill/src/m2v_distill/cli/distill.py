"""`m2v distill`."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from m2v_core.errors import InvalidInputError
from m2v_distill.config import DistillConfig

if TYPE_CHECKING:
    from m2v_core.cli.parser import Subcommands

EPILOG = """\
examples:
  m2v distill sentence-transformers/all-MiniLM-L6-v2 my-model
  m2v distill ./my-teacher my-model --pca-dims 128 --quantize-to int8
  m2v distill BAAI/bge-base-en-v1.5 my-model --pca-dims 0.95     keep 95% of the variance
  m2v distill ./my-teacher my-model --corpus texts.txt           fit it to texts, as good as yours are like them

then: m2v info my-model, m2v encode my-model texts.txt --out vectors.npy
"""


def register(commands: Subcommands) -> None:
    """Add the command to `m2v`; JAX is not imported before it runs."""
    parser = commands.add_parser(
        "distill",
        help="make a static model of a sentence transformer",
        description="Make a static model of a sentence transformer: its vocabulary (and texts) go through it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = DistillConfig()
    parser.add_argument("teacher", metavar="TEACHER", help="a folder, or org/name on the Hugging Face Hub")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument(
        "--method",
        default=default.method,
        help="composed: fit the table to random groups of tokens, or to a corpus; token: each token alone, as "
        "model2vec (default: %(default)s)",
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="fit the table to texts: .txt, one a line; .csv, .tsv, .jsonl, .parquet; or a folder of m2v featurize",
    )
    parser.add_argument("--text-column", metavar="NAME", help="the column or key of the texts (default: text)")
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="random groups that each token is in; more take longer and fit a little better (default: 4, or 20 with "
        "a corpus)",
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="of the random groups (default: %(default)s)")
    parser.add_argument(
        "--pca-dims",
        type=_pca_dims,
        default=default.pca_dims,
        metavar="N",
        help="dimensions to keep; 0.95: that share of the variance; auto: all, rotated; none: no PCA "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--sif-coefficient",
        type=_optional_float,
        default=default.sif_coefficient,
        metavar="A",
        help="how strongly frequent tokens are weighted down; none: not at all (default: %(default)s)",
    )
    parser.add_argument(
        "--frequencies",
        type=Path,
        metavar="FILE",
        help="how often tokens occur, for the weights: a JSON object (*.json), or lines of token<TAB>count "
        "(default: Zipf's law)",
    )
    parser.add_argument(
        "--token-remove-pattern",
        default=default.token_remove_pattern,
        metavar="REGEX",
        help="remove tokens that match at their start; '' removes none (default: %(default)s)",
    )
    parser.add_argument("--vocabulary", type=Path, metavar="FILE", help="words to add, one a line")
    parser.add_argument("--no-subword", action="store_true", help="know the words of --vocabulary and nothing else")
    parser.add_argument(
        "--quantize-to",
        default=default.quantize_to,
        metavar="DTYPE",
        help="float16, float32, float64 or int8 (default: %(default)s)",
    )
    parser.add_argument(
        "--vocabulary-quantization",
        type=int,
        metavar="N",
        help="rows of the table, each for a cluster of tokens (default: one a token)",
    )
    add_teacher_options(parser, each="token")
    parser.add_argument(
        "--resume", action="store_true", help="go on from what an interrupted run left beside OUT, in OUT.chunks"
    )
    group = parser.add_argument_group("several processes or hosts, which all run this command; process 0 writes OUT")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    group.add_argument("--processes", type=int, metavar="N", help="how many there are")
    group.add_argument("--process", type=int, metavar="I", help="which one this is, from 0")
    group.add_argument(
        "--distributed", action="store_true", help="in place of these where JAX finds out itself: TPU pods, Slurm, MPI"
    )
    parser.set_defaults(run=_run)


def add_teacher_options(parser: argparse.ArgumentParser, *, each: str) -> None:
    """Add the options of the teacher, which gets a prompt before `each` token or text."""
    default = DistillConfig()
    parser.add_argument("--device", help="cpu, gpu, tpu, gpu:1 (default: the best that JAX finds)")
    parser.add_argument(
        "--pooling",
        help="mean, first, last, max, weightedmean, mean_sqrt_len_tokens or pooler, in place of what the teacher's "
        "modules.json says",
    )
    parser.add_argument(
        "--precision",
        default=default.precision,
        help="of matrix products: float32, bfloat16, or auto: bfloat16 where it is fast (default: %(default)s)",
    )
    parser.add_argument(
        "--model-parallel",
        type=int,
        default=default.model_parallel,
        metavar="N",
        help="devices that share one copy of the weights (default: %(default)s)",
    )
    parser.add_argument(
        "--backend",
        default=default.backend,
        help="flax, torch (needs m2v-distill[torch]) or auto: torch only for what flax lacks (default: %(default)s)",
    )
    parser.add_argument(
        "--compute-as",
        metavar="MODEL_TYPE",
        help="the architecture that it equals, if its config names another or a class of its own: bert, "
        "bidirectional-llama, ...",
    )
    parser.add_argument("--prompt-name", help=f"put this prompt of the teacher's before each {each}")
    parser.add_argument("--prompt", help=f"put this text before each {each}")
    parser.add_argument("--revision", help="a branch, tag or commit of the teacher")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="let the teacher's repository bring code: of its tokenizer, and of a model that runs in PyTorch",
    )


def _pca_dims(text: str) -> int | float | str | None:
    if text in ("auto", "none"):
        return None if text == "none" else text
    return float(text) if "." in text else int(text)


def _optional_float(text: str) -> float | None:
    return None if text == "none" else float(text)


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Show what the package logs."""
    logger, notes = logging.getLogger("m2v_distill"), logging.StreamHandler()
    level = logger.level
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(notes)
        logger.setLevel(level)


def _is_first(options: argparse.Namespace) -> bool:
    """Join the other processes, if there are any, and say whether this is the one that writes."""
    given = (options.coordinator, options.processes, options.process)
    none = (None, None, None)
    if not options.distributed and given == none:
        return True
    if given != none if options.distributed else None in given:
        raise InvalidInputError(
            "Expected --coordinator, --processes and --process, all three, or --distributed alone; found "
            f"{', '.join(map(str, given))}{' and --distributed' if options.distributed else ''}."
        )
    if not options.distributed and not 0 <= options.process < options.processes:
        raise InvalidInputError(f"--process should be 0 to {options.processes - 1}; found {options.process}.")
    import jax

    try:
        jax.distributed.initialize(*given)
    except (RuntimeError, ValueError) as error:
        raise InvalidInputError(f"JAX could not join the other processes: {error}") from None
    return bool(jax.process_index() == 0)


def _run(options: argparse.Namespace) -> int:
    first = _is_first(options)
    with notes_on_stderr() if first else nullcontext():
        return _distill(options, first=first)


def _distill(options: argparse.Namespace, *, first: bool) -> int:
    started = time.perf_counter()
    if options.out.exists() and not options.out.is_dir():
        raise InvalidInputError(f"OUT should be a folder, or nothing yet; found a file: {options.out}")
    from m2v_distill.corpus.store import is_store
    from m2v_distill.pipeline import distill
    from m2v_distill.table import CORPUS
    from m2v_distill.teacher.engine.resume import ChunkStore

    out = options.out.resolve()
    chunks = ChunkStore(out.parent / f"{out.name}.chunks")
    if first and not options.resume and (chunks.found() or is_store(chunks.folder / CORPUS)):
        print(f"{chunks.folder} holds parts of an interrupted run: --resume goes on from them", file=sys.stderr)
    model = distill(
        options.teacher,
        trust_remote_code=options.trust_remote_code,
        revision=options.revision,
        method=options.method,
        corpus=options.corpus[0] if options.corpus and len(options.corpus) == 1 else options.corpus,
        text_column=options.text_column,
        rounds=options.rounds,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        model_parallel=options.model_parallel,
        backend=options.backend,
        compute_as=options.compute_as,
        prompt=options.prompt,
        prompt_name=options.prompt_name,
        checkpoint_dir=chunks.folder,
        resume=options.resume,
        pca_dims=options.pca_dims,
        sif_coefficient=options.sif_coefficient,
        frequencies=options.frequencies,
        token_remove_pattern=options.token_remove_pattern or None,
        vocabulary=options.vocabulary,
        use_subword=not options.no_subword,
        quantize_to=options.quantize_to,
        vocabulary_quantization=options.vocabulary_quantization,
        pooling=options.pooling,
        show_progress_bar=None if first else False,
    )
    if not first:
        return 0
    model.save_pretrained(options.out)
    shutil.rmtree(chunks.folder / CORPUS, ignore_errors=True)
    chunks.discard()
    seconds = time.perf_counter() - started
    print(
        f"{options.out}: {model.n_tokens} tokens x {model.dim} dimensions, {model.embedding_dtype}, {seconds:.1f} s",
        file=sys.stderr,
    )
    return 0
