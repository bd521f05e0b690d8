"""Replace a folder or a file in one step, so that a reader, or a crash, sees all of the old one or all of the new one.

The new content is written beside the target, and then takes its place: a rename for a file and where there was nothing,
an exchange (Linux `renameat2`, macOS `renamex_np`) where a model was, and else one file after the other, such that a
reader finds out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.storage.exchange import exchange, give_back
from m2v_core.storage.staging import abandoned_exchanges, kept_above, locked, staging_folder, unfinished_file
from m2v_core.storage.unfinished import finish, flush, put_in_place


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Let errors of the system name this path: those of a write name none, and others the unfinished file."""
    try:
        yield
    except OSError as error:
        hidden = f".{path.name}."
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
        shown = [name for name in names if not any(part.startswith(hidden) for part in Path(name).parts)]
        if error.errno is None or (names and shown == names):
            raise
        raise type(error)(error.errno, error.strerror, *(shown or [os.fspath(path)])) from error


@contextmanager
def replaced_folder(folder: Path, *, owned: Collection[str], last: str) -> Iterator[Path]:
    """Yield an empty staging folder; when the block ends without an error its files become those of `folder`.

    Files of the user in `folder` stay, also those that come in meanwhile. Saves of one folder, or of a folder and of
    one in it, wait for each other; what saves that were killed have left behind is removed.

    Args:
        folder: The target. Its parents are made; a link is followed.
        owned: Names of the files and subfolders that are replaced or removed. Every other one stays.
        last: The file without which other programs take the folder for empty. Where no exchange is possible (Windows,
            some network drives, a mount point, a parent that is not ours to write, a folder that is the working
            directory or holds no `last` yet), the files take their places one by one, this one last; see
            `m2v_core.storage.unfinished`.

    Raises:
        OSError: The folder cannot be written. A reader of m2v then gets the whole old content, or the whole new one.
    """
    given, folder = folder, folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    inside = folder.is_dir() and (folder.is_mount() or not os.access(folder.parent, os.W_OK))
    with (
        _errors_of(given),
        kept_above(folder, marker=last),
        staging_folder(folder if inside else folder.parent, folder) as staging,
    ):
        yield staging
        for path in staging.rglob("*"):
            flush(path)
        if not _is_first(staging, folder):
            with locked(folder, marker=last):
                _put(staging, folder, owned=owned, last=last, inside=inside)
        flush(folder.parent)


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
    path = checks.path("path", path)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    target = Path(os.path.realpath(path))
    if path.exists() and (not path.is_file() or not os.access(target.parent, os.W_OK)):
        with _errors_of(path), path.open(mode, **text) as file:
            yield file
        return
    with _errors_of(path), unfinished_file(target) as (unfinished, descriptor):
        with os.fdopen(descriptor, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, unfinished)
        unfinished.replace(target)


def check_output(path: str | os.PathLike[str], *, folder: bool = False) -> None:
    """Raise `InvalidInputError` if nothing can be written to a path, so that this shows before any work.

    Args:
        path: A file whose folder must exist, or a folder, whose parents are made.
        folder: Whether a folder is to be written.

    Raises:
        InvalidInputError: The path is of the other kind, or its folder is missing or read-only.
    """
    path = checks.path("path", path)
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


def _is_first(staging: Path, folder: Path) -> bool:
    """Whether there is no such folder yet; then the staging folder has become it."""
    if folder.exists():
        return False
    try:
        staging.rename(folder)
    except OSError:
        if not folder.exists():  # else another process made it just now
            raise
        return False
    return True


def _put(staging: Path, folder: Path, *, owned: Collection[str], last: str, inside: bool) -> None:
    """Let the files of a staging folder be those of a folder whose lock is held."""
    with abandoned_exchanges(folder) as abandoned:
        for old in abandoned:
            give_back(old, folder, owned=owned)
    finish(folder, owned=owned, last=last)
    may_exchange = not inside and (folder / last).exists() and not _is_worked_in(folder)
    if not (may_exchange and exchange(staging, folder, owned=owned)):
        put_in_place(staging, folder, owned=owned, last=last)


def _is_worked_in(folder: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(folder)
    except FileNotFoundError:  # the working directory was removed
        return False
