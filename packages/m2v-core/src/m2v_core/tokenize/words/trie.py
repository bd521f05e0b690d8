"""A trie of tokens as two flat arrays, walked by many words at once or by one.

Its nodes are numbered from the root, 0. An open-addressing hash table holds the edges. A slot holds parent, byte and
child, so that a walk is exact, costs one access to memory for each byte, and needs nothing but arrays that a file can
be mapped to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from m2v_core.tokenize.words.table import FACTOR, MASK, Ids, filled, shift_of, slots_of

Bytes = NDArray[np.uint8]

#: Bits of a node's number.
NODE_BITS = 24

_CHILD = (1 << NODE_BITS) - 1
_KEY_SHIFT = NODE_BITS + 1  # a slot: (parent << 8 | byte) + 1, then the child, then whether a token ends there


class TooManyNodesError(Exception):
    """The tokens need more nodes than a trie has."""


@dataclass(frozen=True)
class Trie:
    """A trie of tokens.

    Attributes:
        slots: [S] int64, S a power of two: an edge each, 0 for a free slot.
        ids: [M] int32, the id of the token that ends at each node, -1 for none.
    """

    slots: Ids
    ids: NDArray[np.int32]

    @classmethod
    def of(cls, tokens: Sequence[bytes], ids: Sequence[int]) -> Trie:
        """A trie of different tokens, none of them empty.

        Raises:
            TooManyNodesError: They need more than 2^24 nodes.

        Example:
            >>> trie = Trie.of([b"a", b"ab"], [7, 8])
            >>> trie.walk(b"abc")
            [(1, 7), (2, 8)]
        """
        order = sorted(range(len(tokens)), key=tokens.__getitem__)
        data = np.frombuffer(b"".join([tokens[i] for i in order]), np.uint8)
        sizes = np.fromiter((len(tokens[i]) for i in order), np.int64, len(order))
        return cls._of_sorted(data, sizes, np.array(ids, np.int64)[order] if order else np.zeros(0, np.int64))

    @classmethod
    def _of_sorted(cls, data: Bytes, sizes: Ids, ids: Ids) -> Trie:
        starts = np.cumsum(sizes) - sizes
        shared = _shared_with_previous(data, starts, sizes)
        fresh = sizes - shared
        first = np.cumsum(fresh) - fresh + 1  # the first new node of each token; the root is 0
        n_nodes = int(fresh.sum()) + 1
        if n_nodes > _CHILD:
            raise TooManyNodesError
        owner = np.repeat(np.arange(len(sizes)), fresh)
        depth = np.arange(n_nodes - 1) - np.repeat(first - 1, fresh) + shared[owner]  # of the parent
        parents = np.arange(n_nodes - 1)  # each new node but a token's first continues the one before it
        heads = np.flatnonzero(depth == shared[owner])
        parents[heads] = _branching_nodes(sizes, shared, first)[owner[heads]]
        ends = np.full(n_nodes, -1, np.int32)
        ends[first + fresh - 1] = ids
        return cls(_hashed(parents << 8 | data[starts[owner] + depth], ends), ends)

    @cached_property
    def _shift(self) -> np.uint64:
        return shift_of(len(self.slots))

    def step(self, nodes: Ids, data: Ids) -> tuple[Ids, NDArray[np.bool_]]:
        """[n] the child of each node by a byte, -1 where there is none, and whether a token ends there."""
        wanted = (nodes << 8 | data) + 1
        places = slots_of(wanted, self._shift)
        held = self.slots.take(places)
        other = held >> _KEY_SHIFT != wanted
        rest = np.flatnonzero(other & (held != 0))  # taken by another edge
        last = len(self.slots) - 1
        while len(rest):
            places[rest] = at = places[rest] + 1 & last
            here = self.slots.take(at)
            held[rest] = here
            match = here >> _KEY_SHIFT == wanted[rest]
            other[rest[match]] = False
            rest = rest[~match & (here != 0)]
        child = held >> 1 & _CHILD
        child[other] = -1
        return child, (held & 1).astype(bool) & ~other

    @cached_property
    def _plain(self) -> tuple[memoryview, memoryview, int, int]:
        """Slots, ids, shift and last slot, for Python's own integers, which are quicker for one word."""
        return self.slots.data, self.ids.data, int(self._shift), len(self.slots) - 1

    def node_of(self, prefix: bytes) -> int:
        """The node that a prefix of tokens leads to, -1 if no token has it.

        Example:
            >>> Trie.of([b"a", b"ab"], [7, 8]).node_of(b"b")
            -1
        """
        slots, _, shift, last = self._plain
        node = 0
        for byte in prefix:
            key = (node << 8 | byte) + 1
            place = (key * FACTOR & MASK) >> shift
            while (held := slots[place]) and held >> _KEY_SHIFT != key:
                place = place + 1 & last
            if not held:
                return -1
            node = held >> 1 & _CHILD
        return node

    def walk(self, text: bytes, start: int = 0, node: int = 0) -> list[tuple[int, int]]:
        """Every token that the bytes from `start` on begin with, as (its end, its id), the shortest first."""
        slots, ids, shift, last = self._plain
        found = []
        for position in range(start, len(text)):
            key = (node << 8 | text[position]) + 1
            place = (key * FACTOR & MASK) >> shift
            while (held := slots[place]) and held >> _KEY_SHIFT != key:
                place = place + 1 & last
            if not held:
                break
            node = held >> 1 & _CHILD
            if held & 1:
                found.append((position + 1, ids[node]))
        return found


def _shared_with_previous(data: Bytes, starts: Ids, sizes: Ids) -> Ids:
    """[n] how many bytes each of sorted tokens shares with the one before it."""
    shared = np.zeros(len(sizes), np.int64)
    alive = np.arange(1, len(sizes))
    depth = 0
    while len(alive):
        alive = alive[(sizes[alive] > depth) & (sizes[alive - 1] > depth)]
        alive = alive[data[starts[alive] + depth] == data[starts[alive - 1] + depth]]
        depth += 1
        shared[alive] = depth
    return shared


def _branching_nodes(sizes: Ids, shared: Ids, first: Ids) -> Ids:
    """[n] the node at which each of sorted tokens leaves the path of those before it."""
    nodes = np.zeros(len(sizes), np.int64)
    for depth in range(1, int(shared.max(initial=0)) + 1):
        leaving = np.flatnonzero(shared == depth)
        makers = np.flatnonzero((shared < depth) & (sizes >= depth))  # tokens that made a node of this depth
        maker = makers[np.searchsorted(makers, leaving) - 1]
        nodes[leaving] = first[maker] + depth - 1 - shared[maker]
    return nodes


def _hashed(edges: Ids, ends: NDArray[np.int32]) -> Ids:
    """The table of all edges; edge i leads to node i + 1."""
    keys = edges + 1
    return filled(keys << _KEY_SHIFT | np.arange(1, len(edges) + 1) << 1 | (ends[1:] >= 0), keys)[0]
