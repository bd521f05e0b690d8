"""`m2v evaluate`: how good a trained model is on examples."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import TABLES, Subcommands, add_json, add_model, add_quiet, set_run
from m2v_core.cli.predict import add_threshold
from m2v_core.errors import InvalidInputError

if TYPE_CHECKING:
    from m2v_core.model import StaticModel
    from m2v_core.pipeline import StaticModelPipeline

#: Texts from which on the time of embedding them says something.
_TIMED = 1000

_PAIRS, _NUMBERS, _CLASSES = "pairs", "numbers", "classes"


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a trained model on examples",
        description="Measure a trained model on examples. A classifier: precision, recall and F1 of each label. A head "
        "of numbers: their errors, with --target-column. Pairs of texts: cosines, with --text-a-column.",
    )
    add_model(parser, "a trained model: a folder, or org/name (pip install m2v-hub)")
    parser.add_argument("file", metavar="FILE", type=Path, help=f"examples: {TABLES}")
    parser.add_argument("--text-column", metavar="NAME", help="column of the texts (default: text)")
    parser.add_argument("--label-column", metavar="NAME", help="column of the labels (default: label)")
    parser.add_argument(
        "--label-separator",
        metavar="S",
        help="what separates the labels of a text in .csv and .tsv, where it may have several",
    )
    parser.add_argument(
        "--target-column", metavar="NAME", nargs="+", help="columns of numbers, or one of lists (default: target)"
    )
    parser.add_argument("--text-a-column", metavar="NAME", help="column of the first texts of pairs")
    parser.add_argument("--text-b-column", metavar="NAME", help="column of the second texts (default: text_b)")
    add_threshold(parser)
    parser.add_argument(
        "--save", action="store_true", help="keep the results beside the model, in a folder, for its card (m2v card)"
    )
    parser.add_argument("--dataset", metavar="ID", help="name of the data set in the card (default: the file's)")
    parser.add_argument("--split", metavar="NAME", help="part of the data set, such as test")
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    from m2v_core.data.columns import kind_of

    kind_of(options.file)
    _check_saving(options)
    asked = _asked(options)
    rows = None if asked is None else _rows(options, asked)  # checked before a model is loaded, or fetched
    from m2v_core.pipeline import StaticModelPipeline, load

    model = load(options.model)
    if isinstance(model, StaticModelPipeline):
        what, fits = (
            ("a classifier", [_CLASSES]) if model.classes_ is not None else ("a head of numbers", [_NUMBERS, _PAIRS])
        )
    else:
        what, fits = "a model without a trained head", [_PAIRS]
    kind = asked or fits[0]
    if kind not in fits:
        raise InvalidInputError(
            f"{options.model} is {what}, which is measured on {' or '.join(fits)}; found options for {kind}. See m2v "
            f"evaluate --help."
        )
    rows = _rows(options, kind) if rows is None else rows
    if isinstance(model, StaticModelPipeline) and kind == _CLASSES:
        report, table = _of_classes(model, rows, options)
    elif isinstance(model, StaticModelPipeline) and kind == _NUMBERS:
        report, table = _of_numbers(model, rows, options)
    else:
        report, table = _of_pairs(model, rows)
    print(json_line(report, sys.stdout) if options.json else table)
    if options.save:
        _save(model, report, rows, kind, options)
    return 0


def _check_saving(options: argparse.Namespace) -> None:
    if not options.save and (options.dataset or options.split):
        raise InvalidInputError("--dataset and --split name the results that --save keeps. Add --save.")
    if options.save and not Path(options.model).is_dir():
        raise InvalidInputError(
            f"--save needs a model in a folder; found {options.model!r}. See m2v pull --out FOLDER."
        )


def _save(
    model: StaticModel | StaticModelPipeline,
    report: Mapping[str, Any],
    rows: list[tuple[Any, ...]],
    kind: str,
    options: argparse.Namespace,
) -> None:
    """Keep the results, and the speed if there were texts enough to measure it."""
    from m2v_core.results import machine, results_of, save_results

    dataset, speed = options.dataset or options.file.name, None
    texts = [text for row in rows for text in (row if kind == _PAIRS else row[:1])]
    if len(texts) >= _TIMED:
        embed = model.encode if hasattr(model, "encode") else model.model.encode
        started = time.perf_counter()
        embed(texts)
        seconds = time.perf_counter() - started
        speed = {"texts_per_second": round(len(texts) / seconds), "machine": machine(), "dataset": dataset}
    file = save_results(options.model, results_of(report, dataset=dataset, split=options.split), speed=speed)
    if not options.quiet:
        print(f"{file}: kept for the model's card", file=sys.stderr)


def _asked(options: argparse.Namespace) -> str | None:
    """The kind of measures that the options ask for; `None` if the model decides."""
    if options.text_a_column or options.text_b_column:
        return _PAIRS
    if options.target_column:
        return _NUMBERS
    return _CLASSES if options.label_column or options.label_separator is not None else None


def _rows(options: argparse.Namespace, kind: str) -> list[tuple[Any, ...]]:
    """The rows of the file: texts, and the labels, numbers or second texts that belong to them."""
    from m2v_core.data.columns import as_text, place_of, read_columns, read_labelled

    text, place = options.text_column or "text", place_of(options.file)
    found: list[tuple[Any, ...]]
    if kind == _CLASSES:
        label, hint = options.label_column or "label", "Name the columns with --text-column and --label-column."
        found = [*read_labelled(options.file, text, label, separator=options.label_separator, hint=hint)]
    elif kind == _NUMBERS:
        targets, hint = options.target_column or ["target"], "Name the columns with --text-column and --target-column."
        rows = read_columns(options.file, [text, *targets], hint=hint)
        found = [(as_text(one, place, number), _numbers(rest, place, number)) for number, (one, *rest) in rows]
    else:
        names = [options.text_a_column or "text_a", options.text_b_column or "text_b"]
        rows = read_columns(options.file, names, hint="Name the columns with --text-a-column and --text-b-column.")
        found = [tuple(as_text(one, place, number) for one in values) for number, values in rows]
    if not found:
        raise InvalidInputError(f"{options.file}: expected rows of examples; found none.")
    return found


def _numbers(values: Sequence[Any], place: str, number: int) -> list[float]:
    """The numbers of a row: of several columns, or of one that holds a list."""
    items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    try:
        return [float(item) for item in items]
    except (TypeError, ValueError):
        raise InvalidInputError(f"{place} {number}: expected numbers; found {items!r:.100}.") from None


def _of_classes(
    pipeline: StaticModelPipeline, rows: list[tuple[Any, ...]], options: argparse.Namespace
) -> tuple[Mapping[str, Any], str]:
    from m2v_core.evaluation import report_table
    from m2v_core.head import Activation

    classes = {str(name): name for name in pipeline.head.classes_.tolist()}  # type: ignore[union-attr] # it has some
    texts = [text for text, _ in rows]
    labels = [
        [_known(one, classes) for one in label] if isinstance(label, list) else _known(label, classes)
        for _, label in rows
    ]
    if pipeline.head.activation is Activation.SIGMOID and any(not isinstance(label, list) for label in labels):
        raise InvalidInputError(
            f"{options.file}: expected lists of labels, as the head may give several; found single ones. Say what "
            f"separates them with --label-separator, or write lists in JSONL."
        )
    found = {str(one) for label in labels for one in (label if isinstance(label, list) else [label])}
    if found and found.isdisjoint(classes):
        raise InvalidInputError(
            f"{options.file}: none of the labels in the column {options.label_column or 'label'!r} is a class of the "
            f"head. Expected {_some(classes)}; found {_some(found)}. Name the column of the labels with --label-column."
        )
    show = not (options.json or options.quiet) and sys.stderr.isatty()
    report = pipeline.evaluate(texts, labels, threshold=options.threshold, show_progress_bar=show)
    return report, report_table(report)


def _some(names: Sequence[str] | set[str] | Mapping[str, Any]) -> str:
    """Some names, and how many others there are."""
    first = sorted(names)[:5]
    more = f" and {len(names) - len(first)} others" if len(names) > len(first) else ""
    return ", ".join(repr(name[:50]) for name in first) + more


def _known(label: str | int, classes: Mapping[str, Any]) -> Any:
    """`label` in the form of the classes: a CSV file holds "3" where the class is 3."""
    if str(label) in classes:
        return classes[str(label)]
    kind = next(map(type, classes.values()), str)
    try:
        return label if kind is bool else kind(label)
    except ValueError:
        return label


def _of_numbers(
    pipeline: StaticModelPipeline, rows: list[tuple[Any, ...]], options: argparse.Namespace
) -> tuple[Mapping[str, Any], str]:
    import numpy as np

    from m2v_core.measures import measures_table, number_measures

    texts, targets = [text for text, _ in rows], [numbers for _, numbers in rows]
    width = pipeline.head.widths[-1] if pipeline.head.layers else pipeline.model.dim
    if {len(numbers) for numbers in targets} != {width}:
        lengths = ", ".join(map(str, sorted({len(numbers) for numbers in targets})))
        raise InvalidInputError(
            f"{options.file}: expected {width} numbers a row, as the head predicts; found {lengths}. Name their "
            f"columns with --target-column."
        )
    report = number_measures(np.array(targets), pipeline.predict(texts))
    return report, measures_table(report, len(texts))


def _of_pairs(model: StaticModel | StaticModelPipeline, rows: list[tuple[Any, ...]]) -> tuple[Mapping[str, Any], str]:
    from m2v_core.measures import measures_table, pair_measures
    from m2v_core.model import StaticModel

    first, second = ([row[side] for row in rows] for side in (0, 1))
    vectors = model.encode if isinstance(model, StaticModel) else model.predict
    report = pair_measures(vectors(first), vectors(second), second)
    return report, measures_table(report, len(first))
