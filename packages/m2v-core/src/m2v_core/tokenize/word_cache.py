"""Caches of token ids: a bounded hash table in NumPy arrays for batches, and a dictionary for small texts.

The table uses open addressing with linear probing, and all pieces of a batch are looked up at once. It only grows;
when it is full, an empty one replaces it. Slots are read and written under a lock, for a short time. The records that
they point to never change once they are written, so they may be read without the lock.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2v_core.tokenize.pieces import BLOCK, Blocks, PieceKeys, Positions

#: Longer pieces, in bytes, are not cached.
MAX_BYTES = 256

#: Stands in place of a number of ids: texts with this piece must not be split.
UNSAFE = 0xFFFF

_MAX_PROBES = 16
_FIRST_SLOTS = 1 << 12
_SLOT_BYTES = 16
_SLOTS_PER_ENTRY = 2  # at least
_MAX_CHARS = 64  # of a piece in the cache of small texts
_ENTRY_BYTES = 100  # of a dictionary's entry, including its growth
_START_BITS, _COUNT_BITS = np.uint64(32), np.uint64(16)
_LOW = np.uint64(0xFFFF)


@dataclass(frozen=True)
class Lookup:
    """Result of looking up the pieces of a batch.

    Attributes:
        table: Table that was searched; new pieces of the batch are added to it.
        known: [n] whether a piece is in the table.
        starts: [n] position in `store` of the first id of each known piece.
        counts: [n] number of ids of each known piece, or `UNSAFE`.
        store: Ids of all known pieces.
    """

    table: _Table
    known: NDArray[np.bool_]
    starts: Positions
    counts: Positions
    store: Positions


class WordCache:
    """Ids of pieces, in at most about `max_bytes` bytes; it may be shared between threads.

    Attributes:
        factor: Secret factor of the hashes, for `m2v_core.tokenize.pieces.hashed`.
    """

    def __init__(self, max_bytes: int) -> None:
        self.factor = np.uint64(int.from_bytes(os.urandom(BLOCK)) | 1)  # the module secrets would load OpenSSL
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._table = _Table(max_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self._table.nbytes

    def find(self, keys: PieceKeys) -> Lookup:
        """Look pieces up."""
        with self._lock:
            if self._table.full:
                self._table = _Table(self._max_bytes)
            table = self._table
            known, meta = table.probe(keys)
            store = table.store
        starts = (meta >> _START_BITS).view(np.int64)
        stored_blocks = store.view(np.uint64)
        for level, (index, expected) in enumerate(keys.all_blocks()):
            known[index] &= stored_blocks.take(starts.take(index) + level, mode="clip") == expected
        starts += _n_blocks(keys.sizes)
        return Lookup(table, known, starts, (meta >> _COUNT_BITS & _LOW).view(np.int64), store)

    def add(
        self, lookup: Lookup, keys: PieceKeys, new: Positions, ids: Positions, counts: Positions
    ) -> tuple[Positions, Positions]:
        """Add pieces.

        Args:
            lookup: Result of `find` for `keys`.
            keys: Keys of all pieces of the batch.
            new: [m] indices of the pieces to add, which are all different.
            ids: Ids of the new pieces, one piece after the other.
            counts: [m] number of ids of each new piece, or `UNSAFE` for one without ids.

        Returns:
            The positions [m] of the first ids in the store, and the store.
        """
        records, starts, id_starts = _records(keys, new, ids, counts)
        with self._lock:
            base = lookup.table.add(keys.hashes.take(new), keys.sizes.take(new), starts, counts, records)
            store = lookup.table.store
        return id_starts + base, store


class SmallTextCache:
    """Ids of the pieces of small texts, in at most about `max_bytes` bytes: a dictionary, which is fast for one piece.

    Attributes:
        known: Ids of each piece as bytes, `None` for a piece that is not safe. For reading only; `add` may replace it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self.known: dict[str, bytes | None] = {"": b""}
        self._nbytes = 0

    def add(self, new: Mapping[str, bytes | None]) -> None:
        """Add pieces; a cache that is full is emptied first. Long pieces are not added."""
        with self._lock:
            for piece, ids in new.items():
                if len(piece) > _MAX_CHARS:
                    continue
                if self._nbytes > self._max_bytes:
                    self._reset()
                self._nbytes += _ENTRY_BYTES + sys.getsizeof(piece) + sys.getsizeof(ids)
                self.known[piece] = ids


class _Table:
    """One generation of the word cache; its caller holds the lock."""

    def __init__(self, max_bytes: int) -> None:
        self.full = False
        self.store = np.zeros(_FIRST_SLOTS, np.int64)  # records: the blocks of a piece, then its ids
        self._used = 0
        self._entries = 0
        self._max_bytes = max_bytes
        self._allocate(_FIRST_SLOTS)

    def _allocate(self, n_slots: int) -> None:
        # A hash (0: free), and start of the record << 32 | number of ids << 16 | bytes of the piece.
        self._slots = np.zeros((n_slots, 2), np.uint64)
        self._shift = np.uint64(64 - n_slots.bit_length() + 1)

    @property
    def nbytes(self) -> int:
        return self._slots.nbytes + self.store.nbytes

    def probe(self, keys: PieceKeys) -> tuple[NDArray[np.bool_], Blocks]:
        """Whether a slot has the hash and size of each piece, and the second number of that slot."""
        hashes, sizes = keys.hashes, keys.sizes.view(np.uint64)
        slots = (hashes >> self._shift).view(np.int64)
        entries = self._slots.take(slots, axis=0)
        held, meta = entries[:, 0], entries[:, 1]
        known = (held == hashes) & (meta & _LOW == sizes)
        rest = np.flatnonzero(known < (held != 0))  # the slot holds another piece
        for _ in range(_MAX_PROBES):
            if not len(rest):
                break
            next_slots = (slots.take(rest) + 1) & (len(self._slots) - 1)
            slots[rest] = next_slots
            entries = self._slots.take(next_slots, axis=0)
            held, here = entries[:, 0], entries[:, 1]
            match = (held == hashes.take(rest)) & (here & _LOW == sizes.take(rest))
            matched = rest.compress(match)
            known[matched] = True
            meta[matched] = here.compress(match)
            rest = rest.compress(match < (held != 0))
        return known, meta

    def add(self, hashes: Blocks, sizes: Positions, starts: Positions, counts: Positions, records: Positions) -> int:
        """Append records; returns the position in the store where they begin."""
        base, end = self._used, self._used + len(records)
        if end > len(self.store):
            larger = np.zeros(max(end, 2 * len(self.store)), np.int64)
            larger[:base] = self.store[:base]
            self.store = larger  # a thread that reads the old one may go on doing so
        self.store[base:end] = records
        self._used = end
        self._grow(len(hashes))
        if not self.full:
            meta = (starts + base).view(np.uint64) << _START_BITS | counts.view(np.uint64) << _COUNT_BITS
            self._insert(np.stack((hashes, meta | sizes.view(np.uint64)), axis=1))
            self._entries += len(hashes)
        return base

    def _grow(self, more: int) -> None:
        """Enlarge the table for so many more entries, or mark it as full."""
        n_slots = len(self._slots)
        while (self._entries + more) * _SLOTS_PER_ENTRY > n_slots:
            n_slots *= 2
        growing = n_slots + len(self._slots) if n_slots != len(self._slots) else n_slots
        if growing * _SLOT_BYTES + self.store.nbytes > self._max_bytes:
            self.full = True
        elif n_slots != len(self._slots):
            entries = self._slots[self._slots[:, 0] != 0]
            self._allocate(n_slots)
            self._insert(entries)

    def _insert(self, entries: Blocks) -> None:
        """Put entries [m, 2] into free slots; the few without a free slot nearby are left out."""
        slots = (entries[:, 0] >> self._shift).view(np.int64)
        for _ in range(_MAX_PROBES):
            if not len(entries):
                break
            is_free = self._slots.take(slots, axis=0)[:, 0] == 0
            self._slots[slots.compress(is_free)] = entries.compress(is_free, axis=0)  # for each slot one wins
            left = (self._slots.take(slots, axis=0) != entries).any(axis=1)
            entries, slots = entries.compress(left, axis=0), (slots.compress(left) + 1) & (len(self._slots) - 1)


def _n_blocks(sizes: Positions) -> Positions:
    return (sizes + (BLOCK - 1)) // BLOCK


def _records(
    keys: PieceKeys, new: Positions, ids: Positions, counts: Positions
) -> tuple[Positions, Positions, Positions]:
    """Records of the new pieces, one after the other; the start of each, and the start of its ids."""
    n_blocks = _n_blocks(keys.sizes.take(new))
    n_ids = np.where(counts == UNSAFE, 0, counts)
    ends = np.cumsum(n_blocks + n_ids)
    starts = ends - n_blocks - n_ids
    records = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
    blocks = records.view(np.uint64)
    blocks[starts] = keys.first.take(new)
    start_of = np.full(len(keys.sizes), -1)
    start_of[new] = starts
    for level, (index, further) in enumerate(keys.further, 1):
        start = start_of.take(index)
        blocks[start.compress(start >= 0) + level] = further.compress(start >= 0)
    id_starts = starts + n_blocks
    before = np.cumsum(n_ids) - n_ids
    records[np.repeat(id_starts - before, n_ids) + np.arange(len(ids))] = ids
    return records, starts, id_starts
