"""A file that is written whole or not at all, and what is no file is written into."""

from __future__ import annotations

import os
import signal
import stat
import threading
from pathlib import Path

import pytest

from forks import fork
from m2v_core import InvalidInputError
from m2v_core.storage.atomic import check_output, replaced_file


def test_the_content_comes_into_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with replaced_file(path) as file:
        file.write("a\r\nb")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == b"a\r\nb"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "out.npy"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), replaced_file(path, "wb") as file:
        file.write("not bytes")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_modes_stay_and_new_files_follow_the_umask(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("")
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        for path in (old, new):
            with replaced_file(path) as file:
                file.write("x")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new)] == [0o640, 0o640]


def test_links_are_followed(tmp_path: Path) -> None:
    target, link, dangling = tmp_path / "target", tmp_path / "link", tmp_path / "dangling"
    target.write_text("old")
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "made")
    for path in (link, dangling):
        with replaced_file(path) as file:
            file.write("new")
        assert path.is_symlink()
    assert target.read_text() == (tmp_path / "made").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_written_into(tmp_path: Path) -> None:
    path, found = tmp_path / "fifo", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_text()))
    reader.start()
    with replaced_file(path) as file:
        file.write("through")
    reader.join(10)
    assert found == ["through"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_no_one_can_put_a_link_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Guessed:
        hex = "guessed"

    monkeypatch.setattr("m2v_core.storage.staging.uuid4", Guessed)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".out.guessed.part").symlink_to(victim)
    with pytest.raises(FileExistsError) as raised, replaced_file(tmp_path / "out") as file:
        file.write("x")
    assert victim.read_text() == "mine"
    assert str(tmp_path / "out") in str(raised.value)
    assert "part" not in str(raised.value)


def test_errors_name_the_path_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none/out\.txt"), replaced_file(tmp_path / "none" / "out.txt"):
        pass


def test_outputs_are_checked_before_work(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    check_output(file)
    check_output(tmp_path / "new.txt")
    check_output(tmp_path / "a" / "b", folder=True)
    check_output(tmp_path, folder=True)
    for path, folder, part in (
        (tmp_path, False, "should be a file; found a folder"),
        (file, True, "should be a folder; found a file"),
        (tmp_path / "none" / "out", False, "no such folder"),
        (file / "out", False, "which is a file"),
        (file / "out", True, "which is a file"),
    ):
        with pytest.raises(InvalidInputError, match=part):
            check_output(path, folder=folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InvalidInputError, match="may not write"):
            check_output(tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and locks")
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """But not what a living one writes, nor what belongs to another file."""
    target = tmp_path / "out.txt"
    ends, process = os.pipe(), fork()
    if not process:
        with replaced_file(target) as file:
            file.write("never")
            file.flush()
            os.write(ends[1], b"x")
            signal.pause()
    os.read(ends[0], 1)
    for end in ends:
        os.close(end)
    other = tmp_path / f".other.txt.{'0' * 32}.part"
    other.write_text("of another file")
    with replaced_file(target) as file:
        file.write("one")
    assert len(list(tmp_path.iterdir())) == 3
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    with replaced_file(target) as file:
        file.write("two")
    assert {path.name for path in tmp_path.iterdir()} == {"out.txt", other.name}
    assert target.read_text() == "two"


def test_long_names(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 250)
    with replaced_file(target) as file:
        file.write("long")
    assert target.read_text() == "long"
