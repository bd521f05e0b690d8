"""The student's tokenizer, and the teacher's ids of each of its tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from m2v_core.errors import InvalidInputError
from m2v_distill.logs import logger
from m2v_distill.vocabulary.tokenizer_file import (
    Raw,
    added_tokens,
    garbage_collector_paused,
    is_byte_level,
    parts_of,
    token_ids,
    unknown_token,
    with_added_tokens,
    with_roles,
    with_space_before,
    with_tokens,
    without_tokens,
    word_prefix,
)
from m2v_distill.vocabulary.words import Preprocessor, WordCounts, sort_words


class TokenizerOfTeacher(Protocol):
    """The part of `m2v_distill.teacher.tokenizer.TeacherTokenizer` that a vocabulary is built from."""

    @property
    def model_max_length(self) -> int | None:
        """The largest number of ids of a text."""

    @property
    def raw(self) -> Raw:
        """The parsed content of `tokenizer.json`."""

    @property
    def ids(self) -> dict[str, int]:
        """The id of each token."""

    @property
    def before(self) -> tuple[int, ...]:
        """The ids before each text."""

    @property
    def after(self) -> tuple[int, ...]:
        """The ids after each text."""

    @property
    def unknown(self) -> str | None:
        """The unknown token."""

    @property
    def padding(self) -> str | None:
        """The padding token."""

    @property
    def pad_id(self) -> int:
        """The padding id."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with special ids around it."""

    def model_ids(self, token: str) -> list[int]:
        """The ids that the tokenizer's model gives a string as it is."""


@dataclass(frozen=True)
class TeacherVocabulary:
    """The student's tokens, each with the teacher's ids of it.

    Attributes:
        tokens: Tokens of the student, in the order of its ids.
        sequences: The teacher's ids of each token, with the special ids of a text around them ([CLS] and [SEP], for
            example). A sequence may be empty: some tokenizers have no ids for what they cannot spell.
        tokenizer_json: The student's `tokenizer.json`.
        before: The teacher's ids before any text.
        after: The teacher's ids after any text.
        pad_id: The teacher's padding id.
        unknown_id: Id of the student's unknown token; `None` if it has none.
        word_counts: Outcome of adding words.
    """

    tokens: tuple[str, ...]
    sequences: list[list[int]]
    tokenizer_json: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    pad_id: int
    unknown_id: int | None
    word_counts: WordCounts

    @property
    def pieces(self) -> list[list[int]]:
        """The sequences without the special ids around them."""
        start, end = len(self.before), len(self.after)
        return [sequence[start : len(sequence) - end] for sequence in self.sequences]


def student_vocabulary(
    tokenizer: TokenizerOfTeacher,
    token_remove_pattern: str | None,
    words: Sequence[str] = (),
    *,
    use_subword: bool = True,
    n_rows: int | None = None,
    longest: int | None = None,
) -> TeacherVocabulary:
    """Turn a teacher's tokenizer into the student's, and find the teacher's ids of each token.

    Special tokens that the student does not need (mask, class and separator tokens, extra ids) and tokens that match
    `token_remove_pattern` are removed. The others keep their order, with the added tokens among them, and words follow.
    The student adds no special tokens to a text.

    Args:
        tokenizer: The teacher's tokenizer.
        token_remove_pattern: Regular expression that is matched at a token's start; `None` removes nothing.
        words: Words to add, by the rules of model2vec 0.10; see `m2v_distill.vocabulary.words.sort_words`.
        use_subword: Whether the teacher's tokens stay. If not, only the words, the unknown and the padding token do.
        n_rows: Number of ids that the teacher has embeddings for; added tokens beyond them are removed.
        longest: Largest number of ids that the teacher takes, special ones included; longer words are truncated.

    Raises:
        InvalidInputError: No token is left.
    """
    ids, before, after = tokenizer.ids, tokenizer.before, tokenizer.after
    teacher = with_roles(tokenizer.raw, unknown=tokenizer.unknown, padding=tokenizer.padding)
    with garbage_collector_paused():
        if use_subword:
            student = _cleaned(teacher, token_remove_pattern, n_rows)
            specials = {token["content"] for token in added_tokens(teacher) if token.get("special")}
            present = frozenset(ids) - (specials - set(token_ids(student)))  # tokens that words may consist of
        else:
            student = _word_level(teacher)
            present = frozenset(token_ids(student))
        student, word_counts = _with_words(student, words, present, token_remove_pattern)
        if not use_subword and not word_counts.added + word_counts.several:
            raise InvalidInputError(
                f"use_subword=False needs words, and no word of the vocabulary is left ({word_counts})."
            )
        own = token_ids(student)
        tokens = sorted(own, key=own.__getitem__)
        if not tokens:
            raise _nothing_left(token_remove_pattern)
        spell = _speller(tokenizer, student, present)
        limits = [limit for limit in (longest, tokenizer.model_max_length) if limit is not None]
        limit = min(limits, default=None)
        end = None if limit is None else max(1, limit - len(after))
        spelled = [spell(token) for token in tokens]
        sequences = [row if limit is None or len(row) <= limit else [*row[:end], *after] for row in spelled]
        text = json.dumps(student, ensure_ascii=False)
    unknown = unknown_token(student)
    return TeacherVocabulary(
        tokens=tuple(tokens),
        sequences=sequences,
        tokenizer_json=text,
        before=before,
        after=after,
        pad_id=tokenizer.pad_id,
        unknown_id=None if unknown is None else own[unknown],
        word_counts=word_counts,
    )


def _nothing_left(pattern: str | None) -> InvalidInputError:
    return InvalidInputError(f"token_remove_pattern {pattern!r} matches every token; make it match fewer.")


def _cleaned(teacher: Raw, token_remove_pattern: str | None, n_rows: int | None) -> Raw:
    student = with_space_before({**teacher, "truncation": None, "post_processor": None})
    removed = {token["content"] for token in added_tokens(student) if token.get("special")}
    plain = [token for token in added_tokens(student) if not token.get("special")]
    unknown = [token["content"] for token in plain if n_rows is not None and token["id"] >= n_rows]
    if unknown:
        logger.warning(
            "%d added tokens of tokenizer.json are removed, because the teacher has no embeddings for their ids "
            "(it has %d): %s",
            len(unknown),
            n_rows,
            ", ".join(map(repr, unknown[:5])),
        )
    removed.update(unknown)
    if token_remove_pattern is not None:
        pattern = re.compile(token_remove_pattern)
        all_tokens = token_ids(student)
        matched = {token for token in all_tokens if pattern.match(token)}
        if len(matched) == len(all_tokens):
            raise _nothing_left(token_remove_pattern)
        removed |= matched
    return without_tokens(student, removed)


def _word_level(teacher: Raw) -> Raw:
    """A tokenizer of whole words, still without words, that normalises and splits texts like the teacher's.

    A teacher's tokenizer that keeps spaces as part of words ("▁day", "Ġday") would keep punctuation too: "day," would
    be another word. In that case texts are split as in BERT.
    """
    unknown, mark = unknown_token(teacher) or "[UNK]", word_prefix(teacher)
    splits = teacher.get("pre_tokenizer") is not None and mark is None
    normalizer = teacher.get("normalizer")
    if not splits and not is_byte_level(teacher):  # a normalizer may have replaced spaces by the mark
        spaces = {"type": "Replace", "pattern": {"String": mark or "▁"}, "content": " "}
        normalizer = {"type": "Sequence", "normalizers": [*parts_of(normalizer, "normalizers"), spaces]}
    student: Raw = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": teacher["pre_tokenizer"] if splits else {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {unknown: 0}, "unk_token": unknown},
    }
    padding = teacher.get("padding")
    if padding is not None and padding["pad_token"] != unknown:
        student = with_tokens(student, [padding["pad_token"]])
    ids = token_ids(student)
    student["added_tokens"] = [
        {"id": ids[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": True}
        for token in ids
    ]
    student = with_roles(student, unknown=unknown, padding=padding and padding["pad_token"])
    if len(Preprocessor(student).split("a b")) != 2:
        raise InvalidInputError(
            "use_subword=False needs a teacher whose tokenizer splits texts at spaces; this one does not. "
            "Add the words with use_subword=True."
        )
    return student


def _with_words(
    student: Raw, words: Sequence[str], present: frozenset[str], pattern: str | None
) -> tuple[Raw, WordCounts]:
    """Add words as model2vec 0.10 does, except that words of several parts match whole words only."""
    if not words:
        return student, WordCounts()
    own = {token["content"] for token in added_tokens(student)}
    found = sort_words(words, Preprocessor(student), present, pattern, added=own)
    n_before = len(token_ids(student))
    known = token_ids(student)
    single = [token for token in found.single if token not in known]
    student = with_tokens(student, single)
    pieces = len(token_ids(student)) - n_before - len(single)
    known = token_ids(student)
    several = [text for text in found.several if text not in known]
    # Where only the first word of a text gets a space, the space after a token belongs to the next word.
    parts = parts_of(student.get("pre_tokenizer"), "pretokenizers")
    keeps_space = any(part.get("replacement") == " " for part in parts)
    student = with_added_tokens(
        student, several, normalized=True, single_word=True, lstrip=True, rstrip=not keeps_space
    )
    counts = WordCounts(
        added=len(single),
        several=len(several),
        pieces=pieces,
        present=found.n_present + len(found.several) - len(several),
        repeated=found.n_repeated,
        empty=found.n_empty,
        removed=found.n_removed,
    )
    return student, counts


def _speller(tokenizer: TokenizerOfTeacher, student: Raw, present: frozenset[str]) -> Callable[[str], list[int]]:
    """A function from a token of the student to the teacher's ids; `present` are the tokens of both."""
    ids, before, after = tokenizer.ids, tokenizer.before, tokenizer.after
    texts = {token["content"] for token in added_tokens(student)}
    in_bytes = is_byte_level(student)

    def spell(token: str) -> list[int]:
        if token in present and token in ids:
            return [*before, ids[token], *after]
        if in_bytes and token not in texts:  # it consists of bytes already: "Ġday" is not a text
            return [*before, *tokenizer.model_ids(token), *after]
        return tokenizer.encode(token)

    return spell
