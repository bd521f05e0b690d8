"""A hash table of whole numbers as two arrays, looked up for many keys at once or for one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

#: Odd multiplier of the hash, the integer nearest to 2^64 / golden ratio (Knuth, "Sorting and Searching", 6.4).
FACTOR = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Table:
    """An open-addressing table with linear probing, at most half full.

    Attributes:
        keys: [S] int64, S a power of two: the key in each slot plus 1, 0 for a free slot. Keys are 0 or more.
        values: [S] int32, the value of each key, 0 or more.

    Example:
        >>> table = Table.of(np.array([5, 9]), np.array([1, 2]))
        >>> table.find(np.array([9, 7])).tolist(), table.one(5), table.one(6)
        ([2, -1], 1, -1)
    """

    keys: Ids
    values: NDArray[np.int32]

    @classmethod
    def of(cls, keys: Ids, values: Ids) -> Table:
        """A table of different keys."""
        table = np.zeros(1 << max(3, (2 * len(keys)).bit_length()), np.int64)
        slots = inserted(table, keys + 1)
        held = np.zeros(len(table), np.int32)
        held[slots] = values
        return cls(table, held)

    @cached_property
    def shift(self) -> np.uint64:
        """How far a hash is shifted to become a slot."""
        return shift_of(len(self.keys))

    def find(self, keys: Ids) -> Ids:
        """[n] the value of each key, -1 where the table does not have it."""
        wanted = keys + 1
        slots = slots_of(wanted, self.shift)
        held = self.keys.take(slots)
        found = np.where(held == wanted, self.values.take(slots), np.int64(-1))
        rest = np.flatnonzero((held != wanted) & (held != 0))  # taken by another key
        last = len(self.keys) - 1
        while len(rest):
            slots[rest] = at = slots[rest] + 1 & last
            held, sought = self.keys.take(at), wanted[rest]
            match = held == sought
            found[rest[match]] = self.values.take(at[match])
            rest = rest[~match & (held != 0)]
        return found

    @cached_property
    def plain(self) -> tuple[memoryview, memoryview, int, int]:
        """Keys, values, shift and last slot, for Python's own integers, which are quicker for one key."""
        return self.keys.data, self.values.data, int(self.shift), len(self.keys) - 1

    def one(self, key: int) -> int:
        """The value of one key, -1 if the table does not have it."""
        keys, values, shift, last = self.plain
        key += 1
        slot = (key * FACTOR & MASK) >> shift
        while held := keys[slot]:
            if held == key:
                return int(values[slot])
            slot = slot + 1 & last
        return -1


def slots_of(keys: Ids, shift: np.uint64) -> Ids:
    """[n] the slot at which each key is looked for first, in a table of 2^(64 - shift) slots."""
    return (keys.view(np.uint64) * np.uint64(FACTOR) >> shift).view(np.int64)


def shift_of(n_slots: int) -> np.uint64:
    """How far a hash is shifted to become a slot of a table, whose size is a power of two."""
    return np.uint64(64 - n_slots.bit_length() + 1)


def inserted(table: NDArray[Any], keys: Ids) -> Ids:
    """Put keys that are different and not 0 into a table, linearly probed; the slot of each."""
    slots, waiting = slots_of(keys, shift_of(len(table))), np.arange(len(keys))
    while len(waiting):
        free = waiting[table[slots[waiting]] == 0]
        table[slots[free]] = keys[free]  # of several for one slot, one stays
        waiting = waiting[table[slots[waiting]] != keys[waiting]]
        slots[waiting] = slots[waiting] + 1 & len(table) - 1
    return slots
