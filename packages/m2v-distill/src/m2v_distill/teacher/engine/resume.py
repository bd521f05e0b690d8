"""A store of the finished part of a long computation, from which a later run continues."""

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

from m2v_core.errors import ModelFormatError
from m2v_core.storage.atomic import replaced_file
from m2v_core.storage.tensor_file import checksum, read_all
from m2v_core.storage.tensor_pieces import serialized

#: Seconds of work that a killed run may lose; shorter runs write nothing.
INTERVAL = 20.0

#: Patterns of the names of chunks, and of files that a killed run was writing.
CHUNKS, UNFINISHED = "chunk-?????.safetensors", ".*.part"


class ChunkStore:
    """Finished rows of a table on disk: `chunk-<number>.safetensors` with `rows` [n] and `vectors` [n, D].

    A chunk has a checksum of its tensors and one of the sequences that were computed; it is used only if both match.
    Chunks of other sequences stay until new ones replace them. As a context manager, the store writes the rows that it
    still holds when an error occurs.

    Attributes:
        folder: Folder of the chunks.

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
        """Open a store.

        Args:
            folder: Folder of the chunks, made when the first one is written.
            fresh: Whether to ignore existing chunks.
            writes: Whether this process writes chunks.
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
        """The chunks in the folder, valid or not."""
        return sorted(self.folder.glob(CHUNKS))

    def read(self, sequences: Sequence[Sequence[int]], table: Float32[ndarray, "N D"]) -> Bool[ndarray, " N"]:
        """Copy the finished rows of these sequences into the table, and return which they are."""
        self._digest = _digest_of(sequences, table.shape[1])
        finished = np.zeros(len(table), bool)
        for path in [] if self._fresh or not self._writes else self.found():
            chunk = self._checked(path, table)
            if chunk is not None:
                rows, vectors = chunk
                table[rows], finished[rows] = vectors, True
                self._kept.append(path)
        return finished

    def forget(self) -> None:
        """Treat the chunks that were read as invalid."""
        self._kept.clear()

    def add(self, rows: Int[ndarray, " n"], vectors: Float32[ndarray, "n D"]) -> None:
        """Add finished rows."""
        if self._writes:
            self._waiting.append((rows, vectors))
            if time.monotonic() - self._last >= self._interval:
                self._write()

    def discard(self) -> None:
        """Remove the chunks, and the folder if it is then empty."""
        for pattern in CHUNKS, UNFINISHED:
            for path in self.folder.glob(pattern):
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
        for path in self.folder.glob(CHUNKS):
            if path not in self._kept:
                path.unlink()
        number = 1 + max((int(path.name[6:11]) for path in self._kept), default=-1)
        path = self.folder / f"chunk-{number:05d}.safetensors"
        tensors = {"rows": rows.astype(np.int64), "vectors": vectors}
        metadata = {"sequences": self._digest, "sha256": checksum(tensors)}
        with replaced_file(path, "wb") as file:
            file.write(serialized(tensors, metadata))
        self._kept.append(path)
        self._waiting.clear()
        self._last = time.monotonic()

    def _checked(self, path: Path, table: Float32[ndarray, "N D"]) -> tuple[ndarray, ndarray] | None:
        """The rows and vectors of a chunk, if it is undamaged, of these sequences, and fits the table."""
        try:
            tensors, metadata = read_all(path)
        except (OSError, ModelFormatError):
            return None
        if metadata.get("sequences") != self._digest or metadata.get("sha256") != checksum(tensors):
            return None
        rows, vectors = tensors.get("rows"), tensors.get("vectors")
        if rows is None or vectors is None or rows.ndim != 1 or vectors.shape != (len(rows), table.shape[1]):
            return None
        if rows.dtype != np.int64 or vectors.dtype != np.float32 or ((rows < 0) | (rows >= len(table))).any():
            return None
        return rows, vectors


def _digest_of(sequences: Sequence[Sequence[int]], dim: int) -> str:
    return hashlib.sha256(json.dumps([dim, [list(map(int, ids)) for ids in sequences]]).encode()).hexdigest()
