"""Errors for texts that cannot be tokenised, which name the first such text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from m2v_core.checks import lone_surrogate
from m2v_core.errors import BadTextError, InvalidInputError

_SEARCHED = 1024  # texts that are tried together in the search for a bad one
_SHOWN = 40  # characters of a text in an error
_SECONDS = 1.0  # of the search for the bad part of a text


class CannotSpellError(Exception):
    """A text has something that is not in the vocabulary, and there is no unknown token."""


def is_refusal(error: BaseException) -> bool:
    """Whether the library refuses something: by any `Exception`, or as its Rust code panics, which is none in Python.

    Example:
        >>> is_refusal(ValueError()), is_refusal(KeyboardInterrupt())
        (True, False)
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


#: Why the tokenizer cannot spell texts; `None` if it can.
Complaint = Callable[[Sequence[str]], str | None]


def bad_text(texts: Sequence[Any], complaint: Complaint) -> InvalidInputError:
    """The error for the first text that is not a valid text, or that the tokenizer cannot spell.

    Args:
        texts: Texts of which at least one is refused by the tokenizer.
        complaint: Tries valid texts, and says why the tokenizer refuses them.
    """
    error = _invalid_text(texts)
    before = texts if error is None else texts[: error.index]
    for start in range(0, len(before), _SEARCHED):
        part = before[start : start + _SEARCHED]
        if complaint(part):
            first = next(index for index, text in enumerate(part) if complaint([text]))
            return _cannot_spell(part[first], start + first, complaint)
    return error or InvalidInputError("Expected a list of texts (str).")


def check_texts(texts: Sequence[Any], before: int = 0) -> None:
    """Raise `BadTextError` for the first of some texts, which come after so many others, that is no valid text."""
    error = _invalid_text(texts)
    if error is not None:
        raise error.moved(before)


def _invalid_text(texts: Sequence[Any]) -> BadTextError | None:
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            return BadTextError(f"Expected texts (str); found {type(text).__name__} at index ", index, ".")
        if (position := lone_surrogate(text)) is not None:
            return BadTextError(
                "Expected valid Unicode; text ",
                index,
                f" has a lone surrogate, {text[position]!r}, at character {position}. Decode it with "
                f"errors='replace', or remove it.",
            )
    return None


def _cannot_spell(text: str, index: int, complaint: Complaint) -> BadTextError:
    deadline = time.monotonic() + _SECONDS
    why = complaint([text])
    words = takewhile(lambda _: time.monotonic() < deadline, re.finditer(r"\S+", text))
    start, stop = next((word.span() for word in words if complaint([word[0]])), (0, len(text)))
    first = start  # a text without spaces is one long word: halve it until its first bad part is short
    while stop - start > _SHOWN and time.monotonic() < deadline:
        middle = (start + stop) // 2
        start, stop = (start, middle) if complaint([text[first:middle]]) else (middle, stop)
    bad = text[start : min(stop, start + _SHOWN)]
    return BadTextError(
        "The tokenizer cannot spell text ",
        index,
        f", {text[:_SHOWN]!r}{'...' * (len(text) > _SHOWN)}, and has no unknown token for {bad!r} "
        f"({why}). Take that out of the text, or name the unknown token in tokenizer.json "
        f"(unk_id or unk_token of its model): unknown tokens are left out.",
    )
