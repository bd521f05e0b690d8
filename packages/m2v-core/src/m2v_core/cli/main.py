"""The `m2v` command. Data goes to stdout, progress and errors to stderr.

Other packages add subcommands through the entry-point group `m2v.commands`: an entry point named after the command
loads a function `register(subcommands)` that adds the parser and sets its `run` default to a function that takes
the parsed arguments and returns an exit code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from m2v_core.cli import compile as compile_command
from m2v_core.cli import (
    completion,
    doctor,
    embed,
    encode,
    evaluate,
    evaluate_mteb,
    export,
    info,
    predict,
    quantize,
    search,
    serve,
    verify,
)
from m2v_core.cli.parser import Parser, ShowVersions, Subcommands, in_words_of_the_command
from m2v_core.cli.streams import escaping_streams
from m2v_core.errors import InvalidInputError, M2VError
from m2v_core.redact import printable_lines

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

COMMANDS = "m2v.commands"

#: The modules of our own subcommands, in the order of `m2v --help`.
OURS = (
    encode,
    embed,
    search,
    predict,
    evaluate,
    evaluate_mteb,
    info,
    quantize,
    compile_command,
    verify,
    export,
    serve,
    doctor,
    completion,
)

#: The subcommands that other packages bring, so that a missing one can say where it comes from.
PACKAGES = {
    "card": "m2v-hub",
    "distill": "m2v-distill",
    "featurize": "m2v-distill",
    "index": "m2v-distill",
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
  m2v quantize my-model small-model --quantize-to int8            a smaller one
  m2v compile my-model                                            let it start faster, in less memory
  m2v verify my-model                                             the same vectors in model2vec and others?
  m2v export onnx my-model exported                               for onnxruntime, fastembed, transformers.js
  m2v export web my-model site --docs texts.txt                   a page that searches in the browser
  m2v encode my-model texts.txt --out vectors.npy                 one text a line -> [n, dim] float32
  m2v encode my-model texts.csv --text-column body --out x.parquet
  echo "a fine day" | m2v encode my-model                         one JSON array a line, on stdout
  m2v embed my-model 'lake/*.parquet' --out vectors               files of any size (pip install 'm2v-core[embed]')
  m2v search "lost card" *.md --model my-model                    passages of files; --save keeps an index of them
  m2v predict my-classifier texts.txt                             the label of each, one a line
  m2v serve my-model my-classifier                                answer requests over HTTP, as OpenAI's API
  m2v evaluate my-classifier test.csv --label-column category     how often it is right
  m2v evaluate-mteb my-model --tasks STS12 STS13                  tasks of mteb (pip install 'm2v-core[mteb]')
  m2v doctor                                                      is all that is installed in order?

What stdout cannot show is escaped, as \\u732b; PYTHONUTF8=1 makes stdout UTF-8, which files of --out always are.

exit codes: 0 done, 1 the job failed, 2 wrong usage, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    with escaping_streams():
        return _run(list(sys.argv[1:] if argv is None else argv))


def _run(arguments: list[str]) -> int:
    flags: dict[str, str] = {}
    try:
        try:
            options = build_parser(arguments).parse_args(arguments)
            flags = options.flags
            code = int(options.run(options))
        except SystemExit:  # after help, and after wrong usage
            _flush()
            raise
        _flush()
        return code
    except BrokenPipeError:  # the reader of our stdout has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except M2VError as error:
        return _failed(in_words_of_the_command(str(error), flags))
    except OSError as error:
        return _failed(_of_system(error))
    except KeyboardInterrupt:
        print("m2v: interrupted", file=sys.stderr)
        return 130


def _flush() -> None:
    """Write what stdout holds, so that a reader who went away, or a full disk, is noticed here."""
    if sys.stdout:
        sys.stdout.flush()


def _of_system(error: OSError) -> str:
    """The message of an error of the system: what it is about, and what is wrong."""
    name = error.filename
    if name is None and not _takes_more():
        name = "stdout"
    if name is None and _is_folder_gone():
        return "The working folder is gone. Go to another, or name all files by whole paths."
    return ": ".join(map(str, filter(None, (name, error.strerror)))) or str(error)


def _takes_more() -> bool:
    """Whether stdout takes what it was given; where it does not, as on a full disk, Python would fail at its end."""
    try:
        _flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return False
    return True


def _is_folder_gone() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _failed(message: str) -> int:
    print(f"m2v: error: {printable_lines(message)}", file=sys.stderr)
    return 1


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser; of the other packages' subcommands only what `arguments` need is imported."""
    parser = Parser(
        prog="m2v", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action=ShowVersions, nargs=0, help="show the packages of m2v and their versions")
    parser.set_defaults(build_parser=build_parser)  # for `m2v completion`, which shows all commands
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in OURS:
        command.register(commands)
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


def entry_points(group: str) -> Iterable[EntryPoint]:
    """The entry points of a group."""
    from importlib import metadata  # a third of the imports, and most commands are our own

    return metadata.entry_points(group=group)


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
