"""The manifest of an output folder: what was embedded, how, and which shards are finished.

The first line of the file is the job, each other line a finished shard. Lines are appended as shards are finished, so
that a killed run loses none, and put in order at the end.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from m2v_core.errors import InvalidInputError
from m2v_core.storage.atomic import replaced_file
from m2v_core.storage.files import check_is_file
from m2v_core.storage.staging import IS_PART

#: Its name begins with "_", so that engines that read the whole folder leave it out.
MANIFEST = "_manifest.jsonl"

VERSION = 1

#: Ending of the shards' names.
ENDING = ".parquet"

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all shards of a folder have in common.

    Attributes:
        model: Digest of the model; see `m2v_core.storage.digest`.
        settings: What decides the vectors beside the model; see `TextEmbedder.settings`.
        text_column: Column of the texts.
        vector_column: Column of the vectors.
        keep: Columns that are kept, `None` for all.
    """

    model: str
    settings: Mapping[str, Any]
    text_column: str
    vector_column: str
    keep: Sequence[str] | None

    def to_json(self) -> dict[str, Any]:
        """The first line of the manifest."""
        keep = None if self.keep is None else list(self.keep)
        return {"version": VERSION, **asdict(self), "settings": dict(self.settings), "keep": keep}

    @property
    def metadata(self) -> dict[str, Any]:
        """What a shard alone says of its vectors."""
        return {"version": VERSION, "model": self.model, "settings": dict(self.settings)}


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A finished shard.

    Attributes:
        shard: Name of its file.
        input: Path of its input, as it was given.
        input_bytes: Size of the input.
        input_sha256: SHA-256 of the input, in hexadecimal digits.
        texts: Number of its rows.
        unknown: Number of texts without a known token, whose vectors are zeros.
        bytes: Size of the shard.
    """

    shard: str
    input: str
    input_bytes: int
    input_sha256: str
    texts: int
    unknown: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The manifest of a folder, as far as it is written.

    Attributes:
        folder: The output folder.
        shards: The finished shards by name.
    """

    folder: Path
    shards: dict[str, Shard]

    def add(self, shard: Shard) -> None:
        """Note a finished shard, in one write to the end of the file; if that is lost, the shard is written again."""
        self.shards[shard.shard] = shard
        descriptor = os.open(self.folder / MANIFEST, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, _line(asdict(shard)))
        finally:
            os.close(descriptor)

    def close(self, job: Job) -> None:
        """Put the lines in the order of the shards' names."""
        _write(self.folder, job, [self.shards[name] for name in sorted(self.shards)])


def check_folder(folder: Path) -> None:
    """Raise `InvalidInputError` unless a folder is new, empty, or one with a manifest."""
    if not folder.is_dir() or (folder / MANIFEST).exists():
        return
    found = sorted(path.name for path in folder.iterdir() if not IS_PART.fullmatch(path.name))
    if found:
        raise InvalidInputError(
            f"{folder}: expected a new or empty folder, or one that an earlier run wrote, with {MANIFEST}; found "
            f"{', '.join(found[:5])}{', ...' if len(found) > 5 else ''}. Choose another folder."
        )


@contextmanager
def opened_manifest(folder: Path, job: Job) -> Iterator[Manifest]:
    """The manifest of a folder, which is made or compared with the job; no other run can open it meanwhile.

    Finished shards whose file is missing or has another size are left out. Files that a killed run left unfinished are
    removed.

    Raises:
        InvalidInputError: The folder holds something else, or vectors of another model or job; or another run writes
            to it.
    """
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        for path in folder.iterdir():
            if IS_PART.fullmatch(path.name):
                path.unlink()
        if not (folder / MANIFEST).exists():
            _write(folder, job, [])
        found, shards = read_manifest(folder)
        _compared(folder, found, job)
        manifest = Manifest(folder, {shard.shard: shard for shard in shards if _is_there(folder, shard)})
        manifest.close(job)  # without a line that is not whole, to which another could be appended
        yield manifest


def read_manifest(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Shard]]:
    """The job and the finished shards of a folder, without a look at the shards.

    A last line that is not whole, as a killed run may leave it, is left out.

    Raises:
        InvalidInputError: There is no manifest, or a line of it is something else.
    """
    path = Path(folder) / MANIFEST
    check_is_file(path)
    *lines, rest = path.read_bytes().split(b"\n")
    job: dict[str, Any] = {}
    shards: dict[str, Shard] = {}
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            if number == 1:
                job = _checked_job(found)
            else:
                shard = _checked_shard(found)
                shards[shard.shard] = shard
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidInputError(
                f"{path}, line {number}: expected {'a job' if number == 1 else 'a finished shard'} of this version; "
                f"found something else: {error!s:.200}. Choose another folder, or remove this one to start again."
            ) from None
    if not job:
        raise InvalidInputError(f"{path}: expected a manifest; found {len(rest)} bytes without a whole line.")
    return job, list(shards.values())


def _checked_job(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError(f"an object with the version {VERSION} is expected")
    if not isinstance(found.get("settings", {}), dict):
        raise ValueError("settings should be an object")
    return found


def _checked_shard(found: Any) -> Shard:
    """A record of values of the right types, whose name is that of a file in the folder."""
    shard = Shard(**found)
    for field in fields(Shard):
        value: Any = getattr(shard, field.name)
        is_count = field.type == "int"
        if type(value) is not (int if is_count else str) or (isinstance(value, int) and value < 0):
            raise ValueError(f"{field.name} should be {'a count' if is_count else 'a text'}")
    if (
        Path(shard.shard).name != shard.shard
        or not shard.shard.endswith(ENDING)
        or not _HEX.fullmatch(shard.input_sha256)
    ):
        raise ValueError("the name of a file in this folder, and a digest, are expected")
    return shard


def _compared(folder: Path, found: Mapping[str, Any], job: Job) -> None:
    """Raise unless a folder's job is this one; the error names what differs."""
    expected = job.to_json()
    for name, value in {**expected, **expected["settings"]}.items():
        other = found.get(name, found.get("settings", {}).get(name))
        if other == value or name == "settings":
            continue
        if name == "model":
            raise InvalidInputError(
                f"{folder}: expected vectors of this model (digest {value[:12]}); found those of another "
                f"({other!s:.12}). Choose another folder for each model."
            )
        raise InvalidInputError(
            f"{folder}: expected vectors with {name}={value!r}; found {other!r:.200}. Pass that, or choose another "
            f"folder."
        )


def _is_there(folder: Path, shard: Shard) -> bool:
    path = folder / shard.shard
    return path.is_file() and path.stat().st_size == shard.bytes


def _write(folder: Path, job: Job, shards: Iterable[Shard]) -> None:
    content = b"".join([_line(job.to_json()), *(_line(asdict(shard)) for shard in shards)])
    path = folder / MANIFEST
    if not path.exists() or path.read_bytes() != content:
        with replaced_file(path, "wb") as file:
            file.write(content)


def _line(content: object) -> bytes:
    return json.dumps(content).encode() + b"\n"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, where the system has them; it ends with the process at the latest.

    Windows and some network drives have none.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise InvalidInputError(
                    f"{folder}: expected a folder that nobody writes to; found another run at work there. Wait for it, "
                    f"or choose another folder."
                ) from None
        yield
    finally:
        os.close(descriptor)
