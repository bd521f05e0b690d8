"""A few of the calls of `nox -s concurrency`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from concurrency.calls import in_coroutines, in_processes, in_threads
from concurrency.folders import two_writers_and_a_reader


def test_threads() -> None:
    assert in_threads(8, 250) == 0


def test_coroutines() -> None:
    assert in_coroutines(300) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork and forkserver")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_processes(method: str, tmp_path: Path) -> None:
    """Those that are spawned take a second to start, and are left to the session."""
    assert in_processes(method, tmp_path, 4) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of folders")
@pytest.mark.parametrize("how", ["by exchange", "by files"])
def test_two_writers_and_a_reader(how: str, tmp_path: Path) -> None:
    seen = two_writers_and_a_reader(tmp_path, how, 1)
    assert set(+seen) <= {"one", "two"}
