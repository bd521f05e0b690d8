"""Packages whose public names are imported when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that imports its public names on first use (PEP 562).

    Args:
        package: The package's `__name__`.
        homes: The module of each public name.

    Example:
        >>> attribute, _ = lazy("m2v_core", {"Config": "m2v_core.storage.format"})
        >>> attribute("Config").__name__
        'Config'
    """

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    def names() -> list[str]:
        return sorted(sys.modules[package].__all__)

    return attribute, names
