"""Words to add to a vocabulary: read, and sorted by what a tokenizer makes of each."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from m2v_core.errors import InvalidInputError
from m2v_distill.vocabulary.tokenizer_file import Raw

#: Words, or a text file of them.
Words = Sequence[str] | str | os.PathLike[str]


def read_words(source: Words) -> tuple[str, ...]:
    """The words of a list, or of a UTF-8 text file that has one a line.

    White space around a line of a file is dropped; words of a list are taken as they are.

    Raises:
        InvalidInputError: There is no such file, it is not UTF-8, or an element is no text.

    Example:
        >>> read_words(["zebra", "New York"])
        ('zebra', 'New York')
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.is_file():
            raise InvalidInputError(
                f"vocabulary should be a list of words or the path of a text file; found {os.fspath(source)!r}, and "
                f"there is no such file. For a single word, pass a list of it."
            )
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")  # not splitlines: U+2028 may be part of a word
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{path}: a vocabulary file should be UTF-8 text ({error}).") from None
        return tuple(line.strip() for line in (lines if lines[-1] else lines[:-1]))
    if not isinstance(source, Iterable):
        raise InvalidInputError(
            f"vocabulary should be a list of words or the path of a text file; found {type(source).__name__}."
        )
    words = tuple(source)
    for index, word in enumerate(words):
        if not isinstance(word, str):
            raise InvalidInputError(
                f"vocabulary should hold texts (str); found {type(word).__name__} at index {index}."
            )
        if any("\ud800" <= char <= "\udfff" for char in word):
            raise InvalidInputError(f"vocabulary should hold valid Unicode; word {index} has a lone surrogate.")
    return words


@dataclass(frozen=True)
class SortedWords:
    """Words by what happens to them, each group in the order of the list.

    Attributes:
        single: Tokens to add: words that stay whole, as the model sees them ("▁zebra", say).
        several: Texts to add as multi-word tokens: words that the tokenizer splits, normalised.
        n_present: How many words are tokens already.
        n_repeated: How many are the same as one before them, perhaps only once normalised.
        n_empty: How many the tokenizer makes nothing of.
        n_removed: How many the pattern matches.
    """

    single: tuple[str, ...]
    several: tuple[str, ...]
    n_present: int
    n_repeated: int
    n_empty: int
    n_removed: int


class Preprocessor:
    """What a tokenizer does to a text before its model: normalise it, and split it.

    Args:
        raw: The parsed content of a `tokenizer.json`; its vocabulary is not needed.
    """

    def __init__(self, raw: Raw) -> None:
        empty = {"type": "WordLevel", "vocab": {}, "unk_token": "[UNK]"}
        kept = {"normalizer": raw.get("normalizer"), "pre_tokenizer": raw.get("pre_tokenizer")}
        self._tokenizer = Tokenizer.from_str(json.dumps({"version": "1.0", "model": empty, "added_tokens": [], **kept}))

    def normalize(self, text: str) -> str:
        """The text as it is split."""
        normalizer = self._tokenizer.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def split(self, text: str) -> list[str]:
        """The parts that the model sees, one by one; none of a text that normalises to nothing."""
        normalized, splitter = self.normalize(text), self._tokenizer.pre_tokenizer
        if not normalized:
            return []
        return [normalized] if splitter is None else [part for part, _ in splitter.pre_tokenize_str(normalized)]


def sort_words(
    words: Iterable[str],
    preprocessor: Preprocessor,
    present: Collection[str],
    pattern: str | None,
    *,
    added: Collection[str] = (),
) -> SortedWords:
    """Find out what a tokenizer makes of each word.

    The rules are those of model2vec 0.10: a word is normalised and split as a text is, and becomes a token if it stays
    whole, or else a multi-word token. One that holds a space is a multi-word token in any case.

    Args:
        words: Words as someone wrote them.
        preprocessor: The tokenizer's normalizer and pre-tokenizer.
        present: The tokenizer's tokens.
        pattern: Single words that this regular expression matches at their start are left out.
        added: Those of the tokens that are added tokens, found before a text is split.
    """
    matches = re.compile(pattern).match if pattern is not None else None
    single: dict[str, None] = {}
    several: dict[str, None] = {}
    n_present = n_repeated = n_empty = n_removed = 0
    for word in words:
        parts = preprocessor.split(word)
        text = preprocessor.normalize(word).strip()
        if not parts:
            n_empty += 1
        elif word in added or text in added:
            n_present += 1
        elif len(parts) > 1 or len(word.split()) > 1:
            if word in present:  # "##s", say
                n_present += 1
            elif not text:  # spaces alone
                n_empty += 1
            else:
                n_repeated += text in several
                several[text] = None
        elif parts[0] in present:
            n_present += 1
        elif parts[0] in single:
            n_repeated += 1
        elif matches is not None and matches(parts[0]):
            n_removed += 1
        else:
            single[parts[0]] = None
    return SortedWords(tuple(single), tuple(several), n_present, n_repeated, n_empty, n_removed)


@dataclass(frozen=True)
class WordCounts:
    """What became of the words that were to be added; `str` of it says so in a line.

    Attributes:
        added: Single words that are tokens now.
        several: Words that the tokenizer splits and that are multi-word tokens now.
        pieces: Tokens that were added besides, because the tokenizer builds words out of them (BPE).
        present: Words that were tokens already.
        repeated: Words that are the same as one before them.
        empty: Words that the tokenizer makes nothing of.
        removed: Words that the pattern for removal matches.

    Example:
        >>> str(WordCounts(added=3, several=1, present=2))
        'words: 3 added, 1 multi-word, 2 already there'
    """

    added: int = 0
    several: int = 0
    pieces: int = 0
    present: int = 0
    repeated: int = 0
    empty: int = 0
    removed: int = 0

    def __str__(self) -> str:
        parts = [
            (self.several, "multi-word"),
            (self.pieces, "pieces of words added"),
            (self.present, "already there"),
            (self.repeated, "repeated"),
            (self.empty, "empty"),
            (self.removed, "removed by token_remove_pattern"),
        ]
        listed = [f"{self.added} added", *(f"{number} {what}" for number, what in parts if number)]
        return f"words: {', '.join(listed)}"
