"""The `m2v` command. Data goes to stdout, progress and errors to stderr.

Other packages add subcommands through the entry-point group `m2v.commands`: an entry point named after the command
loads a function `register(subcommands)` that adds the parser and sets its `run` default to a function that takes
the parsed arguments and returns an exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from m2v_core.__about__ import __version__
from m2v_core.cli import predict as predict_cli
from m2v_core.cli.console import escaping_streams, json_line, opened_lines, printable, progress_bar
from m2v_core.errors import InvalidInputError, M2VError

if TYPE_CHECKING:
    from m2v_core.head import MLPHead
    from m2v_core.model import StaticModel

    Subcommands = argparse._SubParsersAction[argparse.ArgumentParser]

COMMANDS = "m2v.commands"

#: The subcommands that other packages bring, so that a missing one can say where it comes from.
PACKAGES = {
    "card": "m2v-hub",
    "distill": "m2v-distill",
    "featurize": "m2v-distill",
    "pull": "m2v-hub",
    "push": "m2v-hub",
    "train": "m2v-train",
}

DESCRIPTION = "Text embeddings from static models: a text's vector is the mean of its tokens' vectors."
EPILOG = """\
examples:
  m2v distill sentence-transformers/all-MiniLM-L6-v2 my-model     make a model (pip install m2v-distill)
  m2v train classify my-model train.csv my-classifier             fine-tune it (pip install m2v-train)
  m2v info my-model                                               what it is
  m2v encode my-model texts.txt --out vectors.npy                 one text a line -> [n, dim] float32
  echo "a fine day" | m2v encode my-model                         one JSON array a line, on stdout
  m2v predict my-classifier texts.txt                             the label of each, one a line
  m2v evaluate my-classifier test.csv --label category            how often it is right

What stdout cannot show is escaped, as \\u732b; PYTHONUTF8=1 makes stdout UTF-8, which files of --out always are.

exit codes: 0 done, 1 the job failed, 2 wrong usage, 130 interrupted
"""
ENCODE_LINES = 4096


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    with escaping_streams():
        return _run(list(sys.argv[1:] if argv is None else argv))


def _run(arguments: list[str]) -> int:
    try:
        options = build_parser(arguments).parse_args(arguments)
        code = int(options.run(options))
        if sys.stdout:
            sys.stdout.flush()  # so that a reader who went away is noticed here
        return code
    except BrokenPipeError:  # the reader of our stdout has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (M2VError, OSError) as error:
        print(f"m2v: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("m2v: interrupted", file=sys.stderr)
        return 130


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser; of the other packages' subcommands only what `arguments` need is imported."""
    parser = argparse.ArgumentParser(
        prog="m2v", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"m2v-core {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_encode(commands)
    predict_cli.add_predict(commands)
    predict_cli.add_evaluate(commands)
    _add_info(commands)
    named = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if named in commands.choices:
        return parser
    points = {point.name: point for point in entry_points(group=COMMANDS)}
    for name, point in sorted(points.items()):
        if named is None or named not in points or named == name:
            _register(point, commands, wanted=named == name)
    for name, package in PACKAGES.items():
        if name not in points:
            missing = commands.add_parser(name, help=f"(not installed: pip install {package})", add_help=False)
            missing.add_argument("rest", nargs=argparse.REMAINDER)
            missing.set_defaults(run=_missing(name, package))
    return parser


def _register(point: EntryPoint, commands: Subcommands, *, wanted: bool) -> None:
    """Let a package add its subcommand; a broken one that was not asked for only says so in the help."""
    try:
        point.load()(commands)
    except ImportError as error:
        if wanted:
            raise InvalidInputError(f"the command {point.name!r} cannot be loaded: {error}") from error
        commands.add_parser(point.name, help=f"(cannot be loaded: {error})")


def _missing(name: str, package: str) -> Callable[[argparse.Namespace], int]:
    def run(_: argparse.Namespace) -> int:
        raise InvalidInputError(f"the command {name!r} comes with another package: pip install {package}")

    return run


def _add_encode(commands: Subcommands) -> None:
    parser = commands.add_parser(
        "encode",
        help="embed texts, one a line",
        description="Embed texts, one a line. An empty line is an empty text: its vector is zeros.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model folder, or org/name (pip install m2v-hub)")
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="UTF-8 text, one a line; - for stdin")
    parser.add_argument(
        "--out", metavar="X.npy", type=Path, help="write one float32 array [lines, dim]; without it, JSON to stdout"
    )
    parser.add_argument("--normalize", action=argparse.BooleanOptionalAction, help="unit length (default: the model's)")
    parser.add_argument(
        "--max-length", type=int, metavar="N", help="tokens of a text that count (default: the model's)"
    )
    parser.add_argument("--dimensionality", type=int, metavar="D", help="keep the first D dimensions")
    parser.set_defaults(run=_encode)


def _encode(options: argparse.Namespace) -> int:
    import numpy as np

    model = _load(options.model, options.dimensionality)
    limit = model.max_length if options.max_length is None else options.max_length
    with progress_bar("Encoding", wanted=options.out is not None) as bar, opened_lines(options.file) as texts:
        chunks = []
        stream = model.encode_stream(texts, normalize=options.normalize, max_length=limit, batch_size=ENCODE_LINES)
        for vectors in stream:
            bar.update(len(vectors))
            if options.out is None:
                for vector in vectors:
                    sys.stdout.write(json.dumps(vector.tolist()) + "\n")
            else:
                chunks.append(vectors)
    sys.stdout.flush()
    if options.out is not None:
        partial = options.out.with_name(f".{options.out.name}.tmp")
        with partial.open("wb") as file:
            np.save(file, np.concatenate(chunks) if chunks else np.zeros((0, model.dim), np.float32))
        partial.replace(options.out)
        print(f"wrote {sum(map(len, chunks))} x {model.dim} float32 to {options.out}", file=sys.stderr)
    return 0


def _add_info(commands: Subcommands) -> None:
    parser = commands.add_parser("info", help="what a model is", description="Say what a model is.")
    parser.add_argument("model", metavar="MODEL", help="a model folder, or org/name (pip install m2v-hub)")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from m2v_core.pipeline import StaticModelPipeline, load

    loaded = load(options.model)
    facts = describe(loaded.model, loaded.head) if isinstance(loaded, StaticModelPipeline) else describe(loaded)
    if options.json:
        print(json_line(facts, sys.stdout))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            shown = "-" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{name:<{width}}  {printable(str(shown))}")
    return 0


def describe(model: StaticModel, head: MLPHead | None = None) -> dict[str, object]:
    """What a model, and its head, is, as plain values: sizes in tokens, dimensions and bytes.

    Example:
        >>> describe(tiny_model())["tokens"]
        3
    """
    arrays = (model.embedding, model.weights, model.token_mapping)
    unknown = None if model.unk_token_id is None else model.tokens[model.unk_token_id]
    if model.unknown_is_ordinary:
        unknown = f"{unknown} (an ordinary piece, left out of every text)"
    classes = None if head is None or head.classes_ is None else head.classes_.tolist()
    return {
        "tokens": model.n_tokens,
        "dimensions": model.dim,
        "dtype": model.embedding_dtype,
        "table_bytes": sum(array.nbytes for array in arrays if array is not None),
        "clusters": model.vocabulary_quantization,
        "unknown_token": unknown,
        "normalize": model.normalize,
        "max_length": model.max_length,
        "base_model": model.base_model_name,
        "language": model.language,
        "license": model.config.license,
        "pooling": model.config.pooling,
        "pca": model.config.apply_pca,
        "sif_coefficient": model.config.sif_coefficient,
        "distillation": model.config.distillation,
        "head": None if head is None else head.activation.value,
        "head_widths": None if head is None else head.widths,
        "classes": classes,
    }


def _load(reference: str, dimensionality: int | None = None) -> StaticModel:
    from m2v_core.model import StaticModel

    return StaticModel.from_pretrained(reference, dimensionality=dimensionality)
