"""Pieces of texts to token ids, by our own word models.

A few pieces are left to the tokenizers library, such as those that contain an added token: see `PieceEncoder.ids_of`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

import numpy as np

from m2v_core.ragged import Ragged, concatenated, merged
from m2v_core.tokenize.words.build import UNSPELT, CannotModelError, model_of
from m2v_core.tokenize.words.characters import characters_of
from m2v_core.tokenize.words.prepare import LibraryRule, Words, ascii_normalizer, ascii_rule, is_plain
from m2v_core.tokenize.words.word_bytes import ByBytes, rows_of

if TYPE_CHECKING:
    from m2v_core.tokenize.words.build import Model

#: For at most so many words, loops in Python are faster than calls of NumPy.
_FEW = 24

#: Characters of pieces that are encoded together; a longer piece is left to the library.
_MOST_TEXT = 1 << 16

#: A tokenizer with more added tokens is left to the library.
_MOST_ADDED = 512


def piece_encoder(raw: dict[str, Any], model: Model | None = None) -> PieceEncoder | None:
    """The encoder for a parsed `tokenizer.json`; `None` if all its pieces must be left to the library."""
    try:
        return PieceEncoder(raw, model)
    except (CannotModelError, KeyError, TypeError, AttributeError, ValueError, OverflowError):  # an unfamiliar form
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
        guarded = self._added_normalized.pattern if self._added_normalized else ""
        self._characters, self._patterns = characters_of(raw, self._asked, guarded)

    @property
    def takes_many(self) -> bool:
        """Whether many pieces at once are faster here than by the library, which uses all cores."""
        return self._characters is not None and isinstance(self.model, ByBytes)

    def ids_of(self, pieces: Sequence[str]) -> tuple[Ragged, list[int]]:
        """The ids of each piece, and the indices of the pieces that are left to the library and have no ids here."""
        model, characters = self.model, self._characters
        if characters is None or len(pieces) <= _FEW or not isinstance(model, ByBytes):
            return self._by_strings(pieces)
        text = "\0".join([*pieces, ""])
        if len(text) > _MOST_TEXT:
            half = len(pieces) // 2
            (first, before), (second, after) = self.ids_of(pieces[:half]), self.ids_of(pieces[half:])
            return concatenated([first, second]), [*before, *(index + half for index in after)]
        if text.count("\0") != len(pieces) or self._has_pattern(text):
            return self._by_strings(pieces)
        found = characters(text)
        ids = rows_of(model.ids_at(found.words), found.starts)
        left: list[int] = []
        if found.left.any():
            index = np.flatnonzero(found.left)
            others, left = self._by_strings([pieces[i] for i in index.tolist()])
            ids, left = merged(found.left, others, ids.take(np.flatnonzero(~found.left))), index[left].tolist()
        return _spelt(ids, left)

    def _by_strings(self, pieces: Sequence[str]) -> tuple[Ragged, list[int]]:
        rows = self._rows(pieces)
        left = [index for index, row in enumerate(rows) if row is None]
        words = list(chain.from_iterable(row for row in rows if row))
        counts = np.fromiter((len(row or ()) for row in rows), np.int64, len(rows))
        found = self._ids(words)
        offsets = np.concatenate(([0], np.cumsum(counts)))
        return _spelt(Ragged(found.values, found.offsets.take(offsets)), left)

    def rows(self, pieces: Sequence[str]) -> list[list[int] | None]:
        """The ids of each of a few pieces, by loops in Python; `None` for a piece that is left to the library."""
        ids_of_one = self.model.ids_of_one
        found: list[list[int] | None] = []
        for words in self._rows(pieces):
            if words is None:
                found.append(None)
                continue
            row = ids_of_one(words[0]) if len(words) == 1 else [index for word in words for index in ids_of_one(word)]
            found.append(None if UNSPELT in row else row)
        return found

    def _rows(self, pieces: Sequence[str]) -> list[Words]:
        """The words of each piece."""
        text = "\n".join(pieces)
        if len(text) > _MOST_TEXT or self._has_added(text):
            return [self._words(piece) for piece in pieces]
        if is_plain("".join(pieces)):
            return list(self._ascii.of_many(pieces))
        plain = [is_plain(piece) for piece in pieces]
        known = iter(self._ascii.of_many(list(compress(pieces, plain))))
        return [
            next(known) if is_ascii else self._words_of_other(piece)
            for piece, is_ascii in zip(pieces, plain, strict=True)
        ]

    def _has_pattern(self, pieces: str) -> bool:
        return any(pattern in pieces for pattern in self._patterns) or self._has_added(pieces)

    def _has_added(self, pieces: str) -> bool:
        """Whether an added token may be in one of some pieces."""
        if self._added is not None and self._added.search(pieces):
            return True
        return self._added_normalized is not None and bool(
            self._added_normalized.search(self._ascii.normalized(pieces))
        )

    def _asked(self, text: str) -> Words:
        """The words of a text by the rule for strings."""
        return self._ascii(text) if is_plain(text) else self._library(text)

    def _words(self, piece: str) -> Words:
        if len(piece) > _MOST_TEXT or (self._added is not None and self._added.search(piece)):
            return None
        if is_plain(piece) or self._has_added(piece):
            return self._checked(self._asked(piece))
        return self._words_of_other(piece)

    def _words_of_other(self, piece: str) -> Words:
        """The words of a piece that is not printable ASCII and has no added token."""
        words = None
        if self._characters is not None and not any(pattern in piece for pattern in self._patterns):
            words = self._characters.one(piece)
        return self._checked(self._asked(piece) if words is None else words)

    def _checked(self, words: Words) -> Words:
        if self._added_normalized is not None and words and self._added_normalized.search("".join(words)):
            return None
        return words

    def _ids(self, words: list[str]) -> Ragged:
        model = self.model
        return Ragged.of([model.ids_of_one(word) for word in words]) if len(words) <= _FEW else model.ids_of(words)


def _spelt(ids: Ragged, left: list[int]) -> tuple[Ragged, list[int]]:
    """The same, where pieces with `UNSPELT` are left to the library too."""
    unspelt = ids.values == UNSPELT
    if not unspelt.any():
        return ids, left
    sizes = ids.lengths
    kept = np.ones(len(ids), bool)
    kept[np.repeat(np.arange(len(ids)), sizes)[unspelt]] = False
    left = sorted({*left, *np.flatnonzero(~kept).tolist()})
    return Ragged.with_lengths(ids.values[np.repeat(kept, sizes)], np.where(kept, sizes, 0)), left


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
