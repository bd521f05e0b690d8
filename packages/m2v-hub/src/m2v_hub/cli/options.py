"""The options of a card on the command line, which `m2v card` and `m2v push` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from m2v_core.errors import InvalidInputError
from m2v_core.options import chosen
from m2v_core.storage.files import read_user_json
from m2v_hub.card.options import CardOptions


def card_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of a card that the user gave, as keywords of `card_for` and `push_to_hub`.

    Raises:
        InvalidInputError: The file of `--metrics` is missing or holds no results.
    """
    options = chosen(arguments, CardOptions)
    if "metrics" in options:
        options["metrics"] = read_results(options["metrics"])
    return options


def read_results(file: Path) -> Any:
    """Read measured results from a JSON file, without checks of their fields.

    Raises:
        InvalidInputError: The file is missing, is no JSON, or holds neither an object nor an array.
    """
    results = read_user_json(file)
    if not isinstance(results, list | dict):
        raise InvalidInputError(f"{file}: expected one result or a list of results; found {results!r:.200}.")
    return results
