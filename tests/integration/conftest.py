"""The table that `nox -s integrations` ends with: library, version, what ran, largest difference."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import pytest

_ROWS = pytest.StashKey[list[tuple[str, str, str, str]]]()


@pytest.fixture
def ran(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Adds a line to the table: a library, what ran, and the largest difference to m2v's vectors.

    The version of a library that is no Python package is given too.
    """
    rows = request.config.stash.setdefault(_ROWS, [])

    def add(library: str, what: str, difference: float, its_version: str | None = None) -> None:
        rows.append((library, its_version or version(library), what, f"{difference:.1e}"))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    table = [("library", "version", "what ran", "largest difference"), *sorted(rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    terminalreporter.section("integrations")
    for row in table:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
