"""Options that are listed once: their commands, their records, and errors that suggest a name."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from m2v_core.options import add_options, chosen, defaults_of, known_options, option, options_of, or_none, picked


@dataclass(frozen=True, kw_only=True)
class Example:
    method: str = option("composed", "how", choices=("composed", "token"))
    rounds: int | None = option(None, "random groups; 100 % of them (default: 4)", parse=or_none(int), metavar="N")
    use_subword: bool = option(True, "without the teacher's tokens", flag="--no-subword")
    freeze: bool = option(False, "leave the table as it is")
    languages: list[str] | None = option(None, "a language; may be repeated", flag="--language", repeat=True)
    internal: int = 3


def parsed(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, Example)
    return chosen(parser.parse_args(arguments), Example)


def test_only_what_was_given_is_chosen() -> None:
    assert parsed() == {}
    assert parsed("--rounds", "none", "--no-subword", "--freeze") == {
        "rounds": None,
        "use_subword": False,
        "freeze": True,
    }
    assert Example(**parsed("--method", "token")).method == "token"
    assert parsed("--language", "en", "--language", "de") == {"languages": ["en", "de"]}


@pytest.mark.parametrize(
    ("parse", "expected"), [(int, "whole number"), (float, "number"), (or_none(int), "whole number or none")]
)
def test_a_wrong_number_is_an_error_in_words(parse: Callable[[str], object], expected: str) -> None:
    """Not in the names of Python's types, which argparse takes."""

    @dataclass(frozen=True)
    class Numbers:
        size: int | None = option(None, "a size", parse=parse)

    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, Numbers)
    with pytest.raises(argparse.ArgumentError, match=f"invalid {expected} value: 'x'"):
        parser.parse_args(["--size", "x"])
    assert chosen(parser.parse_args(["--size", "3"]), Numbers) == {"size": 3}


def test_fields_without_an_option_are_not_offered() -> None:
    assert "internal" not in options_of(Example)
    assert defaults_of(Example)["internal"] == 3


def test_help_says_the_default_once() -> None:
    parser = argparse.ArgumentParser(prog="example")
    add_options(parser, Example)
    text = " ".join(parser.format_help().split())
    assert "how (default: composed)" in text
    assert "100 % of them (default: 4)" in text
    assert text.count("(default:") == 2


def test_some_options_with_other_defaults() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, Example, ["method"], method="token")
    assert "(default: token)" in parser.format_help()
    assert "--rounds" not in parser.format_help()


def test_a_record_out_of_parameters() -> None:
    def call(other: int, *, rounds: int = 5, freeze: bool = True) -> Example:
        return picked(Example, locals())

    assert call(1, rounds=6) == Example(rounds=6, freeze=True)


def test_an_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(
        TypeError, match=r"call\(\) got an unexpected keyword argument 'round'\. Did you mean 'rounds'\?"
    ):
        known_options("call", {"round": 1}, ["rounds", "freeze"])
    with pytest.raises(TypeError, match="Known ones: rounds, freeze"):
        known_options("call", {"zebra": 1}, ["rounds", "freeze"])


def test_a_pair_of_switches() -> None:
    @dataclass(frozen=True)
    class Paired:
        fixed: bool | None = option(None, "keep it", pair=True)

    parser = argparse.ArgumentParser()
    add_options(parser, Paired)
    said = [chosen(parser.parse_args(flags), Paired) for flags in ([], ["--fixed"], ["--no-fixed"])]
    assert said == [{}, {"fixed": True}, {"fixed": False}]
