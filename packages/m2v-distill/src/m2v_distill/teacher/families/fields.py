"""Settings of a teacher's `config.json`, read with errors that say what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.nn.layers import ACTIVATIONS


def required(raw: Mapping[str, Any], *names: str) -> Any:
    """The value of the first of these settings that is present.

    Raises:
        ModelFormatError: None is present.
    """
    for name in names:
        if raw.get(name) is not None:
            return raw[name]
    raise ModelFormatError(f"config.json: expected {' or '.join(names)}; found nothing there.")


def refuse(raw: Mapping[str, Any], *names: str) -> None:
    """Check that none of these settings is on.

    Raises:
        ModelFormatError: One is.
    """
    for name in names:
        if raw.get(name):
            raise ModelFormatError(f'config.json: "{name}" is {raw[name]!r}, which m2v-distill does not compute.')


def one_of(raw: Mapping[str, Any], name: str, *known: str) -> str:
    """The value of a setting, by default the first of the known ones.

    Raises:
        ModelFormatError: The value is not a known one.
    """
    found = raw.get(name, known[0])
    if found not in known:
        raise ModelFormatError(f'config.json: expected "{name}" to be one of {", ".join(known)}; found {found!r}.')
    return str(found)


def activation_of(raw: Mapping[str, Any], setting: str, default: str | None = None) -> str:
    """The name of an activation, one of `ACTIVATIONS`.

    Raises:
        ModelFormatError: The name is not a known one.
    """
    name = raw[setting] if default is None else raw.get(setting, default)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ModelFormatError(f'expected "{setting}" to be one of {", ".join(ACTIVATIONS)}; found {name!r}.')
    return name
