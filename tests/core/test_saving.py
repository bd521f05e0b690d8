"""Saves beside other programs: files that they write into the folder, kills, and other saves."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import make_model
from forks import fork
from m2v_core import StaticModel
from m2v_core.storage import exchange, staging
from m2v_core.storage.atomic import replaced_folder
from m2v_core.storage.format import CONFIG_FILE, OWNED_FILES

pytestmark = pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="folders are exchanged, and locked")

FILES = {"config.json", "model.safetensors", "tokenizer.json"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def in_a_fork(work: Callable[[], object]) -> int:
    process = fork()
    if not process:
        try:
            work()
        finally:
            os._exit(0)
    return process


def killed(work: Callable[[], object]) -> None:
    """Run what kills itself, in a process of its own."""
    _, status = os.waitpid(in_a_fork(work), 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def kill_me(*_: object, **__: object) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, with files of the user."""
    folder = tmp_path / "m"
    make_model().save_pretrained(folder)
    (folder / "README.md").write_text("mine")
    (folder / "data").mkdir()
    (folder / "data/old").write_text("mine too")
    return folder


def test_files_that_come_in_during_a_save_stay(folder: Path, monkeypatch) -> None:
    """Before the exchange, when the files of the user have their second names already, and after it."""
    change_places, data = exchange._change_places, (folder / "data").stat().st_ino
    old = os.open(folder, os.O_RDONLY)  # as of a program that works in the folder

    def meanwhile(one: Path, other: Path) -> bool:
        if other == folder:
            (folder / "note").write_text("new")
            (folder / "data/note").write_text("new")
            (folder / "more/inner").mkdir(parents=True)
            (folder / "more/inner/note").write_text("new")
            (folder.parent / "README.md").write_text("newer")
            os.utime(folder.parent / "README.md", (0, 0))  # as `cp -p` makes it
            (folder.parent / "README.md").replace(folder / "README.md")
        done = change_places(one, other)
        if other == folder:
            (folder / "after").write_text("new")
            (folder / "data/after").write_text("new")
            late = os.open("late", os.O_CREAT | os.O_WRONLY, dir_fd=old)
            os.write(late, b"new")
            os.close(late)
        return done

    monkeypatch.setattr(exchange, "_change_places", meanwhile)
    make_model(dim=3).save_pretrained(folder)
    os.close(old)
    assert StaticModel.from_pretrained(folder).dim == 3
    assert names(folder) == FILES | {"README.md", "data", "note", "more", "after", "late"}
    for name in ("note", "data/note", "data/after", "more/inner/note", "after", "late"):
        assert (folder / name).read_text() == "new"
    assert (folder / "README.md").read_text() == "newer"
    assert (folder / "data/old").read_text() == "mine too"
    assert (folder / "data").stat().st_ino == data  # still the same folder
    assert names(folder.parent) == {"m"}


def test_files_that_come_in_beside_a_busy_saver(folder: Path) -> None:
    model = make_model()

    def save_for_ever() -> None:
        while True:
            model.save_pretrained(folder)

    saver = in_a_fork(save_for_ever)
    notes, end = [], time.monotonic() + 1
    while time.monotonic() < end:
        for note in (folder / f"note-{len(notes)}", folder / f"data/note-{len(notes)}"):
            note.write_text(note.name)
            notes.append(note)
    os.kill(saver, signal.SIGKILL)
    os.waitpid(saver, 0)
    model.save_pretrained(folder)
    assert len(notes) > 20
    assert [note for note in notes if note.read_text() != note.name] == []


@pytest.mark.parametrize("moment", ["in the staging folder", "before the exchange", "after it", "while it is emptied"])
def test_the_next_save_removes_what_a_killed_one_left(folder: Path, monkeypatch, moment: str) -> None:
    """And what came into the old folder meanwhile is moved over."""
    change_places = exchange._change_places

    def save() -> None:
        if moment == "in the staging folder":
            monkeypatch.setattr("m2v_core.storage.atomic.flush", kill_me)
        elif moment == "before the exchange":
            monkeypatch.setattr(exchange, "_change_places", kill_me)
        elif moment == "after it":
            monkeypatch.setattr(exchange, "_change_places", lambda *paths: change_places(*paths) and kill_me())
        else:
            monkeypatch.setattr(exchange, "_merge", kill_me)
        make_model(dim=3).save_pretrained(folder)

    killed(save)
    left = names(folder.parent) - {"m"}
    assert len(left) == 1
    is_new = moment in ("after it", "while it is emptied")
    assert StaticModel.from_pretrained(folder).dim == (3 if is_new else 8)
    assert (folder / "data/old").read_text() == "mine too"
    if is_new:
        (folder.parent / left.pop() / "late").write_text("new")
    make_model(dim=5).save_pretrained(folder)
    assert StaticModel.from_pretrained(folder).dim == 5
    assert names(folder) == FILES | {"README.md", "data"} | ({"late"} if is_new else set())
    assert names(folder / "data") == {"old"}
    assert names(folder.parent) == {"m"}


def test_a_save_in_progress_is_not_taken_for_a_killed_one(folder: Path) -> None:
    with replaced_folder(folder, owned=OWNED_FILES, last=CONFIG_FILE) as unfinished:
        make_model(dim=3).save_pretrained(folder)
        assert unfinished.is_dir()
        for file in folder.iterdir():
            if file.name in OWNED_FILES:
                (unfinished / file.name).write_bytes(file.read_bytes())
        make_model(dim=5).save_pretrained(folder)
    assert StaticModel.from_pretrained(folder).dim == 3
    assert names(folder.parent) == {"m"}


def test_staging_folders_of_others_stay(folder: Path) -> None:
    digits = "0" * 32
    others = [f".m.{digits}.tmp.x", f".m.{digits[1:]}.tmp", f".n.{digits}.tmp", f".m.x.{digits}.tmp"]
    for name in others:
        (folder.parent / name).mkdir()
    (folder.parent / f".m.{digits}.tmp").symlink_to(folder)
    (folder.parent / f".m.{digits}.old").write_text("a file")
    make_model().save_pretrained(folder)
    assert names(folder.parent) == {"m", *others, f".m.{digits}.tmp", f".m.{digits}.old"}
    assert names(folder) == FILES | {"README.md", "data"}


def test_saves_of_a_folder_and_of_one_in_it_wait_for_each_other(folder: Path, monkeypatch) -> None:
    inner = folder / "int8"
    make_model().save_pretrained(inner)
    monkeypatch.setattr(staging, "PATIENCE", 0.05)
    with replaced_folder(inner, owned=OWNED_FILES, last=CONFIG_FILE):
        with pytest.raises(TimeoutError, match="another process has been writing to it, or to a folder in it"):
            make_model().save_pretrained(folder)
        (folder / "config.json").unlink()  # no model: it is not exchanged
        make_model().save_pretrained(folder / "other")
    assert names(folder.parent) == {"m"}


def test_saves_of_a_folder_and_of_one_in_it_at_once(folder: Path) -> None:
    model, inner = make_model(), folder / "a/int8"
    model.save_pretrained(inner)

    def save_many(target: Path) -> None:
        for _ in range(20):
            model.save_pretrained(target)
        kill_me()

    savers = [in_a_fork(lambda target=target: save_many(target)) for target in (folder, folder, inner)]
    for saver in savers:
        assert os.waitstatus_to_exitcode(os.waitpid(saver, 0)[1]) == -signal.SIGKILL  # and no error before
    assert names(folder) == FILES | {"README.md", "data", "a"}
    assert names(folder / "a") == {"int8"}
    assert names(inner) == FILES
    assert names(folder.parent) == {"m"}


def test_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("m" * 250)
    make_model().save_pretrained(folder)
    make_model(dim=3).save_pretrained(folder)
    assert StaticModel.from_pretrained(folder).dim == 3
    assert names(tmp_path) == {folder.name}
