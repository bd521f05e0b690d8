"""The command `m2v distill`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_quiet, set_run
from m2v_core.errors import InvalidInputError
from m2v_core.options import add_options, chosen
from m2v_core.storage.atomic import check_output
from m2v_distill.config import DistillConfig
from m2v_distill.corpus.store import CORPUS, check_corpus, is_store
from m2v_distill.logs import notes_on_stderr
from m2v_distill.teacher.engine.resume import ChunkStore
from m2v_distill.teacher.source import check_reference

EPILOG = """\
examples:
  m2v distill sentence-transformers/all-MiniLM-L6-v2 my-model
  m2v distill ./my-teacher my-model --pca-dims 128 --quantize-to int8
  m2v distill BAAI/bge-base-en-v1.5 my-model --pca-dims 0.95     keep 95% of the variance
  m2v distill ./my-teacher my-model --corpus texts.txt           fit it to texts that are like yours

then: m2v info my-model, m2v encode my-model texts.txt --out vectors.npy
"""

#: Options of the teacher, which `m2v featurize` shares.
TEACHER_OPTIONS = ("device", "pooling", "precision", "model_parallel", "backend", "compute_as", "prompt_name", "prompt")


def register(commands: Subcommands) -> None:
    """Add the command to `m2v`; JAX is not imported before it runs."""
    parser = commands.add_parser(
        "distill",
        help="distil a sentence transformer into a static model",
        description="Distil a sentence transformer into a static model, by its vocabulary and by texts if there are "
        "any.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("teacher", metavar="TEACHER", help="a folder, or org/name on the Hugging Face Hub")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    add_options(parser, DistillConfig, resume=False)
    add_source_options(parser)
    add_json(parser)
    add_quiet(parser)
    group = parser.add_argument_group("several processes or hosts, which all run this command; process 0 writes OUT")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="address at which process 0 listens")
    group.add_argument("--processes", type=int, metavar="N", help="number of processes")
    group.add_argument("--process", type=int, metavar="I", help="number of this process, from 0 on")
    group.add_argument(
        "--distributed", action="store_true", help="in place of these, where JAX finds them: TPU pods, Slurm, MPI"
    )
    set_run(parser, _run)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the teacher's repository."""
    parser.add_argument("--revision", metavar="NAME", help="a branch, tag or commit of the teacher")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run Python code of the teacher's repository: of its tokenizer, and of a model that runs in PyTorch",
    )


def one_or_several(paths: list[Path] | None) -> Path | list[Path] | None:
    """The corpus of the command line: a single path may be a folder of features."""
    return paths[0] if paths and len(paths) == 1 else paths


def _run(options: argparse.Namespace) -> int:
    given = {**chosen(options, DistillConfig), "corpus": one_or_several(getattr(options, "corpus", None))}
    config = DistillConfig(**{"resume": False, **given}).with_files_read()
    check_corpus(config.corpus, text_column=config.text_column)
    check_reference(options.teacher)
    _check_processes(options)
    check_output(options.out, folder=True)
    first = _is_first(options)
    with notes_on_stderr() if first and not options.quiet else nullcontext():
        return _distill(options, config, first=first)


def _distill(options: argparse.Namespace, config: DistillConfig, *, first: bool) -> int:
    started = time.perf_counter()
    from m2v_distill.pipeline import distilled

    out = options.out.resolve()
    chunks = ChunkStore(out.parent / f"{out.name}.chunks")
    speaks = first and not options.quiet

    def has_parts() -> bool:
        return bool(chunks.found()) or is_store(chunks.folder / CORPUS)

    if speaks and not config.resume and has_parts():
        print(f"{chunks.folder} holds parts of an interrupted run: --resume continues from them", file=sys.stderr)
    config = replace(config, checkpoint_dir=chunks.folder, show_progress_bar=None if speaks else False)
    try:
        model = distilled(
            options.teacher, config, trust_remote_code=options.trust_remote_code, revision=options.revision
        )
    except KeyboardInterrupt:
        if first and has_parts():
            print(f"{chunks.folder} holds the finished part: the same command with --resume continues", file=sys.stderr)
        raise
    if not first:
        return 0
    model.save_pretrained(options.out)
    shutil.rmtree(chunks.folder / CORPUS, ignore_errors=True)
    chunks.discard()
    seconds = time.perf_counter() - started
    tokens, dims, dtype = model.n_tokens, model.dim, model.embedding_dtype
    if options.json:
        facts = {"tokens": tokens, "dimensions": dims, "dtype": dtype, "seconds": seconds}
        print(json_line({"out": str(options.out), **facts}, sys.stdout))
    elif not options.quiet:
        print(f"{options.out}: {tokens} tokens x {dims} dimensions, {dtype}, {seconds:.1f} s", file=sys.stderr)
    return 0


def _check_processes(options: argparse.Namespace) -> None:
    given = (options.coordinator, options.processes, options.process)
    none = (None, None, None)
    if not options.distributed and given == none:
        return
    if given != none if options.distributed else None in given:
        raise InvalidInputError(
            "Expected --coordinator, --processes and --process, all three, or --distributed alone; found "
            f"{', '.join(map(str, given))}{' and --distributed' if options.distributed else ''}."
        )
    if not options.distributed and not 0 <= options.process < options.processes:
        raise InvalidInputError(f"--process should be 0 to {options.processes - 1}; found {options.process}.")


def _is_first(options: argparse.Namespace) -> bool:
    """Join the other processes, if there are any, and return whether this is the one that writes."""
    if not options.distributed and options.coordinator is None:
        return True
    import jax

    try:
        jax.distributed.initialize(options.coordinator, options.processes, options.process)
    except (RuntimeError, ValueError) as error:
        raise InvalidInputError(f"JAX could not join the other processes: {error}") from None
    return bool(jax.process_index() == 0)
