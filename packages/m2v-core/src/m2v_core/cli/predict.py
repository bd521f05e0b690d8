"""`m2v predict` and `m2v evaluate`: what a trained head says of texts, and how often it is right."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from m2v_core.cli.console import json_line, opened_lines, progress_bar
from m2v_core.errors import BadTextError, InvalidInputError
from m2v_core.head import Activation, check_threshold

if TYPE_CHECKING:
    from m2v_core.pipeline import StaticModelPipeline

    Subcommands = argparse._SubParsersAction[argparse.ArgumentParser]

#: Texts that are read, and answered, at a time.
BATCH = 4096

_MODEL = "a folder with a trained head, or org/name (pip install m2v-hub)"
_TABLE = ".csv, .tsv, .jsonl or .ndjson, also with .gz after it, or .parquet"


def add_predict(commands: Subcommands) -> None:
    """Add `m2v predict`."""
    parser = commands.add_parser(
        "predict",
        help="label texts with a trained head",
        description="Label texts with a trained head, a line of output for each: the label; a JSON array of labels if "
        "a text may have several; a JSON array of numbers if the head has no labels.",
    )
    parser.add_argument("model", metavar="MODEL", help=_MODEL)
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help=f"UTF-8, a text a line (.txt); {_TABLE}; - for lines of stdin",
    )
    parser.add_argument("--text", metavar="COLUMN", help="the column, or key, of the texts (default: text)")
    parser.add_argument("--proba", action="store_true", help="a JSON object a line, with each label's probability")
    _add_threshold(parser)
    parser.add_argument("--out", metavar="FILE", type=Path, help="write to a file, which appears when all is done")
    parser.set_defaults(run=_predict)


def add_evaluate(commands: Subcommands) -> None:
    """Add `m2v evaluate`."""
    parser = commands.add_parser(
        "evaluate",
        help="compare a trained head's labels with right ones",
        description="Compare a trained head's labels with right ones: precision, recall and F1 of each label.",
    )
    parser.add_argument("model", metavar="MODEL", help=_MODEL)
    parser.add_argument("file", metavar="FILE", help=f"texts and labels: {_TABLE}")
    parser.add_argument("--text", metavar="COLUMN", default="text", help="the column of the texts (default: text)")
    parser.add_argument("--label", metavar="COLUMN", default="label", help="the column of the labels (default: label)")
    parser.add_argument(
        "--label-separator",
        metavar="S",
        help="what stands between the labels of a text in .csv and .tsv, where it may have several",
    )
    _add_threshold(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=_evaluate)


def _add_threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="the probability above which a text has a label, where it may have several (default: 0.5)",
    )


def _predict(options: argparse.Namespace) -> int:
    from m2v_core.pipeline import StaticModelPipeline

    check_threshold(options.threshold)
    with _texts(options.file, options.text) as texts:
        pipeline = StaticModelPipeline.from_pretrained(options.model)
        if options.proba:
            _names(pipeline)
        with _output(options.out) as out, progress_bar("Predicting", wanted=options.out is not None) as bar:
            before = 0
            while batch := list(islice(texts, BATCH)):
                try:
                    lines = list(_answers(pipeline, batch, options, out))
                except BadTextError as error:
                    raise error.moved(before) from None
                out.writelines(f"{line}\n" for line in lines)
                before += len(batch)
                bar.update(len(batch))
            out.flush()
    return 0


@contextmanager
def _texts(name: str, column: str | None) -> Iterator[Iterator[str]]:
    """Texts of stdin, of a file of lines, or of a table's column."""
    from m2v_core.data.columns import TABLES, kind_of, read_texts

    if name != "-":
        named = column or ("text" if kind_of(Path(name)) in TABLES else None)
        yield read_texts(name, named, hint="Name the one that holds the texts: --text.")
    elif column is not None:
        raise InvalidInputError(
            f"--text is for files with columns; found {column!r} for stdin, which has a text a line."
        )
    else:
        with opened_lines(name) as lines:
            yield lines


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that comes into place when the block ends without an error."""
    if path is None:
        yield sys.stdout
        return
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with partial.open("w", encoding="utf-8") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _answers(
    pipeline: StaticModelPipeline, texts: list[str], options: argparse.Namespace, out: TextIO
) -> Iterator[str]:
    """A line for each text."""
    head = pipeline.head
    logits = head.logits(pipeline.model.encode(texts))
    labels = [_plain(label) for label in head.labels(logits, options.threshold)]
    if options.proba:
        names = _names(pipeline)
        for label, row in zip(labels, head.probabilities(logits).tolist(), strict=True):
            yield json_line({"label": label, "probabilities": dict(zip(names, row, strict=True))}, out)
    else:
        yield from (json_line(label, out) if isinstance(label, list) else str(label) for label in labels)


def _names(pipeline: StaticModelPipeline) -> list[str]:
    """The classes as strings."""
    if pipeline.classes_ is None:
        raise InvalidInputError("--proba is for heads with labels; this one has none.")
    return [str(name) for name in pipeline.classes_.tolist()]


def _plain(label: Any) -> Any:
    return label.tolist() if hasattr(label, "tolist") else label


def _evaluate(options: argparse.Namespace) -> int:
    from m2v_core.data.columns import read_labelled
    from m2v_core.evaluation import report_table
    from m2v_core.pipeline import StaticModelPipeline

    check_threshold(options.threshold)
    hint = "Name those that hold texts and labels: --text, --label."
    rows = read_labelled(options.file, options.text, options.label, separator=options.label_separator, hint=hint)
    pipeline = StaticModelPipeline.from_pretrained(options.model)
    classes = {} if pipeline.classes_ is None else {str(name): name for name in pipeline.classes_.tolist()}
    texts, labels = [], []
    for text, label in rows:
        texts.append(text)
        labels.append([_known(one, classes) for one in label] if isinstance(label, list) else _known(label, classes))
    if not texts:
        raise InvalidInputError(f"{options.file}: expected rows with texts and labels; found none.")
    if pipeline.head.activation is Activation.SIGMOID and any(not isinstance(label, list) for label in labels):
        raise InvalidInputError(
            f"{options.file}: expected lists of labels, as the head may give several; found single ones. Say what "
            f"stands between them, --label-separator, or write lists in JSONL."
        )
    report = pipeline.evaluate(
        texts, labels, threshold=options.threshold, show_progress_bar=not options.json and sys.stderr.isatty()
    )
    print(json_line(report, sys.stdout) if options.json else report_table(report))
    return 0


def _known(label: str | int, classes: Mapping[str, Any]) -> Any:
    """`label` in the form of the classes: a CSV file holds "3" where the class is 3."""
    if str(label) in classes:
        return classes[str(label)]
    kind = next(map(type, classes.values()), str)
    try:
        return label if kind is bool else kind(label)
    except ValueError:
        return label
