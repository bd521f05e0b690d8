"""Caches of token ids: a bounded hash table in NumPy arrays for batches, and a dictionary for small texts.

The table uses open addressing with linear probing, and all pieces of a batch are looked up at once. It only grows;
when it is full, an empty one replaces it. Slots are read and written under a lock, for a short time. The records that
they point to never change once they are written, so they may be read without the lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2v_core.forking import is_held, renew_in_forks
from m2v_core.tokenize.pieces import BLOCK, Blocks, PieceKeys, Positions, hash_of, strings

#: Longer pieces, in bytes, are not cached.
MAX_BYTES = 256

#: Stands in place of a number of ids: texts with this piece must not be split.
UNSAFE = 0xFFFF

_MAX_PROBES = 16
_FIRST_SLOTS = 1 << 12
_SLOT_BYTES = 16
_SLOTS_PER_ENTRY = 2  # at least
_MAX_CHARS = 64  # of a piece in the cache of small texts

#: Bytes of an entry of `SmallTextCache` without its ids: the dictionary's, with room to grow, and those of two objects.
ENTRY_BYTES = 200
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
        self._factor = int(self.factor)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._table = _Table(max_bytes)
        renew_in_forks(self)

    def after_fork(self) -> None:
        """Begin anew if a thread of the parent process held the lock."""
        if is_held(self._lock):
            self._lock, self._table = threading.Lock(), _Table(self._max_bytes)

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

    def few(self, pieces: Iterable[str]) -> dict[str, bytes | None]:
        """The ids, as bytes, of those of a few pieces that are in the cache; `None` for one that is not safe."""
        with self._lock:
            return self._table.few(pieces, self._factor)

    @property
    def n_entries(self) -> int:
        """The number of pieces."""
        return self._table.n_entries

    @property
    def n_untold(self) -> int:
        """The number of pieces that were added since `tell`."""
        return self._table.n_entries - self._table.n_told

    def tell(self, most: int) -> dict[str, bytes | None]:
        """The ids, as bytes, of at most so many of the pieces that were added since the last call; `None` if unsafe.

        Those that were added first are taken first.
        """
        with self._lock:
            meta, store = self._table.tell(), self._table.store
        meta = meta[:most]
        starts, sizes = (meta >> _START_BITS).view(np.int64), (meta & _LOW).view(np.int64)
        counts = (meta >> _COUNT_BITS & _LOW).view(np.int64)
        n_ids = np.where(counts == UNSAFE, 0, counts)
        ends = np.cumsum(n_ids)
        at = np.repeat(starts + _n_blocks(sizes) - ends + n_ids, n_ids) + np.arange(n_ids.sum())
        ids, bounds = store.take(at).tobytes(), (ends * store.itemsize).tolist()
        rows: list[bytes | None] = [ids[start:end] for start, end in zip([0, *bounds], bounds, strict=False)]
        for index in np.flatnonzero(counts == UNSAFE).tolist():
            rows[index] = None
        return dict(zip(strings(store.view(np.uint8), starts * store.itemsize, sizes), rows, strict=True))

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
    """Ids of the pieces of small texts: a dictionary, which is fast for one piece; it may be shared between threads.

    Attributes:
        known: Ids of each piece as bytes, `None` for a piece that is not safe. For reading only; it may be replaced.
        nbytes: About how many bytes are in use.
    """

    def __init__(self) -> None:
        self.known: dict[str, bytes | None] = {}
        self.nbytes = self._phase = 0
        self._lock = threading.Lock()
        renew_in_forks(self)

    def after_fork(self) -> None:
        """Begin anew if a thread of the parent process held the lock."""
        if is_held(self._lock):
            self._lock, self.known, self.nbytes = threading.Lock(), {}, 0

    def add(self, new: Mapping[str, bytes | None], max_bytes: int) -> None:
        """Add pieces, but for long ones, and keep within about so many bytes."""
        if max(map(len, new), default=0) > _MAX_CHARS:
            new = {piece: ids for piece, ids in new.items() if len(piece) <= _MAX_CHARS}
        with self._lock:
            self.known.update(new)
            self.nbytes += ENTRY_BYTES * len(new) + sum(map(len, filter(None, new.values())))
        if self.nbytes > max_bytes:
            self.keep_within(max_bytes)

    def keep_within(self, max_bytes: int) -> None:
        """Forget every fourth piece while more than so many bytes are in use; what comes often comes back soon."""
        with self._lock:
            while self.nbytes > max_bytes and len(self.known) > 1:
                self._phase = (self._phase + 1) % 4
                known = [item for index, item in enumerate(self.known.items()) if index % 4 != self._phase]
                self.nbytes = sum(ENTRY_BYTES + len(ids or b"") for _, ids in known)
                self.known = dict(known) if len(known) > 3 else {}


class _Table:
    """One generation of the word cache; its caller holds the lock."""

    def __init__(self, max_bytes: int) -> None:
        self.full = False
        self._hold(np.zeros(_FIRST_SLOTS, np.int64))
        self._used = self._told = 0
        self.n_entries = self.n_told = 0
        self._max_bytes = max_bytes
        self._allocate(_FIRST_SLOTS)

    def _allocate(self, n_slots: int) -> None:
        # A hash (0: free), and start of the record << 32 | number of ids << 16 | bytes of the piece.
        self._slots = np.zeros((n_slots, 2), np.uint64)
        self._plain_slots = self._slots.reshape(-1).data  # for Python's own integers
        self._plain_shift = 64 - n_slots.bit_length() + 1
        self._shift = np.uint64(self._plain_shift)

    def _hold(self, store: Positions) -> None:
        self.store = store  # records: the blocks of a piece, then its ids
        self._plain_store = store.data.cast("B")

    @property
    def nbytes(self) -> int:
        return self._slots.nbytes + self.store.nbytes

    def few(self, pieces: Iterable[str], factor: int) -> dict[str, bytes | None]:
        """The ids of those pieces that are in the table; loops in Python are quicker for a few."""
        found: dict[str, bytes | None] = {}
        slots, store, shift, last = self._plain_slots, self._plain_store, self._plain_shift, len(self._slots) - 1
        for piece in pieces:
            data = piece.encode()
            hashed, size = hash_of(data, factor), len(data)
            slot = hashed >> shift
            for _ in range(_MAX_PROBES + 1):
                held = slots[2 * slot]
                if held == hashed and (meta := slots[2 * slot + 1]) & 0xFFFF == size:
                    start = (meta >> 32) * BLOCK
                    if store[start : start + size] == data:
                        count = meta >> 16 & 0xFFFF
                        start += -(-size // BLOCK) * BLOCK
                        found[piece] = None if count == UNSAFE else store[start : start + count * BLOCK].tobytes()
                        break
                if not held:
                    break
                slot = slot + 1 & last
        return found

    def tell(self) -> Blocks:
        """The second numbers of the slots that were taken since the last call, in their order."""
        meta = self._slots[:, 1].compress(self._slots[:, 0] != 0)
        meta = np.sort(meta.compress(meta >> _START_BITS >= np.uint64(self._told)))
        self._told, self.n_told = self._used, self.n_entries
        return meta

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
            larger = np.zeros(max(end, len(self.store) * 3 // 2), np.int64)
            larger[:base] = self.store[:base]
            self._hold(larger)  # a thread that reads the old one may go on doing so
        self.store[base:end] = records
        self._used = end
        self._grow(len(hashes))
        if not self.full:
            meta = (starts + base).view(np.uint64) << _START_BITS | counts.view(np.uint64) << _COUNT_BITS
            self._insert(np.stack((hashes, meta | sizes.view(np.uint64)), axis=1))
            self.n_entries += len(hashes)
        return base

    def _grow(self, more: int) -> None:
        """Enlarge the table for so many more entries, or mark it as full."""
        n_slots = len(self._slots)
        while (self.n_entries + more) * _SLOTS_PER_ENTRY > n_slots:
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
