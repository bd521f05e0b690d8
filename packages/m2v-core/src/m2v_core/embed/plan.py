"""Which files a run embeds, and into which shards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import count
from pathlib import Path

from m2v_core import checks
from m2v_core.embed.manifest import ENDING, Manifest, Shard
from m2v_core.embed.read import stem_of
from m2v_core.errors import InvalidInputError

#: A path or several; one that is no file may have wildcards.
Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Task:
    """A shard that is to be written.

    Attributes:
        input: The input, as it was given.
        shard: Name of the shard.
    """

    input: str
    shard: str


def input_files(inputs: Paths, out: Path) -> list[str]:
    """The files that paths and wildcards name, each once.

    Args:
        inputs: Paths; in one that is no file, `*`, `?` and `[...]` stand for parts of names, and `**` for any folders.
        out: The output folder, in which wildcards find nothing.

    Raises:
        InvalidInputError: There is no such file, or it is in the output folder, or there are no inputs.

    Example:
        >>> _ = [Path(name).write_text("good") for name in ("a.txt", "b.txt")]
        >>> input_files(["b.txt", "*.txt"], Path("vectors"))
        ['b.txt', 'a.txt']
    """
    found: dict[str, str] = {}
    for given in [inputs] if isinstance(inputs, str | os.PathLike) else checks.iterable("inputs", inputs):
        checks.path("inputs", given)
        path = os.fspath(given)
        if os.path.lexists(path) or not has_magic(path):
            _check_file(path, out)
            matches = [path]
        else:
            names = sorted(glob(path, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute ones
            matches = [name for name in names if Path(name).is_file() and not _is_inside(name, out)]
            if not matches:
                raise InvalidInputError(f"Expected files; found none that {path!r} stands for. Check the spelling.")
        for name in matches:
            found.setdefault(str(Path(name).absolute()), name)
    if not found:
        raise InvalidInputError("Expected an input or more; found none.")
    return list(found.values())


def _check_file(path: str, out: Path) -> None:
    if Path(path).is_dir():
        raise InvalidInputError(
            f"Expected a file of texts; found {path!r}, which is a folder. Name its files, with wildcards such as "
            f"{str(Path(path) / '**' / '*.parquet')!r}."
        )
    if not Path(path).is_file():
        raise InvalidInputError(
            f"Expected a file of texts; found {path!r}, which is none. Check the spelling, or write a stream into a "
            f"file first."
        )
    if _is_inside(path, out):
        raise InvalidInputError(f"Expected inputs outside of the output folder; found {path!r}. Choose another folder.")


def _is_inside(path: str, folder: Path) -> bool:
    return Path(path).resolve().is_relative_to(folder.resolve())


def digest_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def planned(paths: Sequence[str], manifest: Manifest, threads: int) -> tuple[dict[str, Shard], list[Task]]:
    """The finished shards of inputs, and what is left to do, the largest files first.

    An input is finished if a shard was made of a file with its content and name, wherever that lay. Otherwise it gets
    the shard of the same path, if it has changed, or a name that is not taken.

    Args:
        paths: The inputs.
        manifest: The shards that there are.
        threads: Threads that compute digests; those only of files whose name and size are known.
    """
    sizes = {path: Path(path).stat().st_size for path in paths}
    by_path = {shard.input: shard for shard in manifest.shards.values()}
    by_name: dict[tuple[str, int], list[Shard]] = {}
    for shard in manifest.shards.values():
        by_name.setdefault((stem_of(Path(shard.input)), shard.input_bytes), []).append(shard)
    known = [path for path in paths if (stem_of(Path(path)), sizes[path]) in by_name]
    with ThreadPoolExecutor(threads) as pool:
        digests = dict(zip(known, pool.map(digest_of, known), strict=True))

    finished = {
        path: by_path[path] for path in known if path in by_path and by_path[path].input_sha256 == digests[path]
    }
    claimed = {shard.shard for path, shard in by_path.items() if path in sizes}
    for path in known:
        for shard in by_name[stem_of(Path(path)), sizes[path]]:
            if path not in finished and shard.shard not in claimed and shard.input_sha256 == digests[path]:
                finished[path] = shard
                claimed.add(shard.shard)

    taken = {name.casefold() for name in manifest.shards}
    tasks = []
    for path in paths:
        if path in finished:
            continue
        name = by_path[path].shard if path in by_path else _free(stem_of(Path(path)), taken)
        taken.add(name.casefold())
        tasks.append(Task(path, name))
    return finished, sorted(tasks, key=lambda task: -sizes[task.input])


def _free(stem: str, taken: Iterable[str]) -> str:
    """A name for a shard that no other has, on file systems that ignore case too."""
    names = (f"{stem}{ENDING}" if number == 1 else f"{stem}-{number}{ENDING}" for number in count(1))
    return next(name for name in names if name.casefold() not in taken)
