"""WordPiece: the longest token that a word begins with, then the longest that continues it, and so on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2v_core.forking import cached
from m2v_core.tokenize.words.table import FACTOR, MASK, Ids
from m2v_core.tokenize.words.trie import Trie
from m2v_core.tokenize.words.word_bytes import END, ByBytes, WordBytes

#: So few words are quicker one by one.
_FEW = 16

#: Characters of a word that is short enough to look up each of its beginnings.
_SHORT = 128


@dataclass(frozen=True)
class WordPiece(ByBytes):
    """A WordPiece model.

    Attributes:
        trie: All tokens, with the prefix of those that continue a word; its `ids` are those of the longest token on
            the way to each node.
        sizes: [V + 1] int32, bytes of each token by its id; the last is 0.
        continuing: Node of the prefix ("##"), -1 if no token has it.
        prefix_bytes: Bytes of the prefix.
        unk_id: Id of the unknown token.
        max_chars: A word of more characters is unknown.
        tokens: The ids of the tokens by their texts, for words one by one, where that takes little memory.
        prefix: The prefix, for `tokens`.
    """

    trie: Trie
    sizes: NDArray[np.int32]
    continuing: int
    prefix_bytes: int
    unk_id: int
    max_chars: int
    tokens: Mapping[str, int] | None = None
    prefix: str = ""

    def ids_at(self, words: WordBytes) -> NDArray[np.int32]:
        """[N] the id of each token at its first byte, -1 at all other bytes."""
        data, starts = words.data, words.starts
        found = np.full(len(data), -1, np.int32)
        lengths = words.stops - starts
        unknown = self._too_long(words, lengths)
        first, has_first = self.trie.first
        byte = data.take(starts)  # END for an empty word
        alone = np.flatnonzero((lengths == 1) & ~unknown)
        token = np.where(has_first, self.trie.ids.take(first), -1).take(byte.take(alone))
        found[starts.take(alone)] = token
        unknown[alone.compress(token < 0)] = True
        goes_on = has_first.take(byte)
        unknown |= (lengths > 1) & ~goes_on
        owner = np.flatnonzero(~unknown & (lengths > 1))
        begun = starts.take(owner)
        position, node = begun + 1, first.take(byte.take(owner))
        while len(owner) > _FEW:
            node_after, goes_on = self.trie.step(node, data.take(position))
            position += 1
            stuck = np.flatnonzero(~goes_on)
            if len(stuck):
                begin, who = begun.take(stuck), owner.take(stuck)
                token = self.trie.ids.take(node.take(stuck))
                end = begin + self.sizes.take(token)
                end -= (begin != starts.take(who)) * self.prefix_bytes
                end = np.minimum(end, position.take(stuck) - 1)  # no token is longer than the way to it
                is_done = data.take(np.maximum(end, begin)) == END
                is_bad = (end <= begin) | (is_done < (self.continuing < 0))
                found[begin] = token
                unknown[who.compress(is_bad)] = True
                node_after[stuck] = self.continuing
                position[stuck] = begun[stuck] = end
                gone = stuck.compress(is_done | is_bad)
                if len(gone):
                    left = np.ones(len(owner), bool)
                    left[gone] = False
                    owner, begun, position = owner.compress(left), begun.compress(left), position.compress(left)
                    node_after = node_after.compress(left)
            node = node_after
        for index in owner.tolist():
            place = int(starts[index])
            word = data[place : place + 4 * self.max_chars + 1].tobytes().partition(b"\xff")[0]
            tokens = self._tokens(word)
            unknown[index] = tokens is None
            for start, token_id in tokens or ():
                found[place + start] = token_id
        bad = np.flatnonzero(unknown)
        if len(bad):
            stops = words.stops.take(bad)
            for start, stop in zip(starts.take(bad).tolist(), stops.tolist(), strict=True):
                found[start:stop] = -1
            found[starts.take(bad)] = self.unk_id
        return found

    def _too_long(self, words: WordBytes, lengths: Ids) -> NDArray[np.bool_]:
        too_long = lengths > self.max_chars  # in bytes, so perhaps not in characters
        for index in np.flatnonzero(too_long).tolist():
            start = int(words.starts[index])
            word = words.data[start : start + int(lengths[index])]
            too_long[index] = np.count_nonzero((word & 0xC0) != 0x80) > self.max_chars
        return too_long

    def ids_of_one(self, word: str) -> list[int]:
        """The ids of one word."""
        if len(word) > self.max_chars:
            return [self.unk_id]
        if self.tokens is not None and len(word) <= _SHORT:
            return self._by_texts(word, self.tokens.get)
        tokens = self._tokens(word.encode())
        return [self.unk_id] if tokens is None else [token for _, token in tokens]

    def _by_texts(self, word: str, id_of: Callable[[str], int | None]) -> list[int]:
        """The ids of one word by `tokens`: faster than a walk, byte by byte."""
        ids: list[int] = []
        least, end, length = 0, len(word), len(word)  # of all beginnings, the longest that is a token
        while end > least:
            token = id_of(word[:end])
            if token is None:
                end -= 1
                continue
            ids.append(token)
            if end == length:
                return ids
            word = self.prefix + word[end:]
            least, end, length = len(self.prefix), len(word), len(word)
        return [self.unk_id] if length else ids

    def _tokens(self, word: bytes) -> list[tuple[int, int]] | None:
        """The first byte and the id of each token of a word; `None` if the word is unknown."""
        slots, ids, shift, last, sizes = self._plain
        found: list[tuple[int, int]] = []
        begin, root, offset, length = 0, 0, 0, len(word)
        while begin < length:
            if root < 0:
                return None
            node = root
            for byte in word[begin:]:
                key = (node << 8 | byte) + 1
                place = (key * FACTOR & MASK) >> shift
                while (held := slots[place]) != key and held:
                    place = place + 1 & last
                if not held:
                    break
                node = place
            token = ids[node]
            size = sizes[token] - offset
            if size <= 0:
                return None
            found.append((begin, token))
            begin += size
            root, offset = self.continuing, self.prefix_bytes
        return found

    @cached
    def _plain(self) -> tuple[memoryview, memoryview, int, int, memoryview]:
        """The trie and the sizes for Python's own integers, which are quicker for one word."""
        return *self.trie.plain, self.sizes.data
