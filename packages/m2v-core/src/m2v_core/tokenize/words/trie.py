"""A trie of tokens as two flat arrays, walked by many words at once or by one.

An open-addressing hash table holds the edges. A node is the slot of the edge that leads to it, so that a walk is exact,
costs one access to memory for each byte, and needs nothing but arrays that a file can be mapped to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from m2v_core.forking import cached
from m2v_core.ragged import Ragged
from m2v_core.tokenize.words.table import FACTOR, MASK, Ids, inserted, shift_of, slots_of

#: Bits of a node's number.
NODE_BITS = 24

#: What the root's slot holds: the key of no edge.
ROOT = 0xFFFF_FFFF

_BLOCK = 8  # bytes of a token that are compared at a time

# Fewer nodes take a quarter of their table at the most, for speed; more take half of it.
_SMALL = 1 << 18


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
        return cls.of_rows(Ragged.of(tokens, np.uint8), np.array(ids, np.int64))

    @classmethod
    def of_rows(cls, tokens: Ragged, ids: Ids) -> Trie:
        """A trie of different tokens, given by their bytes (uint8), none of them empty.

        Raises:
            TooManyNodesError: They need more than 2^23 nodes, or one has more than 65,535 bytes.
        """
        blocks = _Blocks(tokens)
        order = _sorted(blocks)
        starts, sizes = tokens.offsets[order], tokens.lengths[order]
        shared = _shared_with_previous(blocks, order)
        del blocks
        fresh = sizes - shared
        first = np.cumsum(fresh) - fresh + 1  # the first new node of each token; the root is 0
        n_nodes = int(fresh.sum()) + 1
        if 2 * n_nodes > 1 << NODE_BITS or int(sizes.max(initial=0)) > 0xFFFF:
            raise TooManyNodesError
        edges = np.arange(n_nodes - 1)  # the parent of each new node: but for a token's first, the one before it
        place = edges + np.repeat(starts + shared - first + 1, fresh)
        labels = tokens.values.take(place)
        depth = (place - np.repeat(starts, fresh)).astype(np.uint16)  # of the parent
        del place
        edges[first - 1] = _branching_nodes(sizes, shared, first)
        slots, places = _placed(edges, labels, depth)
        held = np.full(len(slots), -1, np.int32)
        held[places[first + fresh - 1]] = ids[order]
        return cls(slots, held)

    @cached
    def _shift(self) -> np.uint64:
        return shift_of(len(self.slots))

    def step(self, nodes: Ids, data: NDArray[np.uint8]) -> tuple[Ids, NDArray[np.bool_]]:
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

    @cached
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

    @cached
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


def _sorted(tokens: _Blocks) -> Ids:
    """The order of tokens by their bytes: by eight of them at a time, as whole numbers."""
    order = np.argsort(tokens.at(np.arange(len(tokens.sizes)), 0))
    groups = np.zeros(len(order), np.int64)  # the place in `order` at which each token's group of equals begins
    where, depth = np.arange(len(order)), 0  # places in `order` that are not settled
    while len(where):
        blocks = tokens.at(order[where], depth)
        is_first = np.append(True, (blocks[1:] != blocks[:-1]) | (groups[where[1:]] != groups[where[:-1]]))
        groups[where] = where[is_first][np.cumsum(is_first) - 1]
        where, depth = where[~(is_first & np.append(is_first[1:], True))], depth + _BLOCK
        tied = order[where]
        if (tokens.sizes[tied] > depth).any():
            by = np.lexsort((tokens.at(tied, depth), groups[where]))
        else:  # they differ in zeros at their ends
            by = np.lexsort((tokens.sizes[tied], groups[where]))
        order[where] = tied[by]
        if not (tokens.sizes[tied] > depth).any():
            break
    return order


class _Blocks:
    """The bytes of tokens, eight at a time, as whole numbers that are ordered as the bytes are."""

    def __init__(self, tokens: Ragged) -> None:
        self.starts, self.sizes = tokens.offsets[:-1], tokens.lengths
        self.data = np.append(tokens.values, np.zeros(_BLOCK, np.uint8))
        self._from = np.ndarray(len(tokens.values) + 1, "<u8", self.data, 0, (1,))  # eight bytes from each position

    def at(self, rows: Ids, depth: int) -> NDArray[np.uint64]:
        """[n] the bytes of some tokens from `depth` on, with zeros after their ends."""
        left = np.clip(self.sizes[rows] - depth, 0, _BLOCK)
        unused = (8 * (_BLOCK - left)).astype(np.uint64)
        blocks = self._from[np.minimum(self.starts[rows] + depth, len(self._from) - 1)].astype(np.uint64).byteswap()
        blocks = blocks >> unused << unused
        blocks[left == 0] = 0
        return blocks


def _shared_with_previous(tokens: _Blocks, order: Ids) -> Ids:
    """[n] how many bytes each of sorted tokens shares with the one before it."""
    shared = np.zeros(len(order), np.int64)
    alive, depth = np.arange(1, len(order)), 0
    sizes = tokens.sizes[order]
    while len(alive):
        differing = tokens.at(order[alive], depth) ^ tokens.at(order[alive - 1], depth)
        equal = np.zeros(len(alive), np.int64)
        for n_bytes in range(1, _BLOCK + 1):
            equal += differing < np.uint64(1 << 64 - 8 * n_bytes) if n_bytes < _BLOCK else differing == 0
        shared[alive] = depth + equal
        depth += _BLOCK
        alive = alive[(equal == _BLOCK) & (sizes[alive] > depth) & (sizes[alive - 1] > depth)]
    shared[1:] = np.minimum(shared[1:], np.minimum(sizes[1:], sizes[:-1]))  # zeros are no bytes
    return shared


def _branching_nodes(sizes: Ids, shared: Ids, first: Ids) -> Ids:
    """[n] the node at which each of sorted tokens leaves the path of those before it."""
    nodes = np.zeros(len(sizes), np.int64)
    long = np.arange(len(sizes))
    for depth in range(1, int(shared.max(initial=0)) + 1):
        long = long.compress(sizes.take(long) >= depth)
        ends = shared.take(long)
        leaving, makers = long.compress(ends == depth), long.compress(ends < depth)  # these made a node of this depth
        maker = makers.take(np.searchsorted(makers, leaving) - 1)
        nodes[leaving] = first.take(maker) + (depth - 1) - shared.take(maker)
    return nodes


def _placed(
    parents: Ids, labels: NDArray[np.uint8], depth: NDArray[np.uint16]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The table of all edges, level by level, and the slot of each node; edge i leads from its parent to node i + 1."""
    free_to_taken = 4 if len(parents) < _SMALL else 2
    n_slots = 1 << min(max(4, (free_to_taken * len(parents) + 2).bit_length()), NODE_BITS)
    slots = np.zeros(n_slots, np.uint32)
    slots[0] = ROOT
    places = np.zeros(len(parents) + 1, np.int64)
    order = np.argsort(depth, kind="stable")
    bounds = np.append(0, np.cumsum(np.bincount(depth)))
    for begin, end in pairwise(bounds.tolist()):
        level = order[begin:end]
        keys = (places[parents[level]] << 8 | labels[level]) + 1
        places[level + 1] = inserted(slots, keys)
    return slots, places
