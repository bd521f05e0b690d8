"""Every command under odd conditions ends as it should, or with one line that says what is wrong; never in a traceback."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forks import Forks
from odd_conditions import CHECKS, COMMANDS, CONDITIONS, IMPORTED, IMPORTED_JAX, SLOW, Ended, called, prepare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and what Linux has below /dev and /proc")

for name in ("m2v_distill", "m2v_train", "m2v_hub", "onnx"):
    pytest.importorskip(name)

#: Conditions of which commands need not know, but for those of a set.
HARMLESS: dict[str, set[str]] = {
    "names that are not UTF-8": set(),
    "the working folder is gone": set(),
    "no stdin": set(),
    "no stdout": set(),
    "no stderr": set(),
    "stderr on a full disk": set(),
    "nobody reads stderr": set(),
    "no streams": set(),
    "stdin is a folder": {"encode stdin"},
    "streams of ASCII": set(),
    "no home": set(),
    "a home that is a file": {"push", "pull"},
    "no folder for temporary files": {"push", "export web", "export onnx"},
}

#: What an error says where a condition is its reason.
REASONS = {
    "stdout on a full disk": r"No space left on device",
    "nothing is where the working folder was": "The working folder is gone|no such f(ile|older)|neither a folder|not a folder|which is none",
    "another user": "Permission denied|may not write",
    "the working folder is read-only": "Permission denied|may not write",
    "a file at a time": "Too many open files",
}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks(*IMPORTED)
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def jax_forks() -> Iterator[Forks]:
    forks = Forks(*IMPORTED_JAX)
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seed")
    prepare(folder)
    return folder


@pytest.fixture
def folder(seed: Path, tmp_path: Path) -> Path:
    """A copy of the files, in a folder that other users reach."""
    shutil.copytree(seed, tmp_path / "work")
    for path in (tmp_path / "work").parents:
        if path.stat().st_mode & 0o1 == 0:
            path.chmod(path.stat().st_mode | 0o1)
    (tmp_path / "work").chmod(0o755)
    return tmp_path / "work"


@pytest.fixture(scope="module")
def ordinary(forks: Forks, seed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """What comes of the commands as it is."""
    folder = tmp_path_factory.mktemp("ordinary") / "work"
    shutil.copytree(seed, folder)
    return dict(zip(COMMANDS, called(forks, list(COMMANDS.values()), "as it is", folder), strict=True))


def check(name: str, condition: str, ended: Ended) -> None:
    """It is no traceback, and an error is one line."""
    assert ended.code in (0, 1), (name, ended)
    assert "Traceback" not in ended.errors, (name, ended)
    assert "Errno" not in ended.errors, (name, ended)
    says = [line for line in ended.errors.splitlines() if line.startswith("m2v: error: ")]
    if condition not in ("no stderr", "no streams", "stderr on a full disk", "nobody reads stderr"):
        assert len(says) == ended.code, (name, ended)
        assert not says or len(says[0]) > len("m2v: error: ") + 10


@pytest.mark.parametrize("condition", [name for name in CONDITIONS if name != "as it is"])
def test_commands(condition: str, forks: Forks, folder: Path, ordinary: dict[str, Ended]) -> None:
    if condition in ("another user", "the working folder is read-only") and os.geteuid() != 0:
        pytest.skip("needs root, which becomes another user")
    found = dict(zip(COMMANDS, called(forks, list(COMMANDS.values()), condition, folder), strict=True))
    for name, ended in found.items():
        check(name, condition, ended)
    failed = {name for name, ended in found.items() if ended.code and not ordinary[name].code}
    if condition in HARMLESS:
        assert failed <= HARMLESS[condition], {name: found[name] for name in failed}
    if condition in REASONS:
        assert failed
        for name in failed:
            assert re.search(REASONS[condition], found[name].errors), (name, found[name])


def test_ordinary(ordinary: dict[str, Ended]) -> None:
    """Else the tests above would prove nothing."""
    failed = {name for name, ended in ordinary.items() if ended.code}
    assert failed - {"evaluate-mteb"} == {"pull", "no such model"}, ordinary


def test_commands_that_start_processes(forks: Forks, folder: Path) -> None:
    for name, ended in zip(CHECKS, called(forks, list(CHECKS.values()), "no streams", folder), strict=True):
        check(name, "no streams", ended)


@pytest.mark.parametrize("condition", ["names that are not UTF-8", "another user"])
def test_commands_that_start_jax(condition: str, jax_forks: Forks, folder: Path) -> None:
    if condition == "another user" and os.geteuid() != 0:
        pytest.skip("needs root, which becomes another user")
    for name, ended in zip(SLOW, called(jax_forks, list(SLOW.values()), condition, folder), strict=True):
        check(name, condition, ended)
        assert ended.code == (condition == "another user"), (name, ended)
