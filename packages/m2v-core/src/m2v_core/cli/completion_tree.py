"""What can be completed, read from the parsers: the commands, their options, and what these take."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Placeholders of values that are files or folders.
_PATHS = frozenset({"CORPUS", "DIR", "FILE", "FILE.json", "FOLDER", "INPUT", "MODEL", "OUT", "PATH", "TEACHER"})


@dataclass(frozen=True)
class Argument:
    """An option, or an argument without a flag.

    Attributes:
        flags: Names on the command line; empty for an argument without a flag.
        help: The beginning of its help text, in one line.
        takes_value: Whether a value follows.
        choices: Values that are accepted; empty if others are.
        is_path: Whether its value is a file or a folder.
    """

    flags: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]
    is_path: bool


@dataclass(frozen=True)
class Level:
    """A command, with what may follow it.

    Attributes:
        path: Words of the command, such as `("m2v", "train", "classify")`.
        options: Options.
        arguments: Arguments without a flag.
        commands: Help text of each subcommand by its name.
    """

    path: tuple[str, ...]
    options: tuple[Argument, ...]
    arguments: tuple[Argument, ...]
    commands: dict[str, str]

    @property
    def name(self) -> str:
        """The words of the command with spaces between them."""
        return " ".join(self.path)


def levels_of(parser: argparse.ArgumentParser) -> list[Level]:
    """The command of a parser, and all commands below it, each before its own subcommands.

    Example:
        >>> parser = argparse.ArgumentParser("m2v")
        >>> _ = parser.add_subparsers().add_parser("info", help="show what a model is")
        >>> [level.name for level in levels_of(parser)]
        ['m2v', 'm2v info']
    """
    return list(_levels(parser, ("m2v",)))


def _levels(parser: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[Level]:
    options: list[Argument] = []
    arguments: list[Argument] = []
    commands: dict[str, str] = {}
    parsers: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            shown = {choice.dest: choice.help or "" for choice in action._choices_actions}
            # A command of a package that is not installed takes anything, and has no help of its own.
            parsers = {name: each for name, each in action.choices.items() if each.add_help}
            commands = {name: _in_short(shown.get(name, "")) for name in parsers}
        elif action.help != argparse.SUPPRESS:
            (options if action.option_strings else arguments).append(_argument(action))
    yield Level(path, tuple(options), tuple(arguments), commands)
    for name, each in parsers.items():
        yield from _levels(each, (*path, name))


def _argument(action: argparse.Action) -> Argument:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    return Argument(
        flags=tuple(action.option_strings),
        help=_in_short((action.help or "") % {**vars(action), "prog": "m2v"}),
        takes_value=action.nargs != 0,
        choices=tuple(map(str, action.choices or ())),
        is_path=action.type is Path or metavar in _PATHS,
    )


def _in_short(text: str) -> str:
    """A help text up to its first semicolon or bracket, in one line.

    Example:
        >>> _in_short("column, or key, of the texts of a table (default: text)")
        'column, or key, of the texts of a table'
    """
    return re.split(r" \(|; |: ", " ".join(text.split()))[0]
