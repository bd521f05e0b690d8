"""Pieces of texts to token ids, by our own word models.

A few pieces are left to the tokenizers library, such as those that contain an added token: see `PieceEncoder.ids_of`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, compress
from typing import Any

import numpy as np

from m2v_core.ragged import Ragged, concatenated
from m2v_core.tokenize.words.bpe import BPE
from m2v_core.tokenize.words.build import UNSPELT, CannotModelError, Model, model_of
from m2v_core.tokenize.words.prepare import LibraryRule, Words, ascii_normalizer, ascii_rule, is_plain
from m2v_core.tokenize.words.wordlevel import WordLevel

#: For at most so many words, loops in Python are faster than calls of NumPy.
_FEW = 24

#: Most characters of a piece that a loop in Python encodes.
_MOST_CHARS = 64

#: Words that are encoded together, few enough for the processor's cache.
_BLOCK = 4096

#: A tokenizer with more added tokens is left to the library.
_MOST_ADDED = 512


def piece_encoder(raw: dict[str, Any], model: Model | None = None) -> PieceEncoder | None:
    """The encoder for a parsed `tokenizer.json`; `None` if all its pieces must be left to the library."""
    try:
        return PieceEncoder(raw, model)
    except CannotModelError:
        return None


class PieceEncoder:
    """Pieces of texts to token ids; it may be shared between threads.

    Args:
        raw: Content of a `tokenizer.json` whose texts may be split into pieces (see `m2v_core.tokenize.splitting`).
        model: The word model, if it was made already; the content then needs no vocabulary.

    Raises:
        CannotModelError: The tokenizer has a part of an unknown kind.

    Example:
        >>> encoder = PieceEncoder({
        ...     "normalizer": None, "pre_tokenizer": {"type": "BertPreTokenizer"}, "added_tokens": [],
        ...     "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "day": 1, "##s": 2}, "unk_token": "[UNK]"},
        ... })
        >>> encoder.ids_of(["days", "day"])[0].values.tolist()
        [1, 2, 1]
    """

    def __init__(self, raw: dict[str, Any], model: Model | None = None) -> None:
        self.model = model_of(raw["model"]) if model is None else model
        rule = ascii_rule(raw)
        if rule is None:
            raise CannotModelError("a normalizer or pre-tokenizer of an unknown kind")
        self._ascii = rule
        self._library = LibraryRule(raw)
        self._added, self._added_normalized = _added_patterns(raw)

    def ids_of(self, pieces: Sequence[str]) -> tuple[Ragged, list[int]]:
        """The ids of each piece, and the indices of the pieces that are left to the library and have no ids here."""
        rows = self._rows(pieces)
        left = [index for index, row in enumerate(rows) if row is None]
        words = list(chain.from_iterable(row for row in rows if row))
        counts = np.fromiter((len(row or ()) for row in rows), np.int64, len(rows))
        found = self._ids(words)
        owners = np.repeat(np.arange(len(rows)), counts)
        sizes = np.bincount(owners, found.lengths, len(rows)).astype(np.int64)
        ids = Ragged.with_lengths(found.values, sizes)
        unspelt = ids.values == UNSPELT
        if unspelt.any():
            kept = np.ones(len(rows), bool)
            kept[np.repeat(np.arange(len(rows)), sizes)[unspelt]] = False
            left = sorted({*left, *np.flatnonzero(~kept).tolist()})
            ids = Ragged.with_lengths(ids.values[np.repeat(kept, sizes)], np.where(kept, sizes, 0))
        return ids, left

    def row(self, piece: str) -> list[int] | None:
        """The ids of one piece; `None` if it is left to the library."""
        words, ids_of_one = self._words(piece), self.model.ids_of_one
        if words is None or len(piece) > _MOST_CHARS:
            return None
        ids = [index for word in words for index in ids_of_one(word)]
        return None if UNSPELT in ids else ids

    def _rows(self, pieces: Sequence[str]) -> list[Words]:
        """The words of each piece."""
        if any(pattern is not None and pattern.search(text) for pattern, text in self._checks(pieces)):
            return [self._words(piece) for piece in pieces]
        plain = [is_plain(piece) for piece in pieces]
        known = iter(self._ascii.of_many(list(compress(pieces, plain))))
        return [next(known) if is_ascii else self._words(piece) for piece, is_ascii in zip(pieces, plain, strict=True)]

    def _checks(self, pieces: Sequence[str]) -> Iterator[tuple[re.Pattern[str] | None, str]]:
        """Pairs of a pattern for added tokens and the text to search with it."""
        text = "\n".join(pieces)
        yield self._added, text
        if self._added_normalized is not None:
            yield self._added_normalized, self._ascii.normalized(text)

    def _words(self, piece: str) -> Words:
        if self._added is not None and self._added.search(piece):
            return None
        words = self._ascii(piece) if is_plain(piece) else self._library(piece)
        if self._added_normalized is not None and words and self._added_normalized.search("".join(words)):
            return None
        return words

    def _ids(self, words: list[str]) -> Ragged:
        model = self.model
        if len(words) <= _FEW or isinstance(model, WordLevel):
            return Ragged.of([model.ids_of_one(word) for word in words])
        if isinstance(model, BPE):
            return model.ids_of(words)
        parts = [words[start : start + _BLOCK] for start in range(0, len(words), _BLOCK)]
        return concatenated([model.ids_of(_as_bytes(part)) for part in parts])


def _as_bytes(words: list[str]) -> Ragged:
    data = np.frombuffer("\0".join([*words, ""]).encode(), np.uint8)
    ends = np.flatnonzero(data == 0)
    if len(ends) != len(words):  # a word holds U+0000
        return Ragged.of([word.encode() for word in words], np.uint8)
    return Ragged.with_lengths(data[data != 0], np.diff(ends, prepend=-1) - 1)


def _added_patterns(raw: dict[str, Any]) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Patterns for the added tokens, which the library looks for before it splits a text into words.

    The first is for pieces as they are. The second is for the joined words of a piece, which are its normalised text
    without spaces: some added tokens are looked for in normalised text.
    """
    tokens = raw.get("added_tokens") or []
    if len(tokens) > _MOST_ADDED:
        raise CannotModelError(f"{len(tokens)} added tokens")
    has_normalizer, normalized = raw.get("normalizer") is not None, ascii_normalizer(raw)
    plain, others = [], []
    for token in tokens:
        content = token["content"]
        if not (has_normalizer and token.get("normalized", True)):
            plain.append(content)
            continue
        if normalized is None or not re.fullmatch("[!-~]+", content) or not re.fullmatch("[!-~]+", normalized(content)):
            raise CannotModelError(f"the added token {content!r} is looked for in normalised text")
        others.append(normalized(content))
    return _any_of(plain), _any_of(others)


def _any_of(contents: list[str]) -> re.Pattern[str] | None:
    found = [re.escape(content) for content in contents if content]
    return re.compile("|".join(found)) if found else None
