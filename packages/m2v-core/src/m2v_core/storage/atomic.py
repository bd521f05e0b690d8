"""Replace a folder in one step, so that a reader, or a crash, sees all of the old one or all of the new one.

The new files are written into a folder beside the target, and then the two change places: a rename where there was
nothing, an exchange (Linux `renameat2`, macOS `renamex_np`) where a model was.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4


@contextmanager
def replaced_folder(folder: Path, *, owned: Collection[str], last: str) -> Iterator[Path]:
    """Yield an empty staging folder; when the block ends without an error its files become those of `folder`.

    Args:
        folder: The target. Its parents are made; a link is followed.
        owned: File names that belong to what is replaced: old ones go, every other file of the folder stays.
        last: The file without which a reader takes the folder for empty. Where no exchange is possible (Windows,
            some network drives, a mount point, a parent that is not ours to write, a folder that is the working
            directory or holds no `last` yet), the old one goes first, then the files move one by one, this one last:
            whoever comes between finds no model, never a mixed one.

    Raises:
        OSError: The folder cannot be written. The old content is then untouched.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    inside = folder.is_dir() and (folder.is_mount() or not os.access(folder.parent, os.W_OK))
    staging = (folder if inside else folder.parent) / f".{folder.name}.{uuid4().hex}.tmp"
    staging.mkdir()
    try:
        yield staging
        for file in staging.iterdir():
            _flush(file)
        if not folder.exists():
            staging.rename(folder)
        elif inside or not _swap(staging, folder, owned=owned, last=last):
            _move_files(staging, folder, owned=owned, last=last)
        _flush(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, folder: Path, *, owned: Collection[str], last: str) -> bool:
    """Exchange the two folders, the other files of `folder` carried over; False if that cannot be done."""
    if not (folder / last).exists() or _is_worked_in(folder):
        return False
    for entry in folder.iterdir():
        if entry.name in owned:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, staging / entry.name, symlinks=True, copy_function=_link)
        else:
            _link(entry, staging / entry.name)
    shutil.copymode(folder, staging)
    return _exchange(staging, folder)


def _is_worked_in(folder: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(folder)
    except FileNotFoundError:  # the working directory was removed
        return False


def _link(source: str | Path, target: str | Path) -> None:
    """A second name for the file, or a copy where the file system has none."""
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def _move_files(staging: Path, folder: Path, *, owned: Collection[str], last: str) -> None:
    new = {file.name for file in staging.iterdir() if file.name in owned}
    for name in sorted((set(owned) - new) | {last}, key=lambda name: name != last):
        with suppress(FileNotFoundError):
            (folder / name).unlink()
    for name in sorted(new, key=lambda name: name == last):
        (staging / name).replace(folder / name)
    _flush(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places atomically; False where the system cannot."""
    libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    a, b = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        at_cwd, rename_exchange = -100, 2
        return bool(libc.renameat2(at_cwd, a, at_cwd, b, rename_exchange) == 0)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        rename_swap = 2
        return bool(libc.renamex_np(a, b, rename_swap) == 0)
    return False


def _flush(path: Path) -> None:
    """Ask the disk to keep a file or a folder's list of names (folders cannot be opened on Windows)."""
    with suppress(PermissionError, IsADirectoryError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
