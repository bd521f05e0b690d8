"""A folder exchanged for another one that was prepared, while the files of the user in it stay in their place.

What the user has in the old folder gets a second name in the new one. After the exchange, subfolders change places
again, so that they stay the same ones, and what came in meanwhile is moved over. The old folder is emptied name by
name, and only an empty one is removed: a file that comes late stays, or cannot be made.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from m2v_core.storage.staging import EXCHANGED, IS_STAGING

_TRIES = 1000  # to empty a folder into which somebody writes


def exchange(staging: Path, folder: Path, *, owned: Collection[str]) -> bool:
    """Let a staging folder and a folder change places, and remove the old one; False if that cannot be done.

    Args:
        staging: The new content, files with the names of `owned`.
        folder: The folder. Its lock is held.
        owned: Names of what is replaced; all else is the user's.
    """
    linked: dict[str, os.stat_result] = {}
    for entry in folder.iterdir():
        if entry.name not in owned:
            copy_linked(entry, staging / entry.name)
            with suppress(FileNotFoundError):
                linked[entry.name] = (staging / entry.name).lstat()
    shutil.copymode(folder, staging)
    old = staging.with_suffix(EXCHANGED)  # a later save must not remove what comes into it
    staging.rename(old)
    if _change_places(old, folder):
        give_back(old, folder, owned=owned, linked=linked)
        return True
    old.rename(staging)
    for entry in staging.iterdir():
        if entry.name not in owned:
            remove(entry)
    return False


def give_back(
    old: Path, folder: Path, *, owned: Collection[str], linked: Mapping[str, os.stat_result] = MappingProxyType({})
) -> None:
    """Remove a folder that was exchanged; what `folder` lacks of the user's files is moved there.

    Args:
        old: The folder.
        folder: The one in its place, whose lock is held.
        owned: Names of what is not the user's.
        linked: The files of `folder` by name, as they were when they came from `old`.
    """
    for name in linked:
        if _is_folder(old / name) and _is_folder(folder / name):
            _change_places(old / name, folder / name)
    _merge(old, folder, owned=owned, linked=linked)


def copy_linked(source: Path, target: Path) -> None:
    """Give a file, or all files of a folder, second names; or copy them where the file system has none.

    Staging folders are left out, and so is what vanishes meanwhile.
    """
    with suppress(FileNotFoundError):
        if not _is_folder(source):
            _link(source, target)
        elif not IS_STAGING.fullmatch(source.name):
            target.mkdir()
            for entry in source.iterdir():
                copy_linked(entry, target / entry.name)
            shutil.copystat(source, target)


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _merge(
    old: Path, folder: Path, *, owned: Collection[str] = (), linked: Mapping[str, os.stat_result] = MappingProxyType({})
) -> None:
    for _ in range(_TRIES):
        for entry in old.iterdir():
            if entry.name in owned:
                remove(entry)
            else:
                _move(entry, folder / entry.name, linked.get(entry.name))
        try:
            old.rmdir()
        except OSError:  # something new is in it
            continue
        return


def _move(entry: Path, target: Path, linked: os.stat_result | None) -> None:
    """Move a file or folder of the user, unless the newest of this name is there already."""
    if _is_folder(entry):
        if _is_folder(target):
            _merge(entry, target)
        elif not os.path.lexists(target):
            entry.rename(target)
        return
    with suppress(FileNotFoundError):  # the user moved it
        if not _move_to_free_name(entry, target) and not _is_folder(target):
            one, other = entry.lstat(), target.lstat()
            is_old = one.st_mtime_ns > other.st_mtime_ns if linked is None else os.path.samestat(other, linked)
            if is_old and not os.path.samestat(one, other):
                entry.replace(target)
            else:
                entry.unlink()


def _move_to_free_name(entry: Path, target: Path) -> bool:
    """Move a file unless the name is taken."""
    try:
        os.link(entry, target, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError):
        return False
    except (OSError, NotImplementedError):  # a file system without second names
        if os.path.lexists(target):
            return False
        entry.rename(target)
    else:
        entry.unlink()
    return True


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except (FileNotFoundError, FileExistsError):  # a copy into what is there could change another file
        raise
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def _change_places(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system cannot."""
    libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    a, b = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        at_cwd, rename_exchange = -100, 2
        return bool(libc.renameat2(at_cwd, a, at_cwd, b, rename_exchange) == 0)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        rename_swap = 2
        return bool(libc.renamex_np(a, b, rename_swap) == 0)
    return False
