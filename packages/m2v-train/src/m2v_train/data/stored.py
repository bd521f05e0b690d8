"""Samples whose token ids are in files: few of them are in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Int64, Integer

from m2v_core.errors import ModelFormatError
from m2v_core.ragged import Ragged, concatenated
from m2v_train.data.pairs import NONE
from m2v_train.data.samples import Samples, Sizes
from m2v_train.data.split import validation_size
from m2v_train.data.token_files import DTYPES, OCCURS, Stored

#: Tokens of a chunk, samples that are read at a time; and the most samples of one.
_TOKENS, _SAMPLES = 1 << 16, 1024

#: Chunks whose samples are mixed.
_MIXED = 64


@dataclass(frozen=True)
class StoredSamples:
    """Samples of pairs whose token ids are on disk; those that are held out for validation are skipped.

    It takes the place of `Samples` in training. Few chunks of consecutive samples are in memory at a time, and `order`
    visits samples so that these are enough.

    Attributes:
        folder: Folder of the files.
        stored: What is in them.
        held_out: Rows that are skipped, ascending.
        numbering: New number of each token, where they are renumbered.
    """

    folder: Path
    stored: Stored
    held_out: Int64[np.ndarray, " h"]
    numbering: Int32[np.ndarray, " V"] | None = None
    _chunks: dict[int, Samples] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        """Number of samples, without those held out."""
        return self.stored.n - len(self.held_out)

    @property
    def width(self) -> int:
        """Largest number of texts per sample."""
        return self.stored.width

    @property
    def sizes(self) -> Sizes:
        """Number of tokens of a sample."""
        return Sizes(self.stored.mean, self.stored.std, self.stored.most)

    def occurring(self, n_tokens: int) -> Bool[np.ndarray, " V"]:
        """Which of the tokens of a vocabulary occur, also in what is held out."""
        found = np.fromfile(self.folder / OCCURS, np.bool_)
        if len(found) != n_tokens:
            raise ModelFormatError(f"{self.folder / OCCURS}: expected {n_tokens} bytes. Remove the folder.")
        return found

    def renumbered(self, numbering: Int32[np.ndarray, " V"]) -> StoredSamples:
        """The samples with other numbers for tokens."""
        return replace(self, numbering=numbering, _chunks={})

    def digested(self) -> Iterator[Any]:
        """Arrays of all that the samples are, for a digest."""
        yield np.frombuffer(self.stored.digest.encode(), np.uint8)
        yield self.held_out

    def split(self, test_size: Any, seed: int) -> StoredSamples:
        """The samples without some, drawn at random, that are held out."""
        n = self.stored.n
        rows = np.random.default_rng(seed).choice(n, validation_size(n, test_size), replace=False)
        return replace(self, held_out=np.sort(rows), _chunks={})

    def held_out_samples(self) -> Samples:
        """The samples that are held out, in memory."""
        parts = [self.read(row, row + 1) for row in self.held_out.tolist()]
        texts = concatenated([part.texts for part in parts], np.int32)
        targets = numbered(np.concatenate([part.targets_of(np.arange(1)) for part in parts]))
        n = len(parts)
        return Samples(texts, np.arange(n * self.width).reshape(n, self.width), targets, np.arange(n))

    def widened(self, width: int) -> StoredSamples:
        """The samples with empty texts up to a number of texts per sample."""
        return replace(self, stored=replace(self.stored, width=width), _chunks={})

    def texts_of(self, batch: Integer[np.ndarray, " b"]) -> Ragged:
        """Token ids of the texts of some samples, sample after sample."""
        parts, place = self._parts(batch)
        texts = concatenated([chunk.texts_of(rows) for chunk, rows in parts], np.int32)
        return texts.take((place[:, None] * self.width + np.arange(self.width)).ravel())

    def targets_of(self, batch: Integer[np.ndarray, " b"]) -> Int32[np.ndarray, "b w"]:
        """A number for each text, the same for the same tokens, -1 for none; they are valid within the batch."""
        parts, place = self._parts(batch)
        hashes = np.concatenate([chunk.targets_of(rows) for chunk, rows in parts])[place]
        return numbered(hashes)

    def _parts(
        self, batch: Integer[np.ndarray, " b"]
    ) -> tuple[list[tuple[Samples, Integer[np.ndarray, " _"]]], Int64[np.ndarray, " b"]]:
        """The chunks of some samples with their rows in them, and where each sample comes among these."""
        size = self._chunk_size
        order = np.argsort(batch, kind="stable")
        numbers, starts = np.unique(batch[order] // size, return_index=True)
        rows = np.split(batch[order] % size, starts[1:])
        place = np.empty(len(batch), np.int64)
        place[order] = np.arange(len(batch))
        return [(self._chunk(number), part) for number, part in zip(numbers.tolist(), rows, strict=True)], place

    @property
    def _chunk_size(self) -> int:
        return max(1, min(_SAMPLES, int(_TOKENS / max(self.stored.mean, 1))))

    def _chunk(self, number: int) -> Samples:
        """A chunk of consecutive samples in memory; their targets are hashes, 0 for none."""
        kept = self._chunks.pop(number, None)
        if kept is None:
            first, last = self._rows(np.array([0, self._chunk_size - 1]) + number * self._chunk_size).tolist()
            while len(self._chunks) >= 2 * _MIXED:
                del self._chunks[next(iter(self._chunks))]
            kept = self.read(first, min(last + 1, self.stored.n))
            rows = np.arange(first, first + len(kept))
            kept = kept.take(np.flatnonzero(~np.isin(rows, self.held_out)))
        self._chunks[number] = kept  # the last one that was used is the last to go
        return kept

    def _rows(self, indices: Int64[np.ndarray, " b"]) -> Int64[np.ndarray, " b"]:
        """Rows of the files, of samples by their numbers without those held out."""
        before = self.held_out - np.arange(len(self.held_out))  # samples before each that is held out
        return indices + np.searchsorted(before, indices, side="right")

    def read(self, first: int, last: int) -> Samples:
        """Consecutive rows of the files, also those held out, in memory; targets are hashes, 0 for none."""
        starts = self._values("samples.bin", first, last + 1)
        offsets = self._values("offsets.bin", int(starts[0]), int(starts[-1]) + 1)
        ids = self._values("ids.bin", int(offsets[0]), int(offsets[-1]))
        hashes = self._values("hashes.bin", int(starts[0]), int(starts[-1]))
        is_there = np.arange(self.width) < np.diff(starts)[:, None]
        lengths, targets = np.zeros(is_there.shape, np.int64), np.zeros(is_there.shape, np.uint64)
        lengths[is_there], targets[is_there] = np.diff(offsets), np.maximum(hashes, 1)
        values = ids if self.numbering is None else self.numbering[ids]
        texts = Ragged.with_lengths(values, lengths.ravel())
        n = len(is_there)
        return Samples(texts, np.arange(n * self.width).reshape(n, self.width), targets, np.arange(n))

    def _values(self, name: str, first: int, last: int) -> Any:
        dtype = np.dtype(DTYPES[name])
        values = np.fromfile(self.folder / name, dtype, last - first, offset=first * dtype.itemsize)
        if len(values) != last - first:
            raise ModelFormatError(f"{self.folder / name}: the file is too short. Remove the folder to start again.")
        return values

    def order(self, rng: np.random.Generator) -> MixedOrder:
        """Numbers of all samples in random order: of chunks, and of the samples of some chunks together."""
        return MixedOrder(len(self), self._chunk_size, int(rng.integers(1 << 62)))


#: Samples in memory, or on disk.
AnySamples = Samples | StoredSamples


@dataclass(frozen=True)
class MixedOrder:
    """A random order of n samples in which near ones come at about the same time, and which takes little memory.

    Chunks of consecutive samples come in random order; the samples of 64 successive chunks come in random order
    together.

    Attributes:
        n: Number of samples.
        size: Number of samples of a chunk.
        seed: Seed of the order.

    Example:
        >>> order = MixedOrder(10, 2, seed=0)
        >>> sorted(np.concatenate([order[0:3], order[3:10]]).tolist())
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    n: int
    size: int
    seed: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, part: slice) -> Int64[np.ndarray, " m"]:
        """Some successive numbers."""
        start, stop, _ = part.indices(self.n)
        chunks, bounds = self._chunks
        first, last = np.searchsorted(bounds, [start, max(stop - 1, start)], side="right") - 1
        found = [np.zeros(0, np.int64)]
        for window in range(first // _MIXED * _MIXED, last + 1, _MIXED):
            mixed = slice(window, min(window + _MIXED, len(chunks)))
            members = (chunks[mixed, None] * self.size + np.arange(self.size)).ravel()
            members = members[members < self.n]
            np.random.default_rng([self.seed, 1 + window]).shuffle(members)
            before = int(bounds[window])
            found.append(members[max(start - before, 0) : max(stop - before, 0)])
        return np.concatenate(found)

    @cached_property
    def _chunks(self) -> tuple[Int64[np.ndarray, " c"], Int64[np.ndarray, " bounds"]]:
        """The chunks in their order, and the number of samples before each."""
        chunks = np.random.default_rng([self.seed, 0]).permutation(-(-self.n // self.size))
        lengths = np.minimum(self.size, self.n - chunks * self.size)
        return chunks, np.concatenate(([0], np.cumsum(lengths)))


def numbered(hashes: Any) -> Int32[np.ndarray, "n w"]:
    """Hashes of texts as small numbers, -1 for none.

    Example:
        >>> numbered(np.array([[9, 4], [4, 0]], np.uint64)).tolist()
        [[2, 1], [1, -1]]
    """
    numbers = np.unique(hashes, return_inverse=True)[1].reshape(hashes.shape).astype(np.int32)
    return np.where(hashes == 0, np.int32(NONE), numbers).astype(np.int32)
