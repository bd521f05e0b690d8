"""`m2v train`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2v_core.errors import InvalidInputError
from m2v_core.storage.files import read_json
from m2v_train.config import ClassificationConfig, PairConfig, TrainConfig
from m2v_train.data.examples import Examples, read_classes, read_pairs, read_vectors
from m2v_train.options import add_options, chosen
from m2v_train.plots import confusion_matrix, learning_curves, require_matplotlib, save_png

if TYPE_CHECKING:
    from m2v_core import StaticModelPipeline
    from m2v_core.cli.parser import Subcommands

EPILOG = """\
examples:
  m2v train classify my-model train.csv my-classifier --text text --label category
  m2v train classify my-model train.jsonl my-tagger --label tags            lists of labels: any number for a text
  m2v train classify my-model train.csv my-tagger --label tags --label-separator ';'
  m2v train regression my-model train.csv my-scorer --target score
  m2v train similarity my-model vectors.parquet my-student --target vector  lists of numbers, as of a larger model
  m2v train pairs my-model train.csv my-retriever --text-a question --text-b answer

then: m2v predict OUT texts.txt, m2v evaluate OUT test.csv, which need m2v-core alone
"""
_FILE = ".csv, .tsv, .jsonl or .ndjson, also with .gz after it, or .parquet"


@dataclass(frozen=True)
class Task:
    """A kind of training.

    Attributes:
        help: What it is for.
        estimator: The class in `m2v_train`.
        config: Its options.
        columns: Adds the options that name columns.
        read: Reads examples from a file.
        measure: The function of `m2v_train.measures` that tells how good it is.
    """

    help: str
    estimator: str
    config: type[TrainConfig]
    columns: Callable[[argparse.ArgumentParser], None]
    read: Callable[[Path, argparse.Namespace], Examples]
    measure: str


def _class_columns(parser: argparse.ArgumentParser) -> None:
    _text_column(parser)
    parser.add_argument(
        "--label", metavar="COLUMN", default="label", help="the column of the labels, or lists of them (default: label)"
    )
    parser.add_argument(
        "--label-separator",
        metavar="S",
        help="what stands between the labels of a text in .csv and .tsv, where it may have several",
    )


def _target_columns(parser: argparse.ArgumentParser) -> None:
    _text_column(parser)
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        nargs="+",
        default=["target"],
        help="columns of numbers, or one of lists of numbers (default: target)",
    )


def _text_column(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", metavar="COLUMN", default="text", help="the column of the texts (default: text)")


def _pair_columns(parser: argparse.ArgumentParser) -> None:
    for name in ("text-a", "text-b"):
        parser.add_argument(
            f"--{name}", metavar="COLUMN", default=name.replace("-", "_"), help="(default: %(default)s)"
        )
    parser.add_argument("--negative", metavar="COLUMN", help="texts that are alike but do not belong to text_a")


def _read_targets(path: Path, options: argparse.Namespace) -> Examples:
    return read_vectors(path, text=options.text, targets=options.target)


TASKS = {
    "classify": Task(
        help="tell the class of a text, or its labels",
        estimator="StaticModelForClassification",
        config=ClassificationConfig,
        columns=_class_columns,
        read=lambda path, options: read_classes(
            path, text=options.text, label=options.label, separator=options.label_separator
        ),
        measure="of_classes",
    ),
    "regression": Task(
        help="tell numbers",
        estimator="StaticModelForRegression",
        config=TrainConfig,
        columns=_target_columns,
        read=_read_targets,
        measure="of_numbers",
    ),
    "similarity": Task(
        help="make vectors that point the way of given ones",
        estimator="StaticModelForSimilarity",
        config=TrainConfig,
        columns=_target_columns,
        read=_read_targets,
        measure="of_vectors",
    ),
    "pairs": Task(
        help="bring the vectors of texts that belong together near each other",
        estimator="StaticModelForPairSimilarity",
        config=PairConfig,
        columns=_pair_columns,
        read=lambda path, options: read_pairs(
            path, text_a=options.text_a, text_b=options.text_b, negatives=options.negative
        ),
        measure="of_pairs",
    ),
}


def register(commands: Subcommands) -> None:
    """Add the command to `m2v`; JAX is not imported before it runs."""
    parser = commands.add_parser(
        "train",
        help="fine-tune a static model: classes, numbers, similarity",
        description="Fine-tune a static model on examples. What comes out runs with m2v-core alone.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", required=True)
    for name, task in TASKS.items():
        _add_task(tasks, name, task)


def _add_task(tasks: Subcommands, name: str, task: Task) -> None:
    parser = tasks.add_parser(name, help=task.help, description=f"Train a model to {task.help}.")
    parser.add_argument(
        "model", metavar="MODEL", help="the model to start from: a folder, or org/name (pip install m2v-hub)"
    )
    parser.add_argument("file", metavar="FILE", type=Path, help=f"examples: {_FILE}")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    task.columns(parser)
    parser.add_argument("--val", metavar="FILE", type=Path, help="examples for validation (default: some of FILE's)")
    parser.add_argument(
        "--plot",
        metavar="DIR",
        type=Path,
        help="draw learning_curves.png there and, of single labels, confusion_matrix.png; or NAME.png, for the curves, "
        "and NAME-confusion.png (pip install m2v-train[plot])",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    add_options(parser, task.config)
    parser.set_defaults(run=lambda options: _run(task, options))


def _run(task: Task, options: argparse.Namespace) -> int:
    if options.out.exists() and not options.out.is_dir():
        raise InvalidInputError(f"OUT should be a folder, or nothing yet; found a file: {options.out}")
    settings = chosen(options, task.config)
    if isinstance(settings.get("class_weight"), str):
        settings["class_weight"] = _class_weight(settings["class_weight"])
    task.config(**settings)  # checked before anything is read
    plots = None if options.plot is None else _plot_files(options.plot)
    examples = task.read(options.file, options)
    held = None if options.val is None else task.read(options.val, options)
    if isinstance(settings.get("class_weight"), dict):
        settings["class_weight"] = _by_class(settings["class_weight"], examples["y"])

    import m2v_train
    from m2v_core import StaticModel
    from m2v_train import measures

    started = time.perf_counter()
    model = StaticModel.from_pretrained(options.model)
    estimator = getattr(m2v_train, task.estimator)(
        model, **settings, show_progress_bar=False if options.quiet else None
    )
    estimator.fit(**examples, **{f"{name}_val": column for name, column in (held or {}).items()})
    pipeline = estimator.to_pipeline()
    (pipeline if pipeline.head.layers else pipeline.model).save_pretrained(options.out)
    seconds = time.perf_counter() - started
    n_examples = len(next(iter(examples.values())))
    if held is None:
        held = _held_out(examples, task.config(**settings))
        n_examples -= len(next(iter(held.values())))
    print(getattr(measures, task.measure)(pipeline, held))
    if plots:
        _plot(plots, estimator.history_, pipeline, held)
    print(
        f"{options.out}: {n_examples} examples, {len(estimator.history_)} validations, {seconds:.1f} s", file=sys.stderr
    )
    return 0


def _held_out(examples: Examples, config: TrainConfig) -> Examples:
    """The examples that an estimator holds out for validation, by the same split."""
    from m2v_train.data.labels import as_labels
    from m2v_train.data.split import split_indices

    n, strata = len(next(iter(examples.values()))), None
    if isinstance(config, ClassificationConfig):
        labels = as_labels(examples["y"], "y")
        strata = None if labels.multilabel else labels.targets
    _, rows = split_indices(n, config.test_size, strata=strata, seed=config.random_seed)
    return {name: [column[row] for row in rows] for name, column in examples.items()}


def _class_weight(said: str) -> Any:
    if said == "balanced":
        return said
    path = Path(said)
    if not path.is_file():
        raise InvalidInputError(f"--class-weight should be balanced, or a JSON file; found {said!r}, which is no file.")
    return read_json(path)


def _by_class(weights: dict[str, Any], labels: list[Any]) -> dict[Any, Any]:
    """Weights by classes: JSON has "3" for a key where the class is 3."""
    rows = chain.from_iterable(label if isinstance(label, list) else [label] for label in labels)
    classes = {str(label): label for label in rows}
    return {classes.get(name, name): weight for name, weight in weights.items()}


def _plot_files(where: Path) -> tuple[Path, Path]:
    """The files for curves and matrix, in a folder that is there."""
    require_matplotlib()
    if where.suffix.lower() == ".png":
        files = where, where.with_name(f"{where.stem}-confusion.png")
    else:
        files = where / "learning_curves.png", where / "confusion_matrix.png"
    files[0].parent.mkdir(parents=True, exist_ok=True)
    return files


def _plot(
    files: tuple[Path, Path], history: list[dict[str, Any]], pipeline: StaticModelPipeline, held: Examples
) -> None:
    save_png(learning_curves(history), files[0])
    if pipeline.head.activation == "softmax":
        save_png(confusion_matrix(held["y"], pipeline.predict(held["X"]).tolist()), files[1])
