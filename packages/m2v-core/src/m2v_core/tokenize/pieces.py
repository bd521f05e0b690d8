"""Texts split at spaces into pieces, all of a batch at once: pure array functions on UTF-8 bytes.

A piece is identified by its bytes, which are read as little-endian 64-bit blocks and padded with zeros. No piece
holds a zero byte, so different pieces have different blocks. Nothing here loops over pieces in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Blocks = NDArray[np.uint64]

#: Bytes of a block.
BLOCK = 8

_SPACE = 32
_PADDING = bytes(BLOCK)
_MASKS = np.array([(1 << 8 * used) - 1 for used in range(BLOCK + 1)], np.uint64)  # keep so many bytes of a block
_ZERO = np.zeros(1, np.int64)
_HALF = np.uint64(32)  # bits


def encoded(texts: Sequence[str]) -> bytes:
    """Texts as UTF-8, each followed by a zero byte, as `split` reads them; no text may hold U+0000.

    Raises:
        TypeError: An element is not a string.
        UnicodeEncodeError: A text is not valid Unicode.
    """
    return b"".join(("\0".join(texts).encode(), b"\0", _PADDING))


@dataclass(frozen=True)
class Pieces:
    """Positions of the pieces of a batch of texts.

    Attributes:
        data: Bytes of the texts, as `encoded` gives them.
        starts: [n] first byte of each piece.
        sizes: [n] bytes of each piece, at least 1.
        offsets: [texts + 1]; text i has the pieces `offsets[i]` to `offsets[i + 1] - 1`.
    """

    data: bytes
    starts: Positions
    sizes: Positions
    offsets: Positions

    def texts_of(self, index: Positions) -> list[str]:
        """The pieces with these indices as strings."""
        return strings(np.frombuffer(self.data, np.uint8), self.starts.take(index), self.sizes.take(index))


def strings(data: NDArray[np.uint8], starts: Positions, sizes: Positions) -> list[str]:
    """Parts of UTF-8 bytes as strings, none of which holds U+0000."""
    sizes = sizes + 1  # with the byte after it, which becomes a zero
    ends = np.cumsum(sizes)
    positions = np.repeat(starts - ends + sizes, sizes) + np.arange(sizes.sum())
    picked = data.take(positions, mode="clip")
    picked[ends - 1] = 0
    return picked.tobytes().decode().split("\0")[:-1]


def split(data: bytes, *, spaced: bool) -> Pieces:
    """Split a batch of texts at spaces.

    Args:
        data: Bytes of the texts, as `encoded` gives them.
        spaced: Whether a piece holds the spaces before it. Spaces at the end of a text are then a piece of their own.

    Example:
        >>> pieces = split(encoded(["good  day ", "", "so"]), spaced=False)
        >>> pieces.texts_of(np.arange(3)), pieces.offsets.tolist()
        (['good', 'day', 'so'], [0, 2, 2, 3])
        >>> pieces = split(encoded(["good  day ", "", "so"]), spaced=True)
        >>> pieces.texts_of(np.arange(4)), pieces.offsets.tolist()
        (['good', '  day', ' ', 'so'], [0, 3, 3, 4])
    """
    text = np.frombuffer(data, np.uint8)[: len(data) - BLOCK]
    breaks = np.flatnonzero((text == _SPACE) | (text == 0))
    is_last = text.take(breaks) == 0  # the end of a text, not a space
    after = breaks + 1
    starts = np.concatenate((_ZERO, after[:-1]))
    ends_piece = breaks > starts  # not just another space
    if spaced:
        text_starts = np.maximum.accumulate(np.concatenate((_ZERO, np.where(is_last, after, 0)[:-1])))
        ends_piece |= is_last & (breaks > text_starts)
        ends = breaks.compress(ends_piece)
        starts = np.maximum(np.concatenate((_ZERO, ends[:-1])), text_starts.compress(ends_piece))
    else:
        ends, starts = breaks.compress(ends_piece), starts.compress(ends_piece)
    offsets = np.concatenate((_ZERO, np.cumsum(ends_piece).compress(is_last)))
    return Pieces(data, starts, ends - starts, offsets)


@dataclass(frozen=True)
class PieceKeys:
    """Keys of pieces, for looking them up.

    Attributes:
        sizes: [n] bytes of each piece.
        hashes: [n] 64-bit hashes. Pieces of the same size of at most 8 bytes share one only if they are equal.
        first: [n] first block of each piece.
        further: For each further block the indices of the pieces that have it, and their blocks.
    """

    sizes: Positions
    hashes: Blocks
    first: Blocks
    further: tuple[tuple[Positions, Blocks], ...]

    def all_blocks(self) -> Iterator[tuple[Positions, Blocks]]:
        """All blocks of the pieces with more than one, whose hashes may collide: pairs as in `further`."""
        if self.further:
            index = self.further[0][0]
            yield index, self.first.take(index)
            yield from self.further

    def representatives(self, index: Positions) -> Positions:
        """For each of these pieces the index of one that is equal to it, the same for all equal pieces.

        Example:
            >>> keys = hashed(split(encoded(["so good so"]), spaced=False), np.uint64(3), 64)
            >>> keys.representatives(np.array([0, 1, 2]))
            array([0, 1, 0])
        """
        hashes = self.hashes.take(index)
        order = np.argsort(hashes)
        ranked = hashes.take(order)
        is_first = np.ones(len(index), bool)
        np.not_equal(ranked[1:], ranked[:-1], out=is_first[1:])
        candidates = np.empty_like(index)
        candidates[order] = index.take(order.compress(is_first)).take(np.cumsum(is_first) - 1)
        equal = self.sizes.take(index) == self.sizes.take(candidates)
        for further, blocks in self.further:
            block_of = np.zeros(len(self.sizes), np.uint64)
            block_of[further] = blocks
            equal &= block_of.take(index) == block_of.take(candidates)
        equal &= self.first.take(index) == self.first.take(candidates)
        return np.where(equal, candidates, index)  # equal hashes of different pieces: each represents itself


def hashed(pieces: Pieces, factor: np.uint64, max_bytes: int) -> PieceKeys:
    """Hash pieces by multiplication with a secret odd `factor`, so that nobody can construct texts that collide.

    Pieces of more than `max_bytes` bytes get a hash of their beginning, which must not be used.
    """
    blocks = np.ndarray((len(pieces.data) - BLOCK + 1,), "<u8", pieces.data, strides=(1,))  # one begins at every byte
    first = blocks[pieces.starts] & _MASKS.take(pieces.sizes, mode="clip")
    hashes = _mixed(first, factor)
    further = []
    index = np.flatnonzero((pieces.sizes > BLOCK) & (pieces.sizes <= max_bytes))
    offset = BLOCK
    while len(index):
        sizes = pieces.sizes.take(index)
        block = blocks[pieces.starts.take(index) + offset] & _MASKS.take(sizes - offset, mode="clip")
        hashes[index] = _mixed(hashes.take(index) ^ block, factor)
        further.append((index, block))
        offset += BLOCK
        index = index.compress(sizes > offset)
    return PieceKeys(pieces.sizes, hashes, first, tuple(further))


def hash_of(piece: bytes, factor: int) -> int:
    """The hash that `hashed` gives to one piece.

    Example:
        >>> hash_of(b"good", 3) == hashed(split(encoded(["good"]), spaced=True), np.uint64(3), 64).hashes[0]
        np.True_
    """
    mixed = 0
    for start in range(0, len(piece), BLOCK):
        mixed = (mixed ^ int.from_bytes(piece[start : start + BLOCK], "little")) * factor & _ALL
        mixed = (mixed ^ mixed >> 32) * factor & _ALL
    return mixed


_ALL = (1 << 64) - 1


def _mixed(blocks: Blocks, factor: np.uint64) -> Blocks:
    """A one-to-one function of a block, because the factor is odd; the high bits depend on all bits of the block."""
    mixed = blocks * factor
    mixed ^= mixed >> _HALF
    mixed *= factor
    return mixed
