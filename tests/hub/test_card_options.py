"""The options of a card are listed once: commands, signatures, docstrings and docs are compared with that list."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cards import CONFIG, model_of
from m2v_core import InvalidInputError
from m2v_core.options import flag_of, options_of
from m2v_hub import card_for, push_to_hub
from m2v_hub.card.options import CardOptions
from m2v_hub.cli import card, transfer

DOCS = Path(__file__).parents[2] / "docs"
OPTIONS = options_of(CardOptions)
FLAGS = {name: flag_of(name, shown) for name, shown in OPTIONS.items()}
COMMANDS = {"card": card.register, "push": transfer.register_push}


def parser_of(command: str) -> argparse.ArgumentParser:
    commands = argparse.ArgumentParser().add_subparsers()
    COMMANDS[command](commands)
    return commands.choices[command]


def flags_of(command: str) -> set[str]:
    return {flag for action in parser_of(command)._actions for flag in action.option_strings} - {"-h", "--help"}


def test_every_field_is_an_option() -> None:
    assert list(OPTIONS) == list(inspect.signature(CardOptions).parameters)


@pytest.mark.parametrize("function", [card_for, push_to_hub])
def test_signatures_and_docstrings(function: Callable[..., object]) -> None:
    parameters = inspect.signature(function).parameters
    arguments = (function.__doc__ or "").partition("Args:")[2].partition("Raises:")[0]
    described = (CardOptions.__doc__ or "").partition("Attributes:")[2]
    for name, field in inspect.signature(CardOptions).parameters.items():
        assert (parameters[name].annotation, parameters[name].default) == (field.annotation, field.default)
        for text in (arguments, described):
            assert re.search(rf"^ +{name}: ", text, re.MULTILINE), name


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_every_option(command: str) -> None:
    parser = parser_of(command)
    assert flags_of(command) >= set(FLAGS.values())
    for name, shown in OPTIONS.items():
        action = next(action for action in parser._actions if action.dest == name)
        assert (action.help, action.metavar) == (shown.help, shown.metavar)


def test_the_pages_name_every_option() -> None:
    text = (DOCS / "cards.md").read_text(encoding="utf-8")
    table = text.partition("| option |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)=`, `(--[a-z-]+)` \|", table, re.MULTILINE)
    assert dict(rows) == FLAGS


def test_unknown_keywords_suggest_a_name(tmp_path: Path) -> None:
    for call in (
        lambda **options: card_for(tmp_path, **options),
        lambda **options: push_to_hub(tmp_path, "a/b", **options),
    ):
        with pytest.raises(TypeError, match="Did you mean 'license'"):
            call(licence="mit")


def test_a_base_model_is_an_id_that_is_known_or_given(tmp_path: Path) -> None:
    """A folder's name or a class is not published, neither in the metadata nor in the text."""
    for name, given_, expected in (
        ("model", None, None),
        ("BertModel", None, None),
        ("BertModel", "org/teacher", "org/teacher"),
        ("org/other", "bert-base-uncased", "bert-base-uncased"),
    ):
        model_of(replace(CONFIG, base_model=name, base_model_revision=None)).save_pretrained(tmp_path / "m")
        text = card_for(tmp_path / "m", repo_id="org/m", base_model=given_)
        assert ("base_model:" in text) == (expected is not None)
        assert (f"\nbase_model: {expected}\n" in text) == (expected is not None)
        assert (f"[{expected}](https://huggingface.co/{expected})" in text) == (expected is not None)
        assert "BertModel" not in text
    for bad in (3, "", "a b", "../up", "a/b/c", "org/teacher](https://evil.example)"):
        with pytest.raises(InvalidInputError, match="base_model should be"):
            card_for(tmp_path / "m", base_model=bad)


def test_a_commit_belongs_to_its_base_model(tmp_path: Path) -> None:
    """Another teacher than the config's has another history."""
    model_of(CONFIG).save_pretrained(tmp_path / "m")
    assert CONFIG.base_model_revision in card_for(tmp_path / "m", base_model=CONFIG.base_model)
    assert CONFIG.base_model_revision not in card_for(tmp_path / "m", base_model="org/another")
