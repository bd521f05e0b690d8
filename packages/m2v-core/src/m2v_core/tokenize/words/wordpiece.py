"""WordPiece: the longest token that a word begins with, then the longest that continues it, and so on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2v_core.ragged import Ragged
from m2v_core.tokenize.words.table import Ids
from m2v_core.tokenize.words.trie import Trie


@dataclass(frozen=True)
class WordPiece:
    """A WordPiece model.

    Attributes:
        trie: All tokens, with the prefix of those that continue a word.
        continuing: Node of that prefix ("##"), -1 if no token has it.
        unk_id: Id of the unknown token.
        max_chars: A word of more characters is unknown.
    """

    trie: Trie
    continuing: int
    unk_id: int
    max_chars: int

    def ids_of(self, words: Ragged) -> Ragged:
        """The ids of each word, given by its UTF-8 bytes (uint8)."""
        data, n = words.values, len(words)
        ends = words.offsets[1:].copy()
        unknown = _n_chars(words) > self.max_chars
        active = np.flatnonzero(~unknown & (words.lengths > 0))
        position, node = words.offsets[:-1].copy(), np.zeros(n, np.int64)
        token, token_end = np.full(n, -1, np.int64), np.zeros(n, np.int64)
        found: list[tuple[Ids, Ids]] = [(np.flatnonzero(unknown), np.full(int(unknown.sum()), self.unk_id))]
        while len(active):
            at = position[active]
            inside = at < ends[active]
            child, is_token = np.full(len(active), -1, np.int64), np.zeros(len(active), bool)
            child[inside], is_token[inside] = self.trie.step(node[active[inside]], data[at[inside]].astype(np.int64))
            walks = child >= 0
            on = active[walks]
            node[on] = child[walks]
            position[on] += 1
            hits = active[is_token]
            token[hits], token_end[hits] = self.trie.ids.take(child[is_token]), position[hits]
            stuck = active[~walks]
            bad = token[stuck] < 0
            if bad.any():
                unknown[stuck[bad]] = True
                found.append((stuck[bad], np.full(int(bad.sum()), -1)))
            stuck = stuck[~bad]
            found.append((stuck, token[stuck]))
            more = stuck[token_end[stuck] < ends[stuck]]
            position[more], node[more], token[more] = token_end[more], self.continuing, -1
            if self.continuing < 0:
                unknown[more] = True
                more = more[:0]
            active = np.concatenate((on, more))
        return _collected(found, unknown, self.unk_id, n)

    def ids_of_one(self, word: str) -> list[int]:
        """The ids of one word."""
        if len(word) > self.max_chars:
            return [self.unk_id]
        data, start, node, ids = word.encode(), 0, 0, []
        while start < len(data):
            tokens = self.trie.walk(data, start, node) if node >= 0 else []
            if not tokens:
                return [self.unk_id]
            start, token = tokens[-1]
            ids.append(token)
            node = self.continuing
        return ids


def _n_chars(words: Ragged) -> Ids:
    """[n] how many characters the UTF-8 of each word has."""
    first = np.concatenate(([0], np.cumsum((words.values & 0xC0) != 0x80)))
    return np.asarray(np.diff(first[words.offsets]))


def _collected(found: list[tuple[Ids, Ids]], unknown: NDArray[np.bool_], unk_id: int, n: int) -> Ragged:
    """The ids that were found for words, in their order; an unknown word has `unk_id` alone."""
    owners = np.concatenate([owner for owner, _ in found])
    ids = np.concatenate([token for _, token in found])
    kept = ~unknown[owners]
    bad = np.flatnonzero(unknown)
    owners, ids = np.concatenate((owners[kept], bad)), np.concatenate((ids[kept], np.full(len(bad), unk_id)))
    order = np.argsort(owners, kind="stable")
    return Ragged.with_lengths(ids[order], np.bincount(owners, minlength=n))
