"""The table that `nox -s integrations` and `nox -s web` end with: library, version, what ran, largest difference."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from importlib.metadata import version

import pytest

_ROWS = pytest.StashKey[list[tuple[str, str, str, str]]]()


@pytest.fixture
def ran(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Adds a line to the table: a library, what ran, and the largest difference to m2v's vectors.

    The version is that of the Python package of this name, unless it is given.
    """
    rows = request.config.stash.setdefault(_ROWS, [])

    def add(library: str, what: str, difference: float, number: str | None = None) -> None:
        rows.append((library, number or version(library), what, f"{difference:.1e}"))

    return add


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs tests of other libraries that are coroutines; the plugin for them warns of settings that we do not have."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    table = [("library", "version", "what ran", "largest difference"), *sorted(rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    terminalreporter.section("integrations")
    for row in table:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
