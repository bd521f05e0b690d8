"""Byte-pair encoding: neighbours are merged, the pair that was learned first before all others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from m2v_core.ragged import Ragged
from m2v_core.tokenize.words.table import Ids, Table
from m2v_core.tokenize.words.trie import Trie

_NEVER = np.int64(1) << 40  # above any rank


@dataclass(frozen=True)
class BPE:
    """A BPE model.

    Attributes:
        trie: All tokens, for characters and, with `whole_words`, for whole words.
        merges: Rank by `left << 32 | right`, both ids.
        results: [R] int32, the id that the pair of each rank becomes.
        unk_id: Id of the token for unknown characters; -1 if they are left out.
        prefix: Prefix of the tokens of all characters but the first (`continuing_subword_prefix`).
        suffix: Suffix of the token of the last character (`end_of_word_suffix`).
        fuse_unk: Whether neighbouring unknown characters become one unknown token.
        bytes_: [256] the id of the token of each byte, for `byte_fallback`; `None` without.
        whole_words: Whether a word that is a token is not merged from characters (`ignore_merges`).
    """

    trie: Trie
    merges: Table
    results: NDArray[np.int32]
    unk_id: int = -1
    prefix: str = ""
    suffix: str = ""
    fuse_unk: bool = False
    bytes_: Ids | None = None
    whole_words: bool = False

    def ids_of(self, words: list[str]) -> Ragged:
        """The ids of each word."""
        return self._merged(Ragged.of([self._first(word) for word in words]), words)

    def ids_of_one(self, word: str) -> list[int]:
        """The ids of one word."""
        if self.whole_words and (token := self._token(word)) >= 0:
            return [token]
        ids, one, results = self._first(word), self.merges.one, self.results
        ranks = [one(left << 32 | right) for left, right in pairwise(ids)]
        while True:
            best, at = -1, -1
            for index, rank in enumerate(ranks):
                if rank >= 0 and (best < 0 or rank < best):
                    best, at = rank, index
            if at < 0:
                return ids
            ids[at : at + 2] = [int(results[best])]
            del ranks[at]
            if at:
                ranks[at - 1] = one(ids[at - 1] << 32 | ids[at])
            if at + 1 < len(ids):
                ranks[at] = one(ids[at] << 32 | ids[at + 1])

    def _merged(self, ids: Ragged, words: list[str]) -> Ragged:
        if self.whole_words:
            whole = np.array([self._token(word) for word in words], np.int64)
            rows = np.flatnonzero(whole >= 0)
            kept = np.ones(len(words), bool)
            kept[rows] = False
        symbols, owners = ids.values.copy(), np.repeat(np.arange(len(words)), ids.lengths)
        if self.whole_words:
            inside = kept[owners]
            symbols, owners = np.append(symbols[inside], whole[rows]), np.append(owners[inside], rows)
            order = np.argsort(owners, kind="stable")
            symbols, owners = symbols[order], owners[order]
        done: list[tuple[Ids, Ids]] = []
        ranks = self._ranks(symbols, owners)
        while len(symbols):
            starts = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
            lengths = np.diff(np.append(starts, len(owners)))
            least = np.minimum.reduceat(ranks, starts)
            at_least = ranks == np.repeat(least, lengths)
            going = np.repeat(least < _NEVER, lengths)
            if not going.all():
                done.append((owners[~going], symbols[~going]))
                symbols, owners, ranks, at_least = symbols[going], owners[going], ranks[going], at_least[going]
                if not len(symbols):
                    break
            at = np.flatnonzero(at_least)
            at = at[np.append(True, owners[at[1:]] != owners[at[:-1]])]  # the leftmost of each word
            symbols[at] = self.results.take(ranks[at])
            keep = np.ones(len(symbols), bool)
            keep[at + 1] = False
            new_at = at - np.arange(len(at))  # one symbol before each was removed
            symbols, owners, ranks = symbols[keep], owners[keep], ranks[keep]
            changed = np.concatenate((new_at, new_at[new_at > 0] - 1))
            ranks[changed] = self._ranks_at(symbols, owners, changed)
        if not done:
            return Ragged.with_lengths(np.zeros(0, np.int64), np.zeros(len(words), np.int64))
        owners, symbols = (np.concatenate(part) for part in zip(*done, strict=True))
        order = np.argsort(owners, kind="stable")
        return Ragged.with_lengths(symbols[order], np.bincount(owners, minlength=len(words)))

    def _ranks(self, symbols: Ids, owners: Ids) -> Ids:
        return self._ranks_at(symbols, owners, np.arange(len(symbols)))

    def _ranks_at(self, symbols: Ids, owners: Ids, at: Ids) -> Ids:
        """The rank of the pair that begins at each of some symbols; `_NEVER` where it is not merged."""
        ranks = np.full(len(at), _NEVER)
        inside = np.flatnonzero(at + 1 < len(symbols))
        inside = inside[owners[at[inside]] == owners[at[inside] + 1]]
        left = at[inside]
        found = self.merges.find(symbols[left] << 32 | symbols[left + 1])
        ranks[inside] = np.where(found >= 0, found, _NEVER)
        return ranks

    def _token(self, text: str) -> int:
        node = self.trie.node_of(text.encode())
        return int(self.trie.ids[node]) if node > 0 else -1

    def _first(self, word: str) -> list[int]:
        """The ids of a word's characters."""
        ids: list[int] = []
        pending = False  # as in the library, an unknown token comes before the next character that is a token
        last = len(word) - 1
        for index, char in enumerate(word):
            text = (self.prefix if index else "") + char + (self.suffix if index == last else "")
            token = self._token(text)
            if token >= 0:
                if pending:
                    ids.append(self.unk_id)
                    pending = False
                ids.append(token)
                continue
            if self.bytes_ is not None:
                fallback = [int(self.bytes_[byte]) for byte in text.encode()]
                if min(fallback) >= 0:
                    ids += fallback
                    continue
            if self.unk_id >= 0:
                if pending and not self.fuse_unk:
                    ids.append(self.unk_id)
                pending = True
        return [*ids, self.unk_id] if pending else ids
