"""Folders and files in which a save is prepared: made, locked while they are in use, and removed after a crash.

A staging folder is `.NAME.<32 hexadecimal digits>.tmp` beside the folder NAME, or in it, and an unfinished file
`.NAME.<32 hexadecimal digits>.part` beside the file NAME. Its process holds a lock on it (`flock`), which ends with the
process; so a later save can tell those that nobody will finish. Where there are no such locks (Windows, some network
drives), none is removed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Names of staging folders.
IS_STAGING = re.compile(r"\..+\.[0-9a-f]{32}\.(tmp|old)", re.DOTALL)

#: Ends of their names: of one that is prepared, of a folder that was exchanged and is to be removed, and of a file.
PREPARED, EXCHANGED, PART = ".tmp", ".old", ".part"

#: Names of unfinished files; those of versions before 0.1.0 have no part of the file's name.
IS_PART = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.part", re.DOTALL)

#: Seconds that a save waits for another one.
PATIENCE = 600.0

_MOST_BYTES = 200  # of a folder's name in that of its staging folders


def new_name(folder: Path) -> str:
    """A name that no other staging folder has."""
    return f"{_prefix(folder)}{uuid4().hex}{PREPARED}"


@contextmanager
def staging_folder(parent: Path, folder: Path) -> Iterator[Path]:
    """Yield a new staging folder of `folder` in `parent`; it is locked, and removed at the end if it is still there.

    Those of earlier saves that were killed are removed first.

    Raises:
        OSError: The folder cannot be made.
    """
    for abandoned in [*_staging_folders(folder.parent, folder, PREPARED), *_staging_folders(folder, folder, PREPARED)]:
        with _locked_if_abandoned(abandoned) as is_abandoned:
            if is_abandoned:
                shutil.rmtree(abandoned, ignore_errors=True)
    staging, lock = _made(parent, folder)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _release(lock)


@contextmanager
def unfinished_file(target: Path) -> Iterator[tuple[Path, int]]:
    """Yield a new file beside `target`, and its descriptor; it is locked, and removed at the end if it is still there.

    Those of earlier processes that were killed while they wrote `target` are removed first.

    Raises:
        OSError: The file cannot be made.
    """
    for abandoned in _staging_folders(target.parent, target, PART):
        with _locked_if_abandoned(abandoned) as is_abandoned:
            if is_abandoned:
                abandoned.unlink(missing_ok=True)
    path, descriptor, lock = _made_file(target)
    try:
        yield path, descriptor
    finally:
        path.unlink(missing_ok=True)
        _release(lock)


@contextmanager
def abandoned_exchanges(folder: Path) -> Iterator[list[Path]]:
    """Yield the folders that saves of `folder` exchanged and, since they were killed, did not remove; all locked."""
    with ExitStack() as locks:
        found = _staging_folders(folder.parent, folder, EXCHANGED)
        yield [path for path in found if locks.enter_context(_locked_if_abandoned(path))]


@contextmanager
def locked(folder: Path, *, marker: str) -> Iterator[None]:
    """Hold the lock of a folder: one save at a time puts files into it, and none into the folders in it.

    Args:
        folder: The folder.
        marker: The file whose lock is the gate to that of the folder: who waits for the folder holds the gate, so that
            no more saves of folders in it begin.

    Raises:
        TimeoutError: Another process held it for too long.
    """
    gate = _waited_for(folder / marker, shared=False)
    try:
        lock = _waited_for(folder, shared=False)
    finally:
        _release(gate)
    try:
        yield
    finally:
        _release(lock)


@contextmanager
def kept_above(folder: Path, *, marker: str) -> Iterator[None]:
    """Keep the folders above in place, those with a file `marker`: they may be models, which are exchanged by a save.

    Raises:
        TimeoutError: Another process held the lock of one for too long.
    """
    locks: list[int | None] = []
    try:
        for above in reversed(folder.parents):
            if (above / marker).is_file():
                _release(_waited_for(above / marker, shared=True))
                locks.append(_waited_for(above, shared=True))
        yield
    finally:
        for lock in locks:
            _release(lock)


def _prefix(folder: Path) -> str:
    name = folder.name
    if len(os.fsencode(name)) > _MOST_BYTES:
        name = sha256(os.fsencode(name)).hexdigest()
    return f".{name}."


def _staging_folders(parent: Path, folder: Path, end: str) -> list[Path]:
    """The staging folders or the unfinished files of `folder` in `parent`, those of this user."""
    prefix, found = _prefix(folder), []
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(prefix) and re.fullmatch(f"[0-9a-f]{{32}}{re.escape(end)}", name[len(prefix) :]):
                found.append(Path(entry.path))
    return [path for path in found if _is_ours(path)]


def _is_ours(path: Path) -> bool:
    with suppress(OSError):
        is_one = path.is_file() if path.suffix == PART else path.is_dir()
        return is_one and not path.is_symlink() and path.stat().st_uid == os.geteuid()
    return False


def _made(parent: Path, folder: Path) -> tuple[Path, int | None]:
    while True:
        staging = parent / new_name(folder)
        staging.mkdir()
        with suppress(BlockingIOError):
            lock = _locked_at_once(staging)
            if staging.is_dir():  # else another save took it for abandoned before it was locked
                return staging, lock
            _release(lock)


def _made_file(target: Path) -> tuple[Path, int, int | None]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    while True:
        path = target.with_name(f"{_prefix(target)}{uuid4().hex}{PART}")
        descriptor = os.open(path, flags, 0o666)
        with suppress(BlockingIOError):
            lock = _locked_at_once(path)
            if path.exists():  # as in `_made`
                return path, descriptor, lock
            _release(lock)
        os.close(descriptor)


@contextmanager
def _locked_if_abandoned(staging: Path) -> Iterator[bool]:
    """Yield whether nobody has a staging folder locked; then it is locked."""
    lock = None
    with suppress(BlockingIOError):
        lock = _locked_at_once(staging)
    try:
        yield lock is not None
    finally:
        _release(lock)


def _waited_for(path: Path, *, shared: bool) -> int | None:
    """`_locked_at_once`, when the other process has given up its lock."""
    end, pause = time.monotonic() + PATIENCE, 0.001
    while time.monotonic() < end:
        with suppress(BlockingIOError):
            return _locked_at_once(path, shared=shared)
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    raise TimeoutError(
        f"Expected to write to {path}; another process has been writing to it, or to a folder in it, for "
        f"{PATIENCE:.0f} seconds. End that process, or save to another folder."
    )


def _locked_at_once(path: Path, *, shared: bool = False) -> int | None:
    """A descriptor of the file or folder at this path, which is locked; `None` if it cannot be locked.

    Raises:
        BlockingIOError: Another process, or another thread, has the lock, or put another one here just now.
    """
    if fcntl is None:
        return None
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # the latter for what is no file
    except OSError:
        return None
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
        raise BlockingIOError
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:
        os.close(lock)
        return None


def _release(lock: int | None) -> None:
    """Give up a lock, which a fork of this process would keep otherwise."""
    if lock is not None:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)
