"""Documents, and their passages: parts that a teacher takes as a whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from m2v_core.checks import lone_surrogate
from m2v_core.errors import InvalidInputError
from m2v_core.search.chunks import sentence_bounds

#: Name of a document.
DocumentId: TypeAlias = "int | str"

#: Texts, or pairs of an id and a text.
Documents: TypeAlias = "Iterable[str] | Iterable[tuple[DocumentId, str]]"

#: The number of the teacher's tokens of each text.
Count: TypeAlias = "Callable[[Sequence[str]], list[int]]"

#: What a sentence must have, to be one.
_LETTER = re.compile(r"\w")


@dataclass(frozen=True)
class DocumentPassage:
    """A passage of a document; a document that the teacher takes as a whole is one passage.

    Attributes:
        id: The document's id if it has one passage, else that id, a slash and the number of the passage from 1 on.
        document: The document's id.
        text: The passage, without spaces around it.
        start: Position of its first character in the document.
        line: Number of the line where it begins, from 1 on.
    """

    id: DocumentId
    document: DocumentId
    text: str
    start: int = 0
    line: int = 1


def numbered(documents: Documents) -> Iterator[tuple[DocumentId, str]]:
    """Documents with their ids; texts alone are numbered from 0 on.

    Raises:
        InvalidInputError: A document is neither a text nor a pair of an id and a text, or is no valid Unicode.
    """
    if isinstance(documents, str):
        raise InvalidInputError("Expected documents, an iterable of texts; found one text (str). Pass a list of it.")
    for number, document in enumerate(documents):
        name, text = _pair(number, document)
        if not isinstance(text, str):
            raise InvalidInputError(
                f"Expected each document to be a text (str), or a pair of an id and a text; found "
                f"{type(document).__name__} at index {number}."
            )
        if lone_surrogate(text) is not None:
            raise InvalidInputError(f"Document {name!r} should be valid Unicode; found a lone surrogate. Remove it.")
        yield name, text


def _pair(number: int, document: object) -> tuple[DocumentId, object]:
    """The id and the text of a document; `None` in place of a text for anything else."""
    if isinstance(document, str):
        return number, document
    if isinstance(document, tuple | list) and len(document) == 2:
        return document[0], document[1]
    return number, None


def passages_of(
    documents: Iterable[tuple[DocumentId, str]], count: Count, limit: int | None
) -> Iterator[DocumentPassage]:
    """The passages of documents, none with more tokens than the limit.

    A longer document is cut between sentences, into as few passages as possible, of about the same length. A sentence
    that is longer than the limit is cut at spaces.

    Args:
        documents: Ids and texts.
        count: The number of tokens of texts.
        limit: The largest number of tokens of a passage; `None` for no limit.

    Example:
        >>> words = lambda texts: [len(text.split()) for text in texts]
        >>> [(part.id, part.text) for part in passages_of([("a", "One. Two three. Four."), ("b", "Five")], words, 2)]
        [('a/1', 'One.'), ('a/2', 'Two three.'), ('a/3', 'Four.'), ('b', 'Five')]
    """
    for name, text in documents:
        bounds = [0, len(text)] if limit is None or count([text])[0] <= limit else _cuts(text, count, limit)
        parts = [(start, text[start:stop]) for start, stop in pairwise(bounds)]
        parts = [(start + len(part) - len(part.lstrip()), part.strip()) for start, part in parts if part.strip()]
        line, seen = 1, 0
        for number, (start, part) in enumerate(parts or [(0, "")], 1):
            line += text.count("\n", seen, start)
            seen = start
            yield DocumentPassage(f"{name}/{number}" if len(parts) > 1 else name, name, part, start, line)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text that have a letter or a digit.

    Example:
        >>> sentences_of("Good day. ... Bad?")
        ['Good day.', 'Bad?']
    """
    bounds = sentence_bounds(text, max(1, len(text)))
    sentences = (text[start:stop].strip() for start, stop in pairwise(bounds))
    return [sentence for sentence in sentences if _LETTER.search(sentence)]


def _cuts(text: str, count: Count, limit: int) -> list[int]:
    """Where passages begin, and the end of the text."""
    longest = len(text)
    while True:
        bounds = sentence_bounds(text, longest)
        counts = count([text[start:stop] for start, stop in pairwise(bounds)])
        if max(counts) <= limit or longest == 1:
            break
        longest = -(-longest // 2)
    n_passages = len(_packed(counts, limit))
    least, most = max(counts), limit
    while least < most:  # the smallest limit by which there are not more passages: their lengths are then about equal
        middle = (least + most) // 2
        if len(_packed(counts, middle)) > n_passages:
            least = middle + 1
        else:
            most = middle
    return [bounds[first] for first in _packed(counts, most)] + [len(text)]


def _packed(counts: Sequence[int], limit: int) -> list[int]:
    """The first sentence of each passage, if each takes as many sentences as the limit of its tokens allows."""
    firsts, total = [0], 0
    for number, n in enumerate(counts):
        if total + n > limit and number > firsts[-1]:
            firsts.append(number)
            total = 0
        total += n
    return firsts
