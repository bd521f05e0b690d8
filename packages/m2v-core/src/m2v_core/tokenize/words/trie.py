"""A trie of tokens as two flat arrays, walked by many words at once or by one.

An open-addressing hash table holds the edges. A node is the slot of the edge that leads to it, so that a walk is exact,
costs one access to memory for each byte, and needs nothing but arrays that a file can be mapped to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from m2v_core.tokenize.words.table import FACTOR, MASK, Ids, shift_of, slots_of

Bytes = NDArray[np.uint8]

#: Bits of a node's number.
NODE_BITS = 24

#: What the root's slot holds: the key of no edge.
_ROOT = 0xFFFF_FFFF


class TooManyNodesError(Exception):
    """The tokens need more nodes than a trie has."""


@dataclass(frozen=True)
class Trie:
    """A trie of tokens. The root is node 0.

    Attributes:
        slots: [S] uint32, S a power of two: an edge each as `(parent << 8 | byte) + 1`, 0 for a free slot.
        ids: [S] int32, the id of the token that ends at each node, -1 for none.
    """

    slots: NDArray[np.uint32]
    ids: NDArray[np.int32]

    @classmethod
    def of(cls, tokens: Sequence[bytes], ids: Sequence[int]) -> Trie:
        """A trie of different tokens, none of them empty.

        Raises:
            TooManyNodesError: They need more than 2^23 nodes.

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
        if 2 * n_nodes > 1 << NODE_BITS:
            raise TooManyNodesError
        owner = np.repeat(np.arange(len(sizes)), fresh)
        depth = np.arange(n_nodes - 1) - np.repeat(first - 1, fresh) + shared[owner]  # of the parent
        parents = np.arange(n_nodes - 1)  # each new node but a token's first continues the one before it
        heads = np.flatnonzero(depth == shared[owner])
        parents[heads] = _branching_nodes(sizes, shared, first)[owner[heads]]
        slots, places = _placed(parents, data[starts[owner] + depth], depth)
        ends = np.full(len(slots), -1, np.int32)
        ends[places[first + fresh - 1]] = ids
        return cls(slots, ends)

    @cached_property
    def _shift(self) -> np.uint64:
        return shift_of(len(self.slots))

    def step(self, nodes: Ids, data: Bytes) -> tuple[Ids, NDArray[np.bool_]]:
        """[n] the child of each node by a byte, and whether there is one."""
        wanted = (nodes << 8 | data) + 1
        places = slots_of(wanted, self._shift)
        held = self.slots.take(places)
        found = held == wanted
        rest = np.flatnonzero(found < (held != 0))  # taken by another edge
        last = len(self.slots) - 1
        while len(rest):
            at = places.take(rest) + 1 & last
            places[rest] = at
            held = self.slots.take(at)
            match = held == wanted.take(rest)
            found[rest.compress(match)] = True
            rest = rest.compress(match < (held != 0))
        return places, found

    @cached_property
    def first(self) -> tuple[Ids, NDArray[np.bool_]]:
        """[256] `step` from the root by each byte."""
        return self.step(np.zeros(256, np.int64), np.arange(256, dtype=np.uint8))

    def longest(self) -> NDArray[np.int32]:
        """[S] the id of the longest token on the way to each node, -1 for none."""
        ids = self.ids.copy()
        rest = np.flatnonzero((ids < 0) & (self.slots != 0))
        rest = rest[rest > 0]
        while len(rest):  # nodes that inherit from a parent at which a token ends, then their children, and so on
            inherited = ids.take((self.slots.take(rest) - 1) >> 8)
            known = inherited >= 0
            if not known.any():
                break
            ids[rest.compress(known)] = inherited.compress(known)
            rest = rest.compress(~known)
        return ids

    @cached_property
    def plain(self) -> tuple[memoryview, memoryview, int, int]:
        """Slots, ids, shift and last slot, for Python's own integers, which are quicker for one word."""
        return self.slots.data, self.ids.data, int(self._shift), len(self.slots) - 1

    def node_of(self, prefix: bytes) -> int:
        """The node that a prefix of tokens leads to, -1 if no token has it.

        Example:
            >>> Trie.of([b"a", b"ab"], [7, 8]).node_of(b"b")
            -1
        """
        slots, _, shift, last = self.plain
        node = 0
        for byte in prefix:
            key = (node << 8 | byte) + 1
            node = (key * FACTOR & MASK) >> shift
            while (held := slots[node]) and held != key:
                node = node + 1 & last
            if not held:
                return -1
        return node

    def walk(self, text: bytes, start: int = 0, node: int = 0) -> list[tuple[int, int]]:
        """Every token that the bytes from `start` on begin with, as (its end, its id), the shortest first."""
        slots, ids, shift, last = self.plain
        found = []
        for position in range(start, len(text)):
            key = (node << 8 | text[position]) + 1
            node = (key * FACTOR & MASK) >> shift
            while (held := slots[node]) and held != key:
                node = node + 1 & last
            if not held:
                break
            if (token := ids[node]) >= 0:
                found.append((position + 1, token))
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


def _placed(parents: Ids, labels: Bytes, depth: Ids) -> tuple[NDArray[np.uint32], Ids]:
    """The table of all edges, level by level, and the slot of each node; edge i leads from its parent to node i + 1."""
    slots = np.zeros(1 << max(4, ((4 if len(parents) < 1 << 18 else 2) * len(parents) + 2).bit_length()), np.uint32)
    slots[0] = _ROOT
    places = np.zeros(len(parents) + 1, np.int64)
    shift, last = shift_of(len(slots)), len(slots) - 1
    order = np.argsort(depth.astype(np.uint16), kind="stable")
    bounds = np.searchsorted(depth[order], np.arange(int(depth.max(initial=-1)) + 2))
    for begin, end in pairwise(bounds.tolist()):
        level = order[begin:end]
        keys = (places[parents[level]] << 8 | labels[level]) + 1
        at, waiting = slots_of(keys, shift), np.arange(len(level))
        while len(waiting):
            free = waiting[slots[at[waiting]] == 0]
            slots[at[free]] = keys[free]  # of several for one slot, one stays
            waiting = waiting[slots[at[waiting]] != keys[waiting]]
            at[waiting] = at[waiting] + 1 & last
        places[level + 1] = at
    return slots, places
