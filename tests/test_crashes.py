"""A few of the kills of `nox -s crashes`; and a disk that is full, a folder that is read-only, files that vanish."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model
from crashes.__main__ import Run, crash, runner
from crashes.jobs import TEXTS, check_index, check_model, content, jobs, prepare_indexes, prepare_models
from forks import fork, limit_files
from m2v_core import M2VError, StaticModel
from m2v_core.embed import embed_files
from m2v_core.search import Index
from m2v_core.storage.compile import compile_vocabulary

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and limits of Linux")

JOBS = jobs(times=4)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with runner("core") as run:
        yield run


@pytest.mark.parametrize("name", ["save", "save by files", "compile", "index"])
def test_killed_at_random_moments(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    assert crash(JOBS[name], run, 3, random.Random(name)).kills == 3


# --- a full disk, a folder that is read-only ------------------------------------------------------------------------


def save() -> None:
    StaticModel.from_pretrained("two").save_pretrained("m", compiled=True)


def save_index() -> None:
    Index.load("i2").save("i")


def prepare_text() -> None:
    prepare_models()
    Path("a.txt").write_text("good day\n" * 2_000)


def embed() -> None:
    embed_files("one", "a.txt", "m/vectors", workers=1)


WRITES: dict[str, tuple[Callable[[], None], Callable[[], None], Callable[[], None]]] = {
    "save": (prepare_models, save, check_model),
    "compile": (prepare_models, lambda: compile_vocabulary(Path("m")) and None, check_model),
    "index": (prepare_indexes, save_index, check_index),
    "embed": (prepare_text, embed, check_model),
}


def in_fork(work: Callable[[], None], limit: Callable[[], None]) -> int:
    """The number of the error that some work ends with under a limit; 0 for none, 255 for an error of another class."""
    process = fork()
    if not process:
        code = 255
        try:
            limit()
            work()
            code = 0
        except OSError as error:
            code = error.errno or 254
        except M2VError:
            code = 253
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file that does not fit, the old content stays, and nothing is left beside it."""
    monkeypatch.chdir(tmp_path)
    prepare, work, check = WRITES[name]
    prepare()
    before, seen = content("m", "i"), set()

    for size in (0, 10, 200, 1_000, 3_000, 1 << 24):
        shutil.rmtree("m/vectors", ignore_errors=True)
        found = in_fork(work, partial(limit_files, size))
        assert found not in (255, 254)
        seen.add(found)
        check()
        if found and name != "embed":
            assert content("m", "i") == before
        left = {path.name for path in Path().rglob("*") if path.name.startswith(".")}
        assert not left
    assert seen == {errno.EFBIG, 0}


@pytest.mark.parametrize("name", WRITES)
def test_a_folder_that_is_read_only(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare, work, check = WRITES[name]
    monkeypatch.chdir(tmp_path)
    prepare()
    before = content("m", "i")

    def limit() -> None:
        if os.geteuid() == 0:
            os.setgid(65_534)
            os.setuid(65_534)

    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in tmp_path.parents:
        if not os.access(path, os.X_OK) or path.stat().st_mode & 0o1 == 0:
            path.chmod(path.stat().st_mode | 0o1)
    assert in_fork(work, limit) in (errno.EACCES, errno.EPERM, 253)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert content("m", "i") == before
    check()


# --- files that vanish ----------------------------------------------------------------------------------------------


def test_files_that_vanish(tmp_path: Path) -> None:
    """A model whose files go and come is loaded whole, or not at all."""
    folder, away = tmp_path / "m", tmp_path / "away"
    make_model().save_pretrained(folder, compiled=True)
    expected, stop = make_model().encode(TEXTS), threading.Event()

    def vanish() -> None:
        choice = random.Random(0)
        while not stop.is_set():
            path = choice.choice([folder, *folder.iterdir()])
            path.rename(away)
            away.rename(path)

    thread = threading.Thread(target=vanish)
    thread.start()
    outcomes = set()
    try:
        for number in range(300):
            try:
                model = StaticModel.from_pretrained(folder, memory_map=number % 2 == 0)
                np.testing.assert_array_equal(model.encode(TEXTS), expected)
                outcomes.add("loaded")
            except (M2VError, OSError) as error:
                outcomes.add(type(error).__name__)
    finally:
        stop.set()
        thread.join()
    assert "loaded" in outcomes
