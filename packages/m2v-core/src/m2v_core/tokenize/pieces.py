"""Texts cut at spaces into pieces, all of a batch at once: pure array functions on UTF-8 bytes.

A piece is known by its bytes, read as little-endian words of 8 bytes with zeros after the last: as no piece holds a
zero byte, the words tell pieces apart. Nothing here loops over pieces in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Words = NDArray[np.uint64]

WORD = 8  # bytes
_SPACE = 32
_PADDING = bytes(WORD)
_MASKS = np.array([(1 << 8 * used) - 1 for used in range(WORD + 1)], np.uint64)  # keep so many bytes of a word


def joined(texts: Sequence[str]) -> bytes:
    """Texts, none of which holds U+0000, as bytes that `cut` reads: each ends in a zero byte.

    Raises:
        TypeError: One is not a string.
        UnicodeEncodeError: One is not valid Unicode.
    """
    return b"".join(("\0".join(texts).encode(), b"\0", _PADDING))


@dataclass(frozen=True)
class Pieces:
    """Where the pieces of a batch lie.

    Attributes:
        data: What `joined` gave.
        starts: [n] the first byte of each piece.
        sizes: [n] bytes of each piece, at least 1.
        bounds: [texts + 1]; text i has the pieces `bounds[i]` to `bounds[i + 1] - 1`.
    """

    data: bytes
    starts: Positions
    sizes: Positions
    bounds: Positions

    def texts_of(self, index: Positions) -> list[str]:
        """These pieces as strings."""
        sizes = self.sizes.take(index) + 1  # with the byte after it, which becomes a zero
        ends = np.cumsum(sizes)
        at = np.repeat(self.starts.take(index) - ends + sizes, sizes) + np.arange(sizes.sum())
        picked = np.frombuffer(self.data, np.uint8).take(at)
        picked[ends - 1] = 0
        return picked.tobytes().decode().split("\0")[:-1]


def cut(data: bytes, *, spaced: bool) -> Pieces:
    """Cut joined texts at spaces.

    Args:
        data: What `joined` gave.
        spaced: Whether a piece holds the spaces before it. Spaces at the end of a text are then a piece of their own.

    Example:
        >>> pieces = cut(joined(["good  day ", "", "so"]), spaced=False)
        >>> pieces.texts_of(np.arange(3)), pieces.bounds.tolist()
        (['good', 'day', 'so'], [0, 2, 2, 3])
        >>> pieces = cut(joined(["good  day ", "", "so"]), spaced=True)
        >>> pieces.texts_of(np.arange(4)), pieces.bounds.tolist()
        (['good', '  day', ' ', 'so'], [0, 3, 3, 4])
    """
    text = np.frombuffer(data, np.uint8)[: len(data) - WORD]
    breaks = np.flatnonzero((text == _SPACE) | (text == 0))
    is_last = text.take(breaks) == 0  # the end of a text, not a space
    after = breaks + 1
    starts = np.concatenate((_ZERO, after[:-1]))
    whole = breaks > starts  # a word ends here, not just another space
    if spaced:
        text_starts = np.maximum.accumulate(np.concatenate((_ZERO, np.where(is_last, after, 0)[:-1])))
        whole |= is_last & (breaks > text_starts)
        ends = breaks.compress(whole)
        starts = np.maximum(np.concatenate((_ZERO, ends[:-1])), text_starts.compress(whole))
    else:
        ends, starts = breaks.compress(whole), starts.compress(whole)
    bounds = np.concatenate((_ZERO, np.cumsum(whole).compress(is_last)))
    return Pieces(data, starts, ends - starts, bounds)


_ZERO = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Keys:
    """What pieces are looked up by.

    Attributes:
        sizes: [n] bytes of each piece.
        hashes: [n] one word each; pieces of at most 8 bytes and the same size share it only if they are equal.
        first: [n] the first word of each piece.
        further: For each further word: the pieces that are so long, and their words.
    """

    sizes: Positions
    hashes: Words
    first: Words
    further: tuple[tuple[Positions, Words], ...]

    def longer(self) -> Iterator[tuple[Positions, Words]]:
        """All words of those pieces whose hash does not tell them apart: pairs as in `further`, first words first."""
        if self.further:
            index = self.further[0][0]
            yield index, self.first.take(index)
            yield from self.further

    def one_of_equals(self, index: Positions) -> Positions:
        """For each of these pieces one among them that is equal to it, the same for all that are.

        Example:
            >>> by = keys(cut(joined(["so good so"]), spaced=False), np.uint64(3), 64)
            >>> by.one_of_equals(np.array([0, 1, 2]))
            array([0, 1, 0])
        """
        hashes = self.hashes.take(index)
        order = np.argsort(hashes)
        ranked = hashes.take(order)
        is_first = np.ones(len(index), bool)
        np.not_equal(ranked[1:], ranked[:-1], out=is_first[1:])
        same_as = np.empty_like(index)
        same_as[order] = index.take(order.compress(is_first)).take(np.cumsum(is_first) - 1)
        equal = self.sizes.take(index) == self.sizes.take(same_as)
        for further, words in self.further:
            word_of = np.zeros(len(self.sizes), np.uint64)
            word_of[further] = words
            equal &= word_of.take(index) == word_of.take(same_as)
        equal &= self.first.take(index) == self.first.take(same_as)
        return np.where(equal, same_as, index)  # equal hashes of different pieces: each stands for itself


def keys(pieces: Pieces, factor: np.uint64, max_bytes: int) -> Keys:
    """Hash pieces by multiplication with a secret odd `factor`, so that nobody can make up texts whose hashes clash.

    Pieces of over `max_bytes` bytes get a hash of their beginning, which is of no use.
    """
    words = np.ndarray((len(pieces.data) - WORD + 1,), "<u8", pieces.data, strides=(1,))  # one begins at every byte
    first = words[pieces.starts] & _MASKS.take(pieces.sizes, mode="clip")
    hashes = _mixed(first, factor)
    further = []
    index = np.flatnonzero((pieces.sizes > WORD) & (pieces.sizes <= max_bytes))
    offset = WORD
    while len(index):
        sizes = pieces.sizes.take(index)
        word = words[pieces.starts.take(index) + offset] & _MASKS.take(sizes - offset, mode="clip")
        hashes[index] = _mixed(hashes.take(index) ^ word, factor)
        further.append((index, word))
        offset += WORD
        index = index.compress(sizes > offset)
    return Keys(pieces.sizes, hashes, first, tuple(further))


def _mixed(words: Words, factor: np.uint64) -> Words:
    """One to one, because the factor is odd; the high bits depend on all bits of the word."""
    mixed = words * factor
    mixed ^= mixed >> _HALF
    mixed *= factor
    return mixed


_HALF = np.uint64(32)
