"""Options that are listed once: a frozen dataclass holds them, and functions and commands are made of its fields.

A field says in its metadata how it is shown on the command line. `add_options` makes arguments of the fields,
`chosen` reads back those that the user gave, and `picked` makes a record out of the parameters of a function.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from m2v_core.aliases import renamed
from m2v_core.checks import unexpected_keyword

Record = TypeVar("Record")

_KEY = "m2v_core.option"


@dataclass(frozen=True, kw_only=True)
class Option:
    """Presentation of a field on the command line.

    Attributes:
        help: Help text. The default value is added to it, unless that is `None` or a bool.
        flag: Name on the command line. Default: `--` and the field's name, with hyphens.
        metavar: Placeholder of the value in the help text.
        choices: Values that are accepted, for the parser to check and to show.
        parse: Turns the text of the command line into the value.
        nargs: As in `argparse`.
        repeat: Whether the option may be repeated; its value is then a list.
        pair: Whether `--NAME` and `--no-NAME` say True and False, for a bool that may be `None`.
    """

    help: str
    flag: str | None = None
    metavar: str | None = None
    choices: Sequence[str] | None = None
    parse: Callable[[str], Any] | None = None
    nargs: str | None = None
    repeat: bool = False
    pair: bool = False


def option(default: Any, help: str, **shown: Any) -> Any:
    """A field of a frozen dataclass that is also an option of a command; `shown` are fields of `Option`.

    Example:
        >>> @dataclass(frozen=True, kw_only=True)
        ... class ExampleConfig:
        ...     rounds: int = option(4, "random groups of each token", parse=int, metavar="N")
        >>> ExampleConfig().rounds
        4
    """
    return field(default=default, metadata={_KEY: Option(help=help, **shown)})


def options_of(config: type) -> dict[str, Option]:
    """The options of a dataclass by field name; fields without one are not offered on the command line.

    Example:
        >>> @dataclass(frozen=True)
        ... class ExampleConfig:
        ...     seed: int = option(0, "seed of the random groups")
        ...     corpus: str | None = None
        >>> list(options_of(ExampleConfig))
        ['seed']
    """
    return {f.name: f.metadata[_KEY] for f in fields(config) if _KEY in f.metadata}


def defaults_of(config: type) -> dict[str, Any]:
    """The default of each field of a dataclass that has one.

    Example:
        >>> from m2v_core import Config
        >>> defaults_of(Config)["max_length"]
        512
    """
    return {
        f.name: f.default if f.default_factory is MISSING else f.default_factory()
        for f in fields(config)
        if f.default is not MISSING or f.default_factory is not MISSING
    }


def flag_of(name: str, shown: Option, default: Any = None) -> str:
    """The name of an option on the command line.

    Example:
        >>> flag_of("pca_dims", Option(help="dimensions"))
        '--pca-dims'
    """
    return shown.flag or ("--no-" if default is True else "--") + name.replace("_", "-")


def add_options(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    config: type,
    names: Collection[str] | None = None,
    **defaults: Any,
) -> None:
    """Add an argument to a parser for each option of a dataclass.

    A field that is False becomes a switch; one that is True the switch `--no-NAME`; one with `pair` a pair of
    switches. An argument that the user leaves out is missing from the parsed arguments, so that `chosen` tells it
    from the default.

    Args:
        parser: Parser or argument group.
        config: Dataclass with fields made by `option`.
        names: Fields to add. Default: all.
        defaults: Defaults to show in place of those of the fields.

    Example:
        >>> @dataclass(frozen=True)
        ... class ExampleConfig:
        ...     rounds: int = option(4, "random groups of each token", parse=int)
        ...     use_subword: bool = option(True, "leave out the teacher's tokens", flag="--no-subword")
        >>> parser = argparse.ArgumentParser()
        >>> add_options(parser, ExampleConfig)
        >>> chosen(parser.parse_args(["--rounds", "6", "--no-subword"]), ExampleConfig)
        {'rounds': 6, 'use_subword': False}
    """
    default_of = {**defaults_of(config), **defaults}
    for name, shown in options_of(config).items():
        if names is not None and name not in names:
            continue
        default = default_of.get(name)
        extra: dict[str, Any] = {}
        help_text = shown.help
        if isinstance(default, bool):
            extra["action"] = "store_false" if default else "store_true"
        elif shown.pair:
            extra["action"] = argparse.BooleanOptionalAction
        else:
            if default is not None and "(default" not in help_text:
                help_text += f" (default: {default})"
            extra = {key: getattr(shown, key) for key in ("metavar", "choices", "nargs") if getattr(shown, key)}
            extra |= {"type": _named(shown.parse)} if shown.parse else {}
            extra |= {"action": "append"} if shown.repeat else {}
        parser.add_argument(
            flag_of(name, shown, default),
            dest=name,
            default=argparse.SUPPRESS,
            help=help_text.replace("%", "%%"),
            **extra,
        )


def chosen(arguments: argparse.Namespace, config: type) -> dict[str, Any]:
    """The options of a dataclass that the user gave on the command line, by field name."""
    return {name: getattr(arguments, name) for name in options_of(config) if hasattr(arguments, name)}


def picked(config: type[Record], parameters: Mapping[str, Any]) -> Record:
    """A record out of a function's parameters: `picked(Config, locals())` as the function's first statement.

    Example:
        >>> from m2v_core import Config
        >>> def example_call(other, *, max_length=512):
        ...     return picked(Config, locals())
        >>> example_call(1, max_length=8).max_length
        8
    """
    names = {f.name for f in fields(config)}  # type: ignore[arg-type] # a dataclass
    return config(**{name: value for name, value in parameters.items() if name in names})


def known_options(function: str, given: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Keywords of a function by our names (see `m2v_core.aliases`).

    Raises:
        TypeError: A keyword is unknown; the error names the one that is nearest.

    Example:
        >>> known_options("distill", {"pca_dim": 1}, ["pca_dims"])
        Traceback (most recent call last):
        ...
        TypeError: distill() got an unexpected keyword argument 'pca_dim'. Did you mean 'pca_dims'?
    """
    options = renamed(given, known)
    for name in options:
        if name not in known:
            raise unexpected_keyword(function, name, known)
    return options


def or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser of the command line that also accepts `none`, for `None`.

    Example:
        >>> or_none(int)("none"), or_none(int)("3")
        (None, 3)
    """

    def parsed(text: str) -> Any:
        return None if text == "none" else parse(text)

    parsed.__name__ = f"{_named(parse).__name__} or none"
    return parsed


#: Names of parsers in errors of the command line, which would else be those of Python's types.
_NAMES: dict[Callable[[str], Any], str] = {int: "whole number", float: "number"}


def _named(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser of the command line by whose `__name__` argparse can name what it expected."""

    def parsed(text: str) -> Any:
        return parse(text)

    parsed.__name__ = str(_NAMES.get(parse, getattr(parse, "__name__", "value")))
    return parsed
