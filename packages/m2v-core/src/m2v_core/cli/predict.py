"""`m2v predict`: labels of texts, by a trained head."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from m2v_core.cli.outputs import check_ending, label_output
from m2v_core.cli.parser import Subcommands, add_model, add_quiet, add_texts, set_run
from m2v_core.cli.texts import UnknownTexts, batches, opened_texts, text_bar
from m2v_core.errors import BadTextError, InvalidInputError

HEAD_MODEL = "a folder with a trained head, or org/name (pip install m2v-hub)"
ENDINGS = (".txt", ".jsonl", ".csv", ".parquet")


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        help="label texts with a trained head",
        description="Label texts with a trained head, a line of output for each: the label; a JSON array of labels if "
        "a text may have several; a JSON array of numbers if the head has no labels.",
    )
    add_model(parser, HEAD_MODEL)
    add_texts(parser)
    parser.add_argument("--proba", action="store_true", help="the probability of each label too, as JSON objects")
    add_threshold(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help=f"write to a file that ends in {', '.join(ENDINGS)} (default: lines on stdout)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON objects, one a line, of any label")
    add_quiet(parser)
    set_run(parser, _run)


def add_threshold(parser: argparse.ArgumentParser) -> None:
    """Add the option `--threshold`."""
    parser.add_argument(
        "--threshold",
        type=_probability,
        default=0.5,
        metavar="P",
        help="a text has the labels whose probability is above it, where it may have several (default: 0.5)",
    )


def _probability(text: str) -> float:
    try:
        if 0 <= float(text) <= 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"should be a probability, a number from 0 to 1; found {text!r}")


def _run(options: argparse.Namespace) -> int:
    check_ending(options.out, ENDINGS)
    if options.json and options.out is not None:
        raise InvalidInputError("--json is for stdout; found --out, whose ending decides (.jsonl). Leave one out.")
    unknown, n_texts = UnknownTexts(), 0
    with opened_texts(options) as texts:
        from m2v_core.pipeline import StaticModelPipeline

        pipeline = StaticModelPipeline.from_pretrained(options.model)
        head, names = pipeline.head, None
        if options.proba:
            if head.classes_ is None:
                raise InvalidInputError("--proba is for heads with labels; this one has none. Leave it out.")
            names = [str(name) for name in head.classes_.tolist()]
        with text_bar("Predicting", options) as bar, label_output(options.out, names, objects=options.json) as write:
            for batch in batches(texts):
                try:
                    vectors = pipeline.model.encode(batch)
                except BadTextError as error:
                    raise error.moved(n_texts) from None
                logits = head.logits(vectors)
                labels = map(_plain, head.labels(logits, options.threshold))
                probabilities = head.probabilities(logits).tolist() if names else [None] * len(batch)
                write(zip(labels, probabilities, strict=True))
                unknown.add(vectors)
                n_texts += len(batch)
                bar.update(len(batch))
            bar.total = n_texts
    if options.out is not None and not options.quiet:
        print(f"{options.out}: {n_texts} texts", file=sys.stderr)
    unknown.note("their labels are those of a vector of zeros.", options)
    return 0


def _plain(label: Any) -> Any:
    return label.tolist() if hasattr(label, "tolist") else label
