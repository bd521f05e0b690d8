"""Files that take the places of others one by one, where two folders cannot be exchanged.

First the staging folder moves into the folder as a whole and gets the name `UNFINISHED`; with that the save is decided:
readers find the new files there. Then each gets its place in the folder, under a second name, so that `UNFINISHED`
stays whole; at last it goes. Whoever finds it later, of a save that was killed, can do the same again.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from m2v_core.storage.exchange import copy_linked, remove
from m2v_core.storage.staging import new_name

_PART = ".part"  # in the unfinished folder: a file on its way


def put_in_place(staging: Path, folder: Path, *, owned: Collection[str], last: str) -> None:
    """Let the files of a staging folder be those of a folder whose lock is held.

    Args:
        staging: The files. It is on the same file system, and is gone afterwards.
        folder: The folder.
        owned: Names of what is replaced or removed.
        last: The file without which other programs take the folder for empty: it goes first, and comes last.
    """
    from m2v_core.storage.files import UNFINISHED  # imports numpy, which the parser of the command does without

    try:
        staging.rename(folder / UNFINISHED)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = folder / new_name(folder)  # of a kind of mount point that does not look like one
        shutil.copytree(staging, copy)
        copy.rename(folder / UNFINISHED)
    flush(folder)
    finish(folder, owned=owned, last=last)


def finish(folder: Path, *, owned: Collection[str], last: str) -> None:
    """Finish `put_in_place`, if it was not, in a folder whose lock is held; arguments are those of `put_in_place`."""
    from m2v_core.storage.files import UNFINISHED  # as above

    unfinished = folder / UNFINISHED
    if unfinished.is_symlink() or not unfinished.is_dir():
        return
    part = unfinished / _PART
    remove(part)
    new = {path.name for path in unfinished.iterdir()}
    if last in new:
        for name in sorted((set(owned) - new) | {last}, key=lambda name: name != last):
            remove(folder / name)
    for name in sorted(new, key=lambda name: name == last):
        copy_linked(unfinished / name, part)
        for file in (part, *part.rglob("*")):
            flush(file)
        if part.is_dir() or (folder / name).is_dir():  # one takes the place of no other that holds files
            remove(folder / name)
        part.replace(folder / name)
        remove(part)  # it stays where it and the other are names of one file, as after a kill
    flush(folder)
    done = folder / new_name(folder)
    unfinished.rename(done)
    shutil.rmtree(done, ignore_errors=True)


def flush(path: Path) -> None:
    """Ask the disk to keep a file or a folder's list of names (folders cannot be opened on Windows)."""
    with suppress(PermissionError, IsADirectoryError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
