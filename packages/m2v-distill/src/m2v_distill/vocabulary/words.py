"""Words to add to a vocabulary: read, and sorted by how a tokenizer splits each."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from m2v_core.checks import lone_surrogate
from m2v_core.errors import InvalidInputError
from m2v_core.storage.files import read_user_text
from m2v_distill.vocabulary.tokenizer_file import Raw

#: Words, or a text file of them.
Words = Sequence[str] | str | os.PathLike[str]


def read_words(source: Words) -> tuple[str, ...]:
    """The words of a list, or of a UTF-8 text file with one word a line.

    White space around a line of a file is removed; words of a list are taken as they are.

    Raises:
        InvalidInputError: There is no such file, it is not UTF-8, or an element is not a text.

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
        lines = read_user_text(path).split("\n")  # not splitlines: U+2028 may be part of a word
        return tuple(line.strip() for line in (lines if lines[-1] else lines[:-1]))
    return checked_words(source)


def checked_words(source: Iterable[str]) -> tuple[str, ...]:
    """Words in memory, checked.

    Raises:
        InvalidInputError: They are not a list of texts, or one is not valid Unicode.
    """
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
        if lone_surrogate(word) is not None:
            raise InvalidInputError(f"vocabulary should hold valid Unicode; word {index} has a lone surrogate.")
    return words


@dataclass(frozen=True)
class SortedWords:
    """Words sorted by how a tokenizer splits them, each group in the order of the list.

    Attributes:
        single: Words that are not split, to be added as tokens, as the model sees them ("▁zebra", for example).
        several: Normalised words that are split, to be added as multi-word tokens.
        n_present: Number of words that are tokens already.
        n_repeated: Number of words that equal an earlier one after normalisation.
        n_empty: Number of words for which the tokenizer gives nothing.
        n_removed: Number of words that match the pattern.
    """

    single: tuple[str, ...]
    several: tuple[str, ...]
    n_present: int
    n_repeated: int
    n_empty: int
    n_removed: int


class Preprocessor:
    """The steps of a tokenizer before its model: normalising and splitting.

    Args:
        raw: Parsed content of a `tokenizer.json`; the vocabulary is not used.
    """

    def __init__(self, raw: Raw) -> None:
        empty = {"type": "WordLevel", "vocab": {}, "unk_token": "[UNK]"}
        kept = {"normalizer": raw.get("normalizer"), "pre_tokenizer": raw.get("pre_tokenizer")}
        self._tokenizer = Tokenizer.from_str(json.dumps({"version": "1.0", "model": empty, "added_tokens": [], **kept}))

    def normalize(self, text: str) -> str:
        """The normalised text."""
        normalizer = self._tokenizer.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def split(self, text: str) -> list[str]:
        """The parts that the model sees; none for a text that normalises to nothing."""
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
    """Sort words by how a tokenizer splits each.

    The rules are those of model2vec 0.10: a word is normalised and split like a text, and becomes a token if it stays
    whole, or else a multi-word token. A word with a space in it is always a multi-word token.

    Args:
        words: Words as the user wrote them.
        preprocessor: Normalizer and pre-tokenizer of the tokenizer.
        present: Tokens of the tokenizer.
        pattern: Regular expression; single words that match it at their start are left out.
        added: Added tokens of the tokenizer, which are matched before a text is split.
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
    """The outcome of adding words, in numbers; `str` gives a summary in one line.

    Attributes:
        added: Single words that became tokens.
        several: Words that the tokenizer splits and that became multi-word tokens.
        pieces: Further tokens that were added because the tokenizer (BPE) builds words from them.
        present: Words that were tokens already.
        repeated: Words that equal an earlier one.
        empty: Words for which the tokenizer gives nothing.
        removed: Words that match the pattern for removal.

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
