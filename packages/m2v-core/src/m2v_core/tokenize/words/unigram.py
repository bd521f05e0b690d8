"""Unigram: the most probable sequence of tokens (Viterbi), with a penalty for characters that no token has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from m2v_core.ragged import Ragged
from m2v_core.tokenize.words.table import Ids
from m2v_core.tokenize.words.trie import Trie

#: The library's score of an unknown character: that of the least probable token, less this.
UNKNOWN_PENALTY = 10.0


@dataclass(frozen=True)
class Unigram:
    """A Unigram model.

    Attributes:
        trie: All tokens.
        scores: [V] float64, the log probability of each token.
        unk_id: Id of the unknown token.
        bytes_: [256] the id of the token of each byte, for `byte_fallback`; `None` without.
    """

    trie: Trie
    scores: NDArray[np.float64]
    unk_id: int
    bytes_: Ids | None = None

    @cached_property
    def unk_score(self) -> float:
        """Score of an unknown character."""
        return float(self.scores.min()) - UNKNOWN_PENALTY

    def ids_of(self, words: Ragged) -> Ragged:
        """The ids of each word, given by its UTF-8 bytes (uint8)."""
        n, lengths = len(words), words.lengths
        base = words.offsets[:-1] + np.arange(n)  # each word has a cell for its start and one after each byte
        best = np.full(len(words.values) + n, -np.inf)
        best[base] = 0
        origin, token = np.zeros(len(best), np.int64), np.full(len(best), -1, np.int64)
        begins, sizes, ids, scores = self._candidates(words)
        owner = np.repeat(np.arange(n), lengths)[begins]
        starts = begins - words.offsets[owner]
        order = np.argsort(starts.astype(np.int32), kind="stable")
        cells, starts = (base[owner] + starts)[order], starts[order]
        sizes, ids, scores = sizes[order], ids[order], scores[order]
        bounds = np.searchsorted(starts, np.arange(int(lengths.max(initial=0)) + 1)).tolist()
        for start, (first, last) in enumerate(pairwise(bounds)):
            if first == last:
                continue
            part = slice(first, last)
            ends, sums = cells[part] + sizes[part], best[cells[part]] + scores[part]
            better = (sums > best[ends]) | (token[ends] < 0)  # of equals, the first stays
            ends = ends[better]
            best[ends], origin[ends], token[ends] = sums[better], start, ids[part][better]
        return self._traced(words, base, origin, token)

    def _candidates(self, words: Ragged) -> tuple[Ids, Ids, Ids, NDArray[np.float64]]:
        """Every token that a character begins: where it begins, its bytes, its id and its score.

        A character that is no token itself is a candidate as an unknown one.
        """
        data = words.values
        positions = np.flatnonzero((data & 0xC0) != 0x80)
        widths = _char_bytes(data[positions])
        room = np.repeat(words.offsets[1:], words.lengths)[positions] - positions
        single = np.zeros(len(positions), bool)
        wide = data.astype(np.int64)
        alive, node, depth = np.arange(len(positions)), np.zeros(len(positions), np.int64), 0
        found: list[tuple[Ids, Ids, Ids]] = []
        while len(alive):
            node, is_token = self.trie.step(node, wide[positions[alive] + depth])
            depth += 1
            who = alive[is_token]
            ids = self.trie.ids.take(node[is_token]).astype(np.int64)
            found.append((positions[who], np.full(len(who), depth), ids))
            single[who[widths[who] == depth]] = True
            left = (node >= 0) & (room[alive] > depth)
            alive, node = alive[left], node[left]
        begins, sizes, tokens = (
            (np.concatenate(part) for part in zip(*found, strict=True)) if found else (np.zeros(0, np.int64),) * 3
        )
        lone = np.flatnonzero(~single)
        return (
            np.concatenate((begins, positions[lone])),
            np.concatenate((sizes, widths[lone])),
            np.concatenate((tokens, np.full(len(lone), self.unk_id))),
            np.concatenate((self.scores[tokens], np.full(len(lone), self.unk_score))),
        )

    def _traced(self, words: Ragged, base: Ids, origin: Ids, token: Ids) -> Ragged:
        """Follow the best path of each word back from its end."""
        n, position = len(words), words.lengths.copy()
        active = np.flatnonzero(position > 0)
        found: list[tuple[Ids, Ids, Ids]] = []
        while len(active):
            cell = base[active] + position[active]
            found.append((active, token[cell], origin[cell]))
            position[active] = origin[cell]
            active = active[position[active] > 0]
        if not found:
            return Ragged.with_lengths(np.zeros(0, np.int64), np.zeros(n, np.int64))
        owners, ids, starts = (np.concatenate(part) for part in zip(*reversed(found), strict=True))
        order = np.argsort(owners, kind="stable")
        owners, ids, starts = owners[order], ids[order], starts[order]
        unknown = ids == self.unk_id
        if unknown.any():
            return self._with_unknown(words, owners, ids, starts)
        return Ragged.with_lengths(ids, np.bincount(owners, minlength=n))

    def _with_unknown(self, words: Ragged, owners: Ids, ids: Ids, starts: Ids) -> Ragged:
        """The ids of words that contain unknown characters, a run of which is one piece that may itself be a token."""
        rows: list[list[int]] = [[] for _ in range(len(words))]
        ends = np.where(np.append(owners[1:] == owners[:-1], False), np.append(starts[1:], 0), words.lengths[owners])
        run: list[int] = []
        for index, (owner, token) in enumerate(zip(owners.tolist(), ids.tolist(), strict=True)):
            if token != self.unk_id:
                rows[owner].append(token)
                continue
            run.append(int(starts[index]))
            follows = index + 1 < len(ids) and owners[index + 1] == owner and ids[index + 1] == self.unk_id
            if not follows:
                text = words[owner][run[0] : int(ends[index])].tobytes()
                rows[owner] += self._unknown_ids(text)
                run = []
        return Ragged.of(rows)

    def _unknown_ids(self, text: bytes) -> list[int]:
        known = [token for end, token in self.trie.walk(text) if end == len(text)]
        if known:
            return known
        if self.bytes_ is not None:
            ids = [int(self.bytes_[byte]) for byte in text]
            if min(ids) >= 0:
                return ids
        return [self.unk_id]

    def ids_of_one(self, word: str) -> list[int]:
        """The ids of one word."""
        data, scores, unk_score = word.encode(), self._plain_scores, self.unk_score
        best: list[tuple[float, int, int] | None] = [None] * (len(data) + 1)
        best[0] = (0.0, -1, -1)
        start = 0
        while start < len(data):
            byte = data[start]
            after = start + (1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
            score, single = best[start][0], False  # type: ignore[index] # every character is reached
            for end, token in self.trie.walk(data, start):
                candidate, held = score + scores[token], best[end]
                if held is None or candidate > held[0]:
                    best[end] = (candidate, start, token)
                single = single or end == after
            if not single:
                candidate, held = score + unk_score, best[after]
                if held is None or candidate > held[0]:
                    best[after] = (candidate, start, self.unk_id)
            start = after
        path, end = [], len(data)
        while end > 0:
            _, start, token = best[end]  # type: ignore[misc] # so is the end
            path.append((start, end, token))
            end = start
        ids: list[int] = []
        run: tuple[int, int] | None = None
        for start, end, token in reversed(path):
            if token == self.unk_id:
                run = (run[0] if run else start, end)
                continue
            if run:
                ids += self._unknown_ids(data[slice(*run)])
                run = None
            ids.append(token)
        return ids + (self._unknown_ids(data[slice(*run)]) if run else [])

    @cached_property
    def _plain_scores(self) -> memoryview:
        return self.scores.data


def _char_bytes(first: NDArray[np.uint8]) -> Ids:
    """How many bytes each UTF-8 character has, by its first byte."""
    return 1 + (first >= 0xC0).astype(np.int64) + (first >= 0xE0) + (first >= 0xF0)
