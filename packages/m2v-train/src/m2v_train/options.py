"""The fields of the configs as options of a command."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from m2v_train.config import TrainConfig


def _whole(text: str) -> int | None:
    return None if text == "none" else int(text)


def _max_length(text: str) -> int | str | None:
    return text if text == "model" else _whole(text)


def _size(text: str) -> int | float:
    return float(text) if "." in text else int(text)


#: How each field of the configs is said on the command line.
_OPTIONS: dict[str, dict[str, Any]] = {
    "n_layers": {"type": int, "metavar": "N", "help": "hidden layers of the head (default: %(default)s)"},
    "hidden_dim": {"type": int, "metavar": "N", "help": "their width (default: %(default)s)"},
    "out_dim": {"type": int, "metavar": "D", "help": "dimensions of the trained vectors (default: the model's)"},
    "freeze": {"action": "store_true", "help": "leave the table as it is, and train the head alone"},
    "freeze_weights": {
        "action": argparse.BooleanOptionalAction,
        "help": "leave the tokens' weights as they are; no-: learn some where the model has none (default: train those "
        "that there are)",
    },
    "normalize": {
        "action": argparse.BooleanOptionalAction,
        "help": "scale texts' vectors to unit length before the head",
    },
    "max_length": {
        "type": _max_length,
        "metavar": "N",
        "help": "tokens of a text that count; none: all (default: the model's)",
    },
    "learning_rate": {"type": float, "metavar": "R", "help": "(default: %(default)s)"},
    "batch_size": {"type": int, "metavar": "N", "help": "texts of a step (default: by the number of texts)"},
    "min_epochs": {"type": int, "metavar": "N", "help": "epochs at the least"},
    "max_epochs": {
        "type": _whole,
        "metavar": "N",
        "help": "epochs at the most; -1: until there is no more progress (default: -1)",
    },
    "early_stopping_patience": {
        "type": _whole,
        "metavar": "N",
        "help": "validations without progress after which training stops; none: never (default: %(default)s)",
    },
    "test_size": {
        "type": _size,
        "metavar": "S",
        "help": "what is held out for validation without --val: a share, or a number of texts (default: %(default)s)",
    },
    "validation_steps": {"type": int, "metavar": "N", "help": "steps between validations (default: about an epoch)"},
    "class_weight": {
        "metavar": "W",
        "help": "how much classes count: balanced, for the inverse of their frequency; or a JSON file of "
        "{class: weight} (default: the same)",
    },
    "focal_gamma": {
        "type": float,
        "metavar": "G",
        "help": "of the focal loss; 0: cross-entropy (default: %(default)s)",
    },
    "temperature": {"type": float, "metavar": "T", "help": "by which cosines are divided (default: %(default)s)"},
    "token_dropout": {
        "type": float,
        "metavar": "S",
        "help": "share of tokens left out at random (default: %(default)s)",
    },
    "random_seed": {"type": int, "metavar": "N", "help": "of all that is random (default: %(default)s)"},
    "device": {"help": "cpu, gpu, tpu, gpu:1 (default: the best that JAX finds)"},
    "checkpoint_dir": {
        "metavar": "DIR",
        "type": Path,
        "help": "keep the state there; the same command goes on from it",
    },
}
_NAMES = {"random_seed": "--seed"}


def add_options(parser: argparse.ArgumentParser, config: type[TrainConfig]) -> None:
    """Add an option for each field of a config, with its default."""
    group, defaults = parser.add_argument_group("training"), config()
    for name in _fields(config):
        option = _NAMES.get(name, "--" + name.replace("_", "-"))
        group.add_argument(option, dest=name, default=getattr(defaults, name), **_OPTIONS[name])


def chosen(options: argparse.Namespace, config: type[TrainConfig]) -> dict[str, Any]:
    """What was said of the fields of a config."""
    return {name: getattr(options, name) for name in _fields(config)}


def _fields(config: type[TrainConfig]) -> list[str]:
    return [field.name for field in fields(config) if field.name != "show_progress_bar"]
