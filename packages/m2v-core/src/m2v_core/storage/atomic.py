"""Replace a folder or a file in one step, so that a reader, or a crash, sees all of the old one or all of the new one.

The new content is written beside the target, and then takes its place: a rename for a file and where there was nothing,
an exchange (Linux `renameat2`, macOS `renamex_np`) where a model was.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from m2v_core.errors import InvalidInputError


@contextmanager
def replaced_folder(folder: Path, *, owned: Collection[str], last: str) -> Iterator[Path]:
    """Yield an empty staging folder; when the block ends without an error its files become those of `folder`.

    Args:
        folder: The target. Its parents are made; a link is followed.
        owned: Names of the files and folders that are replaced or removed. Everything else in the folder stays.
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


@contextmanager
def replaced_file(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Yield a file to write; when the block ends without an error, its content is that of `path`.

    Links are followed. What is no regular file (a FIFO, a device such as `/dev/null`) is opened and written as it is,
    and so is a file in a folder that this process may not write. The unfinished file has a name that nobody can guess,
    is created exclusively, and is removed if the block fails.

    Args:
        path: The file. Its folder must exist; see `check_output`.
        mode: "w" for UTF-8 text without translation of line ends, "wb" for bytes.

    Raises:
        OSError: The file cannot be written; the error names `path`, and the old content is untouched.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replaced_file(Path(folder) / "labels.txt") as file:
        ...         _ = file.write("good")
        ...     (Path(folder) / "labels.txt").read_text()
        'good'
    """
    path = Path(path)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    target = Path(os.path.realpath(path))
    if path.exists() and (not path.is_file() or not os.access(target.parent, os.W_OK)):
        with path.open(mode, **text) as file:
            yield file
        return
    unfinished = target.with_name(f".{uuid4().hex}.part")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(descriptor, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def check_output(path: str | os.PathLike[str], *, folder: bool = False) -> None:
    """Raise `InvalidInputError` if nothing can be written to a path, so that this shows before any work.

    Args:
        path: A file whose folder must exist, or a folder, whose parents are made.
        folder: Whether a folder is to be written.

    Raises:
        InvalidInputError: The path is of the other kind, or its folder is missing or read-only.
    """
    path = Path(path)
    if path.exists() and path.is_dir() != folder:
        expected, found = ("a folder", "a file") if folder else ("a file", "a folder")
        raise InvalidInputError(f"The output should be {expected}; found {found}: {path}. Choose another path.")
    if path.exists() and os.access(path, os.W_OK):
        return
    parent = Path(os.path.realpath(path)).parent
    while folder and not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        found = "which is a file" if parent.exists() else "and there is no such folder"
        raise InvalidInputError(f"The output {path} should be in a folder; found {parent}, {found}. Make it first.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InvalidInputError(
            f"The output {path} should be in a folder that can be written; found {parent}, which "
            f"this user may not write. Choose another path."
        )


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
        _remove(folder / name)
    for name in sorted(new, key=lambda name: name == last):
        if (folder / name).is_dir():
            _remove(folder / name)
        (staging / name).replace(folder / name)
    _flush(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
