"""What a long computation has finished, kept in a folder so that a later run can go on."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy import ndarray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

#: Seconds of work that a killed run may lose. Shorter runs write nothing.
INTERVAL = 20.0


class ChunkStore:
    """Rows of a table as they get finished: `chunk-<number>.safetensors` with `rows` [n] and `vectors` [n, D].

    A chunk is written beside its name and then renamed, holds a checksum of its tensors and of the sequences that it is
    about, and counts only if both hold. Chunks of other sequences are left until there is something to put in their
    place. Used as a context manager, it writes at an error what it holds.

    Attributes:
        folder: Where they are.

    Example:
        >>> import tempfile
        >>> sequences, table = [[1, 2], [3]], np.zeros((2, 4), np.float32)
        >>> store = ChunkStore(tempfile.mkdtemp(), interval=0.0)
        >>> _ = store.read(sequences, table)
        >>> store.add(np.array([1]), np.ones((1, 4), np.float32))
        >>> ChunkStore(store.folder).read(sequences, table).tolist(), table[1].tolist()
        ([False, True], [1.0, 1.0, 1.0, 1.0])
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        fresh: bool = False,
        writes: bool = True,
        interval: float | None = None,
    ) -> None:
        """A store.

        Args:
            folder: Made when the first chunk is written.
            fresh: Take nothing over from what is there.
            writes: Whether this process is the one that keeps chunks.
            interval: Seconds of work in a chunk. Default: `INTERVAL`.
        """
        self.folder = Path(folder)
        self._fresh, self._writes = fresh, writes
        self._interval = INTERVAL if interval is None else interval
        self._digest = ""
        self._kept: list[Path] = []
        self._waiting: list[tuple[ndarray, ndarray]] = []
        self._last = time.monotonic()

    def found(self) -> list[Path]:
        """The chunks in the folder, whether or not they count."""
        return sorted(self.folder.glob("chunk-?????.safetensors"))

    def read(self, sequences: Sequence[Sequence[int]], table: Float32[ndarray, "N D"]) -> Bool[ndarray, " N"]:
        """Put the finished rows of these sequences into the table, and say which they are."""
        self._digest = _digest_of(sequences, table.shape[1])
        finished = np.zeros(len(table), bool)
        for path in [] if self._fresh or not self._writes else self.found():
            chunk = self._checked(path)
            if chunk is not None:
                rows, vectors = chunk
                table[rows], finished[rows] = vectors, True
                self._kept.append(path)
        return finished

    def forget(self) -> None:
        """Count nothing of what was read."""
        self._kept.clear()

    def add(self, rows: Int[ndarray, " n"], vectors: Float32[ndarray, "n D"]) -> None:
        """Keep some finished rows."""
        if self._writes:
            self._waiting.append((rows, vectors))
            if time.monotonic() - self._last >= self._interval:
                self._write()

    def discard(self) -> None:
        """Remove the folder, if it holds nothing but chunks."""
        for path in self.folder.glob("chunk-*.safetensors*"):
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def __enter__(self) -> ChunkStore:
        self._last = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: BaseException | TracebackType | None) -> None:
        if self._waiting and kind is not None:
            self._write()

    def _write(self) -> None:
        rows, vectors = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("chunk-*.safetensors*"):
            if path not in self._kept:
                path.unlink()
        number = 1 + max((int(path.name[6:11]) for path in self._kept), default=-1)
        path = self.folder / f"chunk-{number:05d}.safetensors"
        tensors = {"rows": rows.astype(np.int64), "vectors": vectors}
        metadata = {"sequences": self._digest, "sha256": checksum(tensors)}
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_bytes(save(tensors, metadata))
        unfinished.replace(path)
        self._kept.append(path)
        self._waiting.clear()
        self._last = time.monotonic()

    def _checked(self, path: Path) -> tuple[ndarray, ndarray] | None:
        """A chunk's rows and vectors, if it is whole and of these sequences."""
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        except (OSError, SafetensorError):
            return None
        if metadata.get("sequences") != self._digest or metadata.get("sha256") != checksum(tensors):
            return None
        return tensors["rows"], tensors["vectors"]


def _digest_of(sequences: Sequence[Sequence[int]], width: int) -> str:
    return hashlib.sha256(json.dumps([width, [list(map(int, ids)) for ids in sequences]]).encode()).hexdigest()


def checksum(tensors: dict[str, ndarray]) -> str:
    """SHA-256 of names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()
