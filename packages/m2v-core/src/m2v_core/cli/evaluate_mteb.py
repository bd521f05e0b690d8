"""`m2v evaluate-mteb`: models on the tasks of mteb."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import MODEL, Subcommands, add_json, add_quiet, set_run
from m2v_core.errors import InvalidInputError


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate-mteb",
        help="measure models on the tasks of mteb",
        description="Measure models on tasks of mteb, whose data mteb downloads, and on files of pairs. Prints means "
        "by type of task as a table in Markdown, the best model first. Needs m2v-core[mteb].",
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help=MODEL)
    parser.add_argument(
        "--tasks", metavar="NAME", nargs="*", help="mteb's tasks, such as STS12 (default: those of --benchmark)"
    )
    parser.add_argument("--task-types", metavar="TYPE", nargs="+", help="keep tasks of these types, such as STS")
    parser.add_argument("--benchmark", metavar="NAME", help="one of mteb's benchmarks (default: MTEB(eng, v1))")
    parser.add_argument(
        "--word-similarity",
        metavar="FILE",
        type=Path,
        nargs="+",
        default=[],
        help="pairs of words with scores (.csv, .tsv); without --tasks and --benchmark nothing else is measured",
    )
    parser.add_argument(
        "--phrases", metavar="FILE", type=Path, nargs="+", default=[], help="pairs of phrases with scores, likewise"
    )
    parser.add_argument(
        "--eval-splits", metavar="SPLIT", nargs="+", help="splits of the data (default: each task's own)"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="store mteb's results, and use those that are there")
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    names = [Path(model).name for model in options.models]
    labels = names if len(set(names)) == len(names) else options.models
    if len(set(labels)) < len(labels):
        raise InvalidInputError(f"MODEL should be different models; found {', '.join(labels)}.")
    from m2v_core.integrations.mteb import (
        CustomMTEB,
        get_tasks,
        make_leaderboard,
        parse_mteb_results,
        summarize_results,
    )

    only_files = options.tasks is None and options.benchmark is None and (options.word_similarity or options.phrases)
    chosen = {} if options.benchmark is None else {"benchmark": options.benchmark}
    tasks = get_tasks(
        options.task_types,
        tasks=[] if only_files else options.tasks,
        word_similarity=options.word_similarity,
        phrases=options.phrases,
        **chosen,
    )
    evaluation, parsed = CustomMTEB(tasks), {}
    for label, model in zip(labels, options.models, strict=True):
        results = evaluation.run(
            model,
            eval_splits=options.eval_splits,
            output_folder=options.out,
            show_progress_bar=not options.quiet and sys.stderr.isatty(),
        )
        parsed.update(parse_mteb_results(results, label))
    summary = summarize_results(parsed)
    if options.json:
        scores = {label: {name: asdict(score) for name, score in found.items()} for label, found in parsed.items()}
        print(json_line({"scores": scores, "means": summary}, sys.stdout))
    else:
        print(make_leaderboard(summary))
    return 0
