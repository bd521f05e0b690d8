"""The parser of the command: argparse that shows help where nothing is asked, and suggests names."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

from m2v_core.checks import did_you_mean

#: What `add_subparsers` returns: commands are added to it.
Subcommands: TypeAlias = "argparse._SubParsersAction[Any]"

MODEL = "a model folder, or org/name (pip install m2v-hub)"
TABLES = ".csv, .tsv, .jsonl or .ndjson, also with .gz after it, or .parquet"

_CHOICE = re.compile(r"invalid choice: '?([^' ]*)'? \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """A parser whose subparsers are of its kind too.

    Without arguments, a command that has subcommands shows its help. Errors name the option, subcommand or choice that
    is nearest to an unknown one, and begin with the usage of the command that was called.
    """

    def parse_known_args(  # type: ignore[override] # the base class has overloads for the type of the namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; arguments that are left over are an error of the innermost command."""
        if self._subparsers is not None and args is not None and not args:
            self.print_help()
            self.exit(0)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:
            known = [name for name in self._option_string_actions if name.startswith("--")]
            hint = did_you_mean(unknown[0].split("=")[0], known)
            self.error(f"unrecognized arguments: {' '.join(unknown)}.{hint}")
        found.flags = {**getattr(found, "flags", {}), **self._flags()}
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Show the message, with the choice that was probably meant, and exit with 2."""
        if found := _CHOICE.search(message):
            message += f".{did_you_mean(found[1], re.findall(r'[^, ]+', found[2].replace(chr(39), '')))}"
        super().error(message)

    def _flags(self) -> dict[str, str]:
        """The name of each option on the command line, by that of its value."""
        return {
            action.dest: next((name for name in action.option_strings if name.startswith("--")), str(action.metavar))
            for action in self._actions
            if action.option_strings
        }


class ShowVersions(argparse.Action):
    """Prints the packages of m2v that are installed, one a line, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and exit."""
        from m2v_core.cli.packages import our_versions

        for name, version in our_versions().items():
            if version is not None:
                print(f"{name} {version}")
        parser.exit()


def in_words_of_the_command(message: str, flags: dict[str, str]) -> str:
    """An error of a function in the words of the command: options by their flags, and `none` for `None`.

    Example:
        >>> in_words_of_the_command("max_length should be 1 or more, or None; found 0.", {"max_length": "--max-length"})
        '--max-length should be 1 or more, or none; found 0.'
    """
    for name, flag in flags.items():
        message = re.sub(rf"(?<![\w-]){re.escape(name)}(?==| should | needs | is for )", flag, message)
    return message.replace(", or None;", ", or none;").replace(", or None.", ", or none.")


def whole(least: int) -> Callable[[str], int]:
    """A parser of whole numbers of the command line, `least` or more."""

    def parsed(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"should be a whole number, {least} or more; found {text!r}")
        return int(text)

    return parsed


def add_model(parser: argparse.ArgumentParser, text: str = MODEL) -> None:
    """Add the argument MODEL."""
    parser.add_argument("model", metavar="MODEL", help=text)


def add_texts(parser: argparse.ArgumentParser) -> None:
    """Add the argument FILE of texts, and the option that names their column."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help=f"UTF-8 texts, one a line (.txt); a table: {TABLES}; - for lines of stdin (default)",
    )
    parser.add_argument("--text-column", metavar="NAME", help="column, or key, of the texts of a table (default: text)")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves out progress and notes."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on stderr but errors")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that prints a result for programs."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def set_run(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], **defaults: Any) -> None:
    """Have a command call a function, which returns the exit code."""
    parser.set_defaults(run=run, **defaults)
