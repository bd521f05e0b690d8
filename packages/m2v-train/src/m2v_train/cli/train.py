"""The command `m2v train`. JAX is imported after options, files and columns are checked."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import MODEL, TABLES, Subcommands, add_json, add_model, add_quiet, set_run
from m2v_core.errors import InvalidInputError
from m2v_core.evaluation import report_table
from m2v_core.measures import measures_table, number_measures, pair_measures
from m2v_core.options import add_options, chosen, flag_of, options_of
from m2v_core.redact import printable
from m2v_core.results import results_of, save_results
from m2v_core.storage.atomic import check_output
from m2v_core.storage.files import read_json
from m2v_core.vectors import unit
from m2v_train.config import ClassificationConfig, PairConfig, TrainConfig
from m2v_train.data.examples import Examples, read_classes, read_pairs, read_vectors
from m2v_train.data.files import FileColumn
from m2v_train.plots import confusion_matrix, learning_curves, require_matplotlib, save_png

if TYPE_CHECKING:
    from m2v_core import StaticModelPipeline
    from m2v_core.search import RetrievalEvaluator

EPILOG = """\
examples:
  m2v train classify my-model train.csv my-classifier --label-column category
  m2v train classify my-model train.jsonl my-tagger --label-column tags     lists of labels: any number per text
  m2v train classify my-model train.csv my-tagger --label-column tags --label-separator ';'
  m2v train regression my-model train.csv my-scorer --target-column score
  m2v train similarity my-model vectors.parquet my-student --target-column vector     such as a larger model's
  m2v train pairs my-model train.csv my-retriever --text-a-column question --text-b-column answer

then: m2v predict OUT texts.txt, m2v evaluate OUT test.csv, which need m2v-core alone
"""

#: Measures of a pipeline on examples, and a table of them.
Measured = tuple[Mapping[str, Any], str]


@dataclass(frozen=True)
class Command:
    """One of the commands.

    Attributes:
        help: Purpose.
        estimator: Name of the class in `m2v_train`.
        config: Dataclass with the options.
        add_columns: Adds the flags that name columns.
        columns: Columns by the names of `fit`'s parameters.
        read: Reads examples from a file.
        measure: Measures a trained pipeline on examples.
    """

    help: str
    estimator: str
    config: type[TrainConfig]
    add_columns: Callable[[argparse.ArgumentParser], None]
    columns: Callable[[argparse.Namespace], dict[str, str | list[str]]]
    read: Callable[[Path, argparse.Namespace], Examples]
    measure: Callable[[StaticModelPipeline, Examples], Measured]


def _add_column(parser: argparse.ArgumentParser, name: str, help: str, default: str | None = None) -> None:
    shown = help if default is None else f"{help} (default: {default})"
    parser.add_argument(f"--{name}-column", metavar="NAME", default=default, help=shown)


def _add_class_columns(parser: argparse.ArgumentParser) -> None:
    _add_column(parser, "text", "column of the texts", "text")
    _add_column(parser, "label", "column of the labels, or of lists of labels", "label")
    parser.add_argument(
        "--label-separator", metavar="S", help="separator of several labels in one field of a .csv or .tsv file"
    )


def _add_target_columns(parser: argparse.ArgumentParser) -> None:
    _add_column(parser, "text", "column of the texts", "text")
    parser.add_argument(
        "--target-column",
        metavar="NAME",
        nargs="+",
        default=["target"],
        help="columns of numbers, or one column of lists of numbers (default: target)",
    )


def _add_pair_columns(parser: argparse.ArgumentParser) -> None:
    _add_column(parser, "text-a", "column of the first texts", "text_a")
    _add_column(parser, "text-b", "column of the second texts", "text_b")
    _add_column(
        parser,
        "negative",
        "column of texts, or of lists of them, that are similar to the second ones but do not belong to the first",
    )
    parser.add_argument(
        "--retrieval",
        metavar="DIR",
        type=Path,
        help="a collection in the layout of BEIR (corpus.jsonl, queries.jsonl, qrels.tsv): search in it, and not the "
        "loss, selects the best state and stops training",
    )


def _target_columns(options: argparse.Namespace) -> dict[str, str | list[str]]:
    return {"X": options.text_column, "y": options.target_column}


def _read_targets(path: Path, options: argparse.Namespace) -> Examples:
    return read_vectors(path, text=options.text_column, targets=options.target_column)


def _pair_columns(options: argparse.Namespace) -> dict[str, Any]:
    """The columns of a table by the parameters of `fit` that take them."""
    return {"text_a": options.text_a_column, "text_b": options.text_b_column, "negatives": options.negative_column}


def _read_pairs(path: Path, options: argparse.Namespace) -> Examples:
    """Texts of pairs; only those of validation if the others are read in parts."""
    names = _pair_columns(options)
    if getattr(options, "tokens_dir", None) is not None and path == options.file:
        columns: Any = {name: FileColumn(path, column) for name, column in names.items() if column is not None}
        return cast("Examples", columns)
    return read_pairs(path, **names)


def _measured_classes(pipeline: StaticModelPipeline, examples: Examples) -> Measured:
    report = pipeline.evaluate(examples["X"], examples["y"])
    return report, report_table(report)


def _measured_numbers(pipeline: StaticModelPipeline, examples: Examples) -> Measured:
    found = number_measures(np.array(examples["y"]), pipeline.predict(examples["X"]))
    return found, measures_table(found, len(examples["X"]))


def _measured_vectors(pipeline: StaticModelPipeline, examples: Examples) -> Measured:
    cosines = (unit(pipeline.predict(examples["X"])) * unit(np.array(examples["y"]))).sum(axis=1)
    found = {"mean cosine": float(cosines.mean())}
    return found, measures_table(found, len(cosines))


def _measured_pairs(pipeline: StaticModelPipeline, examples: Examples) -> Measured:
    first, second = (pipeline.predict(examples[name]) for name in ("text_a", "text_b"))
    found = pair_measures(first, second, examples["text_b"])
    return found, measures_table(found, len(first))


COMMANDS = {
    "classify": Command(
        help="predict the class of a text, or its labels",
        estimator="StaticModelForClassification",
        config=ClassificationConfig,
        add_columns=_add_class_columns,
        columns=lambda options: {"X": options.text_column, "y": options.label_column},
        read=lambda path, options: read_classes(
            path, text=options.text_column, label=options.label_column, separator=options.label_separator
        ),
        measure=_measured_classes,
    ),
    "regression": Command(
        help="predict numbers",
        estimator="StaticModelForRegression",
        config=TrainConfig,
        add_columns=_add_target_columns,
        columns=_target_columns,
        read=_read_targets,
        measure=_measured_numbers,
    ),
    "similarity": Command(
        help="give vectors similar to given ones",
        estimator="StaticModelForSimilarity",
        config=TrainConfig,
        add_columns=_add_target_columns,
        columns=_target_columns,
        read=_read_targets,
        measure=_measured_vectors,
    ),
    "pairs": Command(
        help="give similar vectors to texts that belong together",
        estimator="StaticModelForPairSimilarity",
        config=PairConfig,
        add_columns=_add_pair_columns,
        columns=_pair_columns,
        read=_read_pairs,
        measure=_measured_pairs,
    ),
}


def register(commands: Subcommands) -> None:
    """Add the command to `m2v`."""
    parser = commands.add_parser(
        "train",
        help="fine-tune a static model: classes, numbers, similarity",
        description="Fine-tune a static model on examples. The result runs with m2v-core alone.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", required=True)
    for name, command in COMMANDS.items():
        _add_command(tasks, name, command)


def _add_command(tasks: Subcommands, name: str, command: Command) -> None:
    parser = tasks.add_parser(name, help=command.help, description=f"Train a model to {command.help}.")
    add_model(parser, f"the model to start from: {MODEL}")
    parser.add_argument("file", metavar="FILE", type=Path, help=f"examples: {TABLES}")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    command.add_columns(parser)
    parser.add_argument("--val", metavar="FILE", type=Path, help="examples for validation (default: some of FILE's)")
    parser.add_argument(
        "--plot",
        metavar="DIR",
        type=Path,
        help="write learning_curves.png there and, for single labels, confusion_matrix.png; or NAME.png, for the "
        "curves, and NAME-confusion.png (pip install m2v-train[plot])",
    )
    add_quiet(parser)
    add_json(parser)
    add_options(parser.add_argument_group("training"), command.config)
    set_run(parser, lambda options: _run(command, options))


def _run(command: Command, options: argparse.Namespace) -> int:
    names = _command_names(command, options)
    with _renamed_in_errors(names):
        settings = _checked_settings(command, options)
    plots = None if options.plot is None else _plot_files(options.plot)
    evaluator = _evaluator(getattr(options, "retrieval", None))
    examples = command.read(options.file, options)
    validation = None if options.val is None else command.read(options.val, options)
    if isinstance(settings.get("class_weight"), dict):
        settings["class_weight"] = _by_class(settings["class_weight"], examples["y"])

    from m2v_core import StaticModel

    model = StaticModel.from_pretrained(options.model)
    import m2v_train

    started = time.perf_counter()
    show = False if options.quiet else None
    estimator = getattr(m2v_train, command.estimator)(model, **settings, show_progress_bar=show)
    with _renamed_in_errors(names), _notes(names, quiet=options.quiet):
        held_out = {f"{name}_val": column for name, column in (validation or {}).items()}
        estimator.fit(**examples, **held_out, **({} if evaluator is None else {"evaluator": evaluator}))
    pipeline = estimator.to_pipeline()
    (pipeline if pipeline.head.layers else pipeline.model).save_pretrained(options.out)
    if settings.get("checkpoint_dir") is not None:
        from m2v_train.engine.checkpoint import discard

        discard(settings["checkpoint_dir"])
    seconds = time.perf_counter() - started
    n_examples = estimator.n_examples_
    if validation is None:
        rows = estimator.validation_indices_
        validation = {name: _taken(column, rows) for name, column in examples.items()}
    measures, table = command.measure(pipeline, validation)
    if evaluator is not None:
        measures = {**measures, **evaluator(pipeline)}
        table = measures_table(measures, len(validation["text_a"]))
    print(json_line(measures, sys.stdout) if options.json else table)
    source, split = (options.file, "validation") if options.val is None else (options.val, None)
    save_results(options.out, results_of(measures, dataset=source.name, split=split))
    if plots:
        _plot(plots, estimator.history_, pipeline, validation)
    if not options.quiet:
        summary = f"{n_examples} examples, {len(estimator.history_)} validations, {seconds:.1f} s"
        print(f"{options.out}: {summary}", file=sys.stderr)
    return 0


def _taken(column: Any, rows: Sequence[int]) -> list[Any]:
    return column.take(rows) if isinstance(column, FileColumn) else [column[row] for row in rows]


def _evaluator(folder: Path | None) -> RetrievalEvaluator | None:
    if folder is None:
        return None
    from m2v_core.search import RetrievalEvaluator  # few need it

    return RetrievalEvaluator.from_folder(folder)


# --- options ----------------------------------------------------------------------------------------------------------


def _checked_settings(command: Command, options: argparse.Namespace) -> dict[str, Any]:
    """The options that were given; they, and the folders to write, are checked."""
    settings = chosen(options, command.config)
    weights = settings.get("class_weight")
    if isinstance(weights, str):
        settings["class_weight"] = _read_weights(weights)
    command.config(**settings)
    for folder in (options.out, settings.get("checkpoint_dir")):
        if folder is not None:
            check_output(folder, folder=True)
    return settings


def _read_weights(value: str) -> Any:
    """Class weights from a JSON file, or the word `balanced`."""
    if value == "balanced":
        return value
    path = Path(value)
    if not path.is_file():
        raise InvalidInputError(f"class_weight should be balanced, or a JSON file; found {value!r}, which is no file.")
    return read_json(path)


def _by_class(weights: Mapping[str, Any], labels: list[Any]) -> dict[Any, Any]:
    """Weights with classes as keys: in JSON the key of class 3 is "3"."""
    rows = chain.from_iterable(label if isinstance(label, list) else [label] for label in labels)
    classes = {str(label): label for label in rows}
    return {classes.get(name, name): weight for name, weight in weights.items()}


def _plot_files(where: Path) -> tuple[Path, Path]:
    """The files for the curves and the matrix; their folder is made."""
    require_matplotlib()
    if where.suffix.lower() == ".png":
        files = where, where.with_name(f"{where.stem}-confusion.png")
    else:
        files = where / "learning_curves.png", where / "confusion_matrix.png"
    check_output(files[0].parent, folder=True)
    files[0].parent.mkdir(parents=True, exist_ok=True)
    for file in files:
        check_output(file)
    return files


def _plot(
    files: tuple[Path, Path], history: list[dict[str, Any]], pipeline: StaticModelPipeline, validation: Examples
) -> None:
    save_png(learning_curves(history), files[0])
    if pipeline.head.activation == "softmax":
        save_png(confusion_matrix(validation["y"], pipeline.predict(validation["X"]).tolist()), files[1])


# --- messages in the command's words ----------------------------------------------------------------------------------


def _command_names(command: Command, options: argparse.Namespace) -> dict[str, str]:
    """Flags and columns by the names that parameters have in Python."""
    flags = {name: flag_of(name, shown) for name, shown in options_of(command.config).items()}
    columns: dict[str, str] = {}
    for name, column in command.columns(options).items():
        titles = [column] if isinstance(column, str) else column or []
        title = f"the column{'s' * (len(titles) > 1)} {', '.join(map(repr, titles))}"
        columns |= {name: f"{title} of {options.file}", f"{name}_val": f"{title} of {options.val}"}
    return flags | columns


def _translated(message: str, names: Mapping[str, str]) -> str:
    """A message with the command's names in place of Python's; what is quoted stays.

    Example:
        >>> _translated("max_epochs should be a whole number, -1 or more, or None", {"max_epochs": "--max-epochs"})
        '--max-epochs should be a whole number, -1 or more, or none'
    """
    pattern = rf"(?<![\w'/.-])({'|'.join(sorted(names, key=len, reverse=True))})(?![\w'/.-])"
    return re.sub(pattern, lambda match: names[match[0]], message).replace("or None", "or none")


@contextmanager
def _renamed_in_errors(names: Mapping[str, str]) -> Iterator[None]:
    """Raise errors about inputs with the command's names."""
    try:
        yield
    except InvalidInputError as error:
        if type(error) is not InvalidInputError:
            raise
        raise InvalidInputError(_translated(str(error), names)) from None


@contextmanager
def _notes(names: Mapping[str, str], *, quiet: bool) -> Iterator[None]:
    """Print log records of the package on stderr, unless `quiet`."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kind = "warning" if record.levelno >= logging.WARNING else "note"
            print(f"m2v: {kind}: {printable(_translated(record.getMessage(), names))}", file=sys.stderr)

    logger, handler = logging.getLogger("m2v_train"), logging.NullHandler() if quiet else Handler()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
