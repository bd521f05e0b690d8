"""`docs/cli.md` says of each command just the options that it has."""

from __future__ import annotations

import argparse
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from m2v_core.cli.main import PACKAGES, build_parser

PAGE = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = (
    *("encode", "embed", "predict", "evaluate", "evaluate-mteb", "info", "quantize", "compile", "verify", "export"),
    *("search", "serve", "doctor", "completion"),
    *PACKAGES,
)
OURS = {"m2v-core": "m2v_core", "m2v-distill": "m2v_distill", "m2v-hub": "m2v_hub", "m2v-train": "m2v_train"}


def command(*path: str) -> argparse.ArgumentParser:
    """The parser of a command, or of a subcommand of it."""
    parser: argparse.ArgumentParser = build_parser(path)
    for name in path:
        actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = actions[0].choices[name]
    return parser


def flags(parser: argparse.ArgumentParser) -> set[str]:
    names = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
    subcommands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in subcommands:
        names = names.union(*(flags(choice) for choice in action.choices.values()))
    return names - {"--help"}


def section(name: str) -> str:
    found = re.search(rf"^## `m2v {name}\b.*?(?=^## |\Z)", PAGE, flags=re.M | re.S)
    assert found, f"docs/cli.md has no section on m2v {name}"
    return found[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_those_of_the_page(name: str) -> None:
    package = OURS[PACKAGES.get(name, "m2v-core")]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    have = flags(command(name))
    said = set(re.findall(r"--[a-z][a-z-]*[a-z]", re.sub(r"\[[^]]*\]\([^)]*\)", "", section(name))))
    assert have - said == set(), "options that the page lacks"
    installed = [other for other in COMMANDS if find_spec(OURS[PACKAGES.get(other, "m2v-core")])]
    assert said - set().union(*(flags(command(other)) for other in installed)) == set(), "options that there are not"
