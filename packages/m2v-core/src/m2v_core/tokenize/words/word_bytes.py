"""Many words as one array of bytes, as the word models take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2v_core.ragged import Ragged, concatenated
from m2v_core.tokenize.words.table import Ids

#: The byte after each word; UTF-8 has no such byte, so no token continues over it.
END = 0xFF

#: Words that are encoded together, few enough for the processor's cache.
_BLOCK = 4096

_END_IN_TEXT = "\udcff"  # what becomes END by "surrogateescape"


@dataclass(frozen=True)
class WordBytes:
    """Many words.

    Attributes:
        data: [N] uint8, the UTF-8 of all words, each followed by `END`.
        starts: [n] the first byte of each word.
    """

    data: NDArray[np.uint8]
    starts: Ids

    @classmethod
    def of(cls, words: Sequence[str]) -> WordBytes:
        """Words given as strings.

        Example:
            >>> WordBytes.of(["so", "", "on"]).starts.tolist()
            [0, 3, 4]
        """
        text = _END_IN_TEXT.join([*words, ""]).encode("utf-8", "surrogateescape")
        data = np.frombuffer(text, np.uint8)
        return cls(data, starts_of(data))

    @property
    def stops(self) -> Ids:
        """[n] the position of the `END` of each word."""
        return np.append(self.starts[1:], len(self.data)) - 1


class ByBytes:
    """A word model that walks the bytes of many words at once, and tells at which byte each token begins."""

    def ids_at(self, words: WordBytes) -> NDArray[np.int32]:
        """[N] the id of each token at its first byte, -1 at all other bytes."""
        raise NotImplementedError

    def ids_of(self, words: list[str]) -> Ragged:
        """The ids of each word."""
        parts = [WordBytes.of(words[start : start + _BLOCK]) for start in range(0, len(words), _BLOCK)]
        return concatenated([rows_of(self.ids_at(part), part.starts) for part in parts])


def starts_of(data: NDArray[np.uint8]) -> Ids:
    """[n] the first byte of each word, each of which is followed by `END`."""
    ends = np.flatnonzero(data == END)
    return np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends


def rows_of(ids_at: NDArray[np.int32], starts: Ids) -> Ragged:
    """The ids of each word.

    Args:
        ids_at: [N] an id at the byte where its token begins, -1 at all other bytes.
        starts: [n] the first byte of each word (or piece).
    """
    is_id = ids_at != -1
    counts = np.concatenate(([0], np.cumsum(is_id)))
    return Ragged(ids_at.compress(is_id).astype(np.int64), np.append(counts.take(starts), counts[-1]))
