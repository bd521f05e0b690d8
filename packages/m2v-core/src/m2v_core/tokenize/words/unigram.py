"""Unigram: the most probable sequence of tokens (Viterbi), with a penalty for characters that no token has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from m2v_core.tokenize.words.table import Ids
from m2v_core.tokenize.words.trie import Trie
from m2v_core.tokenize.words.word_bytes import END, ByBytes, WordBytes, starts_of

#: The library's score of an unknown character: that of the least probable token, less this.
UNKNOWN_PENALTY = 10.0

#: Bytes of a long word.
_LONG = 2048


@dataclass(frozen=True)
class Unigram(ByBytes):
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

    def ids_at(self, words: WordBytes) -> NDArray[np.int32]:
        """[N] the id of each token at its first byte, -1 at all other bytes."""
        data, starts = words.data, words.starts
        long = np.flatnonzero(words.stops - starts > _LONG)
        if len(long):
            return self._with_long(words, long)
        # A cell for each byte, and for the END of each word: the best way to get there.
        best, origin, token = np.full(len(data), -np.inf), np.zeros(len(data), np.int64), np.full(len(data), -1)
        best[starts] = 0
        begins, sizes, ids = self._candidates(data)
        owner = np.cumsum(data == END).take(begins)
        offsets = (begins - starts.take(owner)).astype(np.uint16)
        order = np.argsort(offsets, kind="stable")
        begins, ids = begins.take(order), ids.take(order)
        ends, scores = begins + sizes.take(order), np.append(self.scores, self.unk_score).take(ids)
        bounds = np.append(0, np.cumsum(np.bincount(offsets))).tolist()
        for first, last in pairwise(bounds):
            if first == last:
                continue
            begin, end = begins[first:last], ends[first:last]
            sums = best.take(begin) + scores[first:last]
            better = np.flatnonzero((sums > best.take(end)) | (token.take(end) < 0))  # of equals, the first stays
            end = end.take(better)
            best[end], origin[end], token[end] = sums.take(better), begin.take(better), ids[first:last].take(better)
        return self._traced(words, origin, token)

    def _with_long(self, words: WordBytes, long: Ids) -> NDArray[np.int32]:
        """`ids_at` with long words, which are done one by one: the others would wait for each of their bytes."""
        spans = list(zip(words.starts.take(long).tolist(), words.stops.take(long).tolist(), strict=True))
        kept = np.ones(len(words.data), bool)
        for start, stop in spans:
            kept[start : stop + 1] = False
        data = words.data.compress(kept)
        found = np.full(len(words.data), -1, np.int32)
        found[kept] = self.ids_at(WordBytes(data, starts_of(data)))
        for start, stop in spans:
            ids = self.ids_of_one(words.data[start:stop].tobytes().decode())
            found[start : start + len(ids)] = ids
        return found

    def _candidates(self, data: NDArray[np.uint8]) -> tuple[Ids, Ids, Ids]:
        """Every token that a character begins: where it begins, its bytes and its id.

        A character that is no token itself is a candidate as an unknown one, whose id is that after the last.
        """
        positions = np.flatnonzero(_WIDTHS.take(data))
        widths = _WIDTHS.take(data.take(positions))
        is_lone = np.ones(len(positions), bool)
        alive, depth = np.arange(len(positions)), 1
        first = data.take(positions)
        node, goes_on = self.trie.first[0].take(first), self.trie.first[1].take(first)
        found: list[tuple[Ids, Ids, Ids]] = []
        while len(alive):
            if depth > 1:
                node, goes_on = self.trie.step(node, data.take(positions.take(alive) + (depth - 1)))
            alive, node = alive.compress(goes_on), node.compress(goes_on)
            ids = self.trie.ids.take(node)
            is_token = ids >= 0
            who = alive.compress(is_token)
            found.append((positions.take(who), np.full(len(who), depth), ids.compress(is_token).astype(np.int64)))
            is_lone[who.compress(widths.take(who) == depth)] = False
            depth += 1
        lone = np.flatnonzero(is_lone)
        found.append((positions.take(lone), widths.take(lone).astype(np.int64), np.full(len(lone), len(self.scores))))
        begins, sizes, tokens = (np.concatenate(part) for part in zip(*found, strict=True))
        return begins, sizes, tokens

    def _traced(self, words: WordBytes, origin: Ids, token: Ids) -> NDArray[np.int32]:
        """Follow the best path of each word back from its end."""
        found = np.full(len(words.data), -1, np.int32)
        starts, cells = words.starts, words.stops
        token[token == len(self.scores)] = self.unk_id
        active = np.flatnonzero(cells > starts)
        starts, cells = starts.take(active), cells.take(active)
        while len(cells):
            before = origin.take(cells)
            found[before] = token.take(cells)
            left = before > starts
            starts, cells = starts.compress(left), before.compress(left)
        unknown = np.flatnonzero(found == self.unk_id)
        if len(unknown):
            self._spell_unknown(words, found, np.unique(np.cumsum(words.data == END).take(unknown)))
        return found

    def _spell_unknown(self, words: WordBytes, found: NDArray[np.int32], index: Ids) -> None:
        """Mend the ids of words with unknown characters, a run of which is one piece that may itself be a token."""
        for start, stop in zip(words.starts.take(index).tolist(), words.stops.take(index).tolist(), strict=True):
            at = np.flatnonzero(found[start:stop] != -1) + start
            tokens = found.take(at)
            for run in _runs((tokens == self.unk_id).tolist()):
                first, end = int(at[run.start]), int(at[run.stop]) if run.stop < len(at) else stop
                ids = self._unknown_ids(words.data[first:end].tobytes())
                found[first:end] = -1
                found[first : first + len(ids)] = ids

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


def _runs(flags: list[bool]) -> Iterator[range]:
    """The runs of true flags."""
    index = 0
    for flag, group in groupby(flags):
        size = len(list(group))
        if flag:
            yield range(index, index + size)
        index += size


def _widths() -> NDArray[np.uint8]:
    """[256] how many bytes a character has by its first byte; 0 for a byte that begins none, and for `END`."""
    first = np.arange(256)
    widths = 1 + (first >= 0xC0).astype(np.uint8) + (first >= 0xE0) + (first >= 0xF0)
    widths[(first & 0xC0) == 0x80] = 0
    widths[END] = 0
    return widths


_WIDTHS = _widths()
