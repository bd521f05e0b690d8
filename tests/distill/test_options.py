"""One list of options: signatures, the command, its page and the docstring say what `DistillConfig` says."""

from __future__ import annotations

import argparse
import doctest
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import m2v_distill.config
from m2v_core.cli.main import build_parser
from m2v_core.options import flag_of, options_of
from m2v_distill import DistillConfig, Teacher, distill, distill_from_model
from m2v_distill.cli.distill import TEACHER_OPTIONS
from m2v_distill.config import ROUNDS, ROUNDS_WITH_CORPUS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
FIELDS = {field.name: field for field in fields(DistillConfig)}
OPTIONS = options_of(DistillConfig)


def command(name: str) -> argparse.ArgumentParser:
    parser = build_parser([name])
    (action,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return action.choices[name]


def flag(name: str) -> str:
    return flag_of(name, OPTIONS[name], FIELDS[name].default)


@pytest.mark.parametrize(
    ("function", "own"),
    [
        (distill, ["model_name", "trust_remote_code", "token", "revision"]),
        (distill_from_model, ["model", "tokenizer"]),
    ],
)
def test_signatures(function: object, own: list[str]) -> None:
    parameters = inspect.signature(inspect.unwrap(function)).parameters
    assert list(parameters) == [*own, *FIELDS]
    for name, field in FIELDS.items():
        assert (parameters[name].default, parameters[name].annotation) == (field.default, field.type), name


def test_teachers_take_the_same_options() -> None:
    """Only the default precision differs: a teacher's own vectors are exact."""
    parameters = inspect.signature(inspect.unwrap(Teacher.from_pretrained)).parameters
    for name in set(TEACHER_OPTIONS) - {"prompt", "prompt_name"}:
        assert parameters[name].annotation == FIELDS[name].type
        assert name == "precision" or parameters[name].default == FIELDS[name].default


@pytest.mark.parametrize("name", OPTIONS)
def test_the_command(name: str) -> None:
    """Each option is there, with its help text and its default."""
    (action,) = [action for action in command("distill")._actions if flag(name) in action.option_strings]
    help_text = str(action.help).replace("%%", "%")
    assert help_text.startswith(OPTIONS[name].help)
    default = FIELDS[name].default
    if default is not None and not isinstance(default, bool):
        assert f"(default: {default})" in help_text


def test_featurize_shares_options() -> None:
    flags = {name for action in command("featurize")._actions for name in action.option_strings}
    assert {flag(name) for name in (*TEACHER_OPTIONS, "text_column")} <= flags


@pytest.mark.parametrize("name", OPTIONS)
def test_the_page(name: str) -> None:
    """The table has a row for each option, with its default and all of its choices."""
    section = re.search(r"^## `m2v distill\b.*?(?=^## )", PAGE, flags=re.M | re.S)
    assert section
    rows = [row for row in section[0].splitlines() if re.match(rf"\| `{flag(name)}[ `]", row)]
    assert len(rows) == 1
    _, value, shown = (cell.strip() for cell in rows[0].strip("|").split("|"))
    default = FIELDS[name].default
    if default is not None and not isinstance(default, bool):
        assert shown.strip("`") == str(default)
    missing = [choice for choice in OPTIONS[name].choices or () if choice not in value]
    assert not missing


def test_the_docstring() -> None:
    """It describes each field in order, and its examples and defaults hold."""
    text = inspect.getdoc(DistillConfig) or ""
    attributes = re.search(r"Attributes:\n(.*?)\n\n", text, flags=re.S)
    assert attributes
    assert re.findall(r"^    (\w+):", attributes[1], flags=re.M) == list(FIELDS)
    plain = " ".join(text.split())
    assert f"Default: {ROUNDS}, or {ROUNDS_WITH_CORPUS} with a corpus" in plain
    assert f"(default: {ROUNDS}, or {ROUNDS_WITH_CORPUS} with a corpus)" in OPTIONS["rounds"].help
    found = doctest.testmod(m2v_distill.config, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert (found.failed, found.attempted > 2) == (0, True)
