"""What is remembered of pieces: a bounded hash table from their bytes to their token ids, in numpy arrays.

Open addressing with linear probing, looked up for all pieces of a batch at once. The table only grows; when it is
full, a new one takes its place. Slots are read and written under a lock, briefly; the records that they point to are
never changed once written, so they may be read without it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2v_core.tokenize.pieces import WORD, Keys, Positions, Words

#: About how many bytes a model may use to remember, if nothing else is said.
DEFAULT_CACHE_BYTES = 28 * 2**20

MAX_BYTES = 256  # longer pieces are not remembered
UNSAFE = 0xFFFF  # in place of a count of ids: texts with this piece must not be cut

_MAX_PROBES = 16
_FIRST_SLOTS = 1 << 12
_SLOT_BYTES = 16
_SLOTS_PER_ENTRY = 2  # at least
_MAX_RECENT = 64  # characters
_RECENT_ENTRY = 100  # bytes of a dictionary's entry, with room for its growth
_START_BITS, _COUNT_BITS = np.uint64(32), np.uint64(16)
_LOW = np.uint64(0xFFFF)


def shares(cache_bytes: int) -> tuple[int, int, int]:
    """The parts of it for `Recent`, `Memory` and `m2v_core.encode.rows.Rows`.

    Example:
        >>> shares(32)
        (4, 20, 8)
    """
    recent, rows = cache_bytes // 8, cache_bytes // 4
    return recent, cache_bytes - recent - rows, rows


@dataclass(frozen=True)
class Found:
    """What the table knows of the pieces of a batch.

    Attributes:
        table: Where it was found; new pieces of the batch go there.
        known: [n] whether a piece is known.
        starts: [n] where its ids begin in `store`, if it is.
        counts: [n] how many ids it has, or `UNSAFE`.
        store: Holds the ids of all known pieces.
    """

    table: _Table
    known: NDArray[np.bool_]
    starts: Positions
    counts: Positions
    store: Positions


class Memory:
    """Ids of pieces, in at most about `max_bytes` bytes. Safe to share between threads.

    Attributes:
        factor: The secret factor of the hashes: `keys` needs it.
    """

    def __init__(self, max_bytes: int) -> None:
        self.factor = np.uint64(int.from_bytes(os.urandom(WORD)) | 1)  # the module secrets would load OpenSSL
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._table = _Table(max_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self._table.nbytes

    def find(self, keys: Keys) -> Found:
        """Look pieces up."""
        with self._lock:
            if self._table.full:
                self._table = _Table(self._max_bytes)
            table = self._table
            known, meta = table.probe(keys)
            store = table.store
        starts = (meta >> _START_BITS).view(np.int64)
        words = store.view(np.uint64)
        for level, (index, expected) in enumerate(keys.longer()):
            known[index] &= words.take(starts.take(index) + level, mode="clip") == expected
        starts += _n_words(keys.sizes)
        return Found(table, known, starts, (meta >> _COUNT_BITS & _LOW).view(np.int64), store)

    def learn(
        self, found: Found, keys: Keys, new: Positions, ids: Positions, counts: Positions
    ) -> tuple[Positions, Positions]:
        """Add pieces.

        Args:
            found: What `find` gave for `keys`.
            keys: The pieces of the batch.
            new: [m] those to add, each a different one.
            ids: Their ids, one after the other.
            counts: [m] how many ids each has, or `UNSAFE` for one that has none.

        Returns:
            starts [m] of their ids, and the array that holds these and all others.
        """
        records, starts, ids_at = _records(keys, new, ids, counts)
        with self._lock:
            base = found.table.add(keys.hashes.take(new), keys.sizes.take(new), starts, counts, records)
            store = found.table.store
        return ids_at + base, store


class Recent:
    """Ids of short pieces of short texts, in at most about `max_bytes` bytes: a dictionary, quick for one piece.

    Attributes:
        known: Ids of pieces as bytes, `None` for a piece that is not safe. To be read only; `learn` may replace it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._start_again()

    def _start_again(self) -> None:
        self.known: dict[str, bytes | None] = {"": b""}
        self._nbytes = 0

    def learn(self, new: Mapping[str, bytes | None]) -> None:
        """Add pieces; when there is no room, the old ones go."""
        with self._lock:
            for piece, ids in new.items():
                if len(piece) > _MAX_RECENT:
                    continue
                if self._nbytes > self._max_bytes:
                    self._start_again()
                self._nbytes += _RECENT_ENTRY + sys.getsizeof(piece) + sys.getsizeof(ids)
                self.known[piece] = ids


class _Table:
    """One generation of the memory; whoever calls it holds the lock."""

    def __init__(self, max_bytes: int) -> None:
        self.full = False
        self.store = np.zeros(_FIRST_SLOTS, np.int64)  # records: the words of a piece, then its ids
        self._used = 0
        self._entries = 0
        self._max_bytes = max_bytes
        self._allocate(_FIRST_SLOTS)

    def _allocate(self, slots: int) -> None:
        # A hash (0: free), and start of the record << 32 | number of ids << 16 | bytes of the piece.
        self._slots = np.zeros((slots, 2), np.uint64)
        self._shift = np.uint64(64 - slots.bit_length() + 1)

    @property
    def nbytes(self) -> int:
        return self._slots.nbytes + self.store.nbytes

    def probe(self, keys: Keys) -> tuple[NDArray[np.bool_], Words]:
        """Whether a slot has the hash and size of each piece, and what that slot says."""
        hashes, sizes = keys.hashes, keys.sizes.view(np.uint64)
        places = (hashes >> self._shift).view(np.int64)
        slots = self._slots.take(places, axis=0)
        held, meta = slots[:, 0], slots[:, 1]
        known = (held == hashes) & (meta & _LOW == sizes)
        rest = np.flatnonzero(known < (held != 0))  # taken, but by another
        for _ in range(_MAX_PROBES):
            if not len(rest):
                break
            at = (places.take(rest) + 1) & (len(self._slots) - 1)
            places[rest] = at
            slots = self._slots.take(at, axis=0)
            held, here = slots[:, 0], slots[:, 1]
            match = (held == hashes.take(rest)) & (here & _LOW == sizes.take(rest))
            won = rest.compress(match)
            known[won] = True
            meta[won] = here.compress(match)
            rest = rest.compress(match < (held != 0))
        return known, meta

    def add(self, hashes: Words, sizes: Positions, starts: Positions, counts: Positions, records: Positions) -> int:
        """Append records; returns where they begin."""
        base, end = self._used, self._used + len(records)
        if end > len(self.store):
            larger = np.zeros(max(end, 2 * len(self.store)), np.int64)
            larger[:base] = self.store[:base]
            self.store = larger  # who reads the old one goes on doing so
        self.store[base:end] = records
        self._used = end
        self._make_room(len(hashes))
        if not self.full:
            meta = (starts + base).view(np.uint64) << _START_BITS | counts.view(np.uint64) << _COUNT_BITS
            self._place(np.stack((hashes, meta | sizes.view(np.uint64)), axis=1))
            self._entries += len(hashes)
        return base

    def _make_room(self, more: int) -> None:
        slots = len(self._slots)
        while (self._entries + more) * _SLOTS_PER_ENTRY > slots:
            slots *= 2
        growing = slots + len(self._slots) if slots != len(self._slots) else slots
        if growing * _SLOT_BYTES + self.store.nbytes > self._max_bytes:
            self.full = True
        elif slots != len(self._slots):
            held = self._slots[self._slots[:, 0] != 0]
            self._allocate(slots)
            self._place(held)

    def _place(self, entries: Words) -> None:
        """Put entries [m, 2] into free slots; the few that find none near are not remembered."""
        places = (entries[:, 0] >> self._shift).view(np.int64)
        for _ in range(_MAX_PROBES):
            if not len(entries):
                break
            free = self._slots.take(places, axis=0)[:, 0] == 0
            at = places.compress(free)
            self._slots[at] = entries.compress(free, axis=0)  # of several for one slot, one stays
            left = (self._slots.take(places, axis=0) != entries).any(axis=1)
            entries, places = entries.compress(left, axis=0), (places.compress(left) + 1) & (len(self._slots) - 1)


def _n_words(sizes: Positions) -> Positions:
    return (sizes + (WORD - 1)) // WORD


def _records(keys: Keys, new: Positions, ids: Positions, counts: Positions) -> tuple[Positions, Positions, Positions]:
    """The words and ids of each new piece, one record after the other; where each begins, and where its ids do."""
    n_words = _n_words(keys.sizes.take(new))
    n_ids = np.where(counts == UNSAFE, 0, counts)
    ends = np.cumsum(n_words + n_ids)
    starts = ends - n_words - n_ids
    records = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
    words = records.view(np.uint64)
    words[starts] = keys.first.take(new)
    start_of = np.full(len(keys.sizes), -1)
    start_of[new] = starts
    for level, (index, further) in enumerate(keys.further, 1):
        at = start_of.take(index)
        words[at.compress(at >= 0) + level] = further.compress(at >= 0)
    ids_at = starts + n_words
    before = np.cumsum(n_ids) - n_ids
    records[np.repeat(ids_at - before, n_ids) + np.arange(len(ids))] = ids
    return records, starts, ids_at
