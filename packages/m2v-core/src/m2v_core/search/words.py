"""The words of texts, by which lexical search compares them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

#: Letters at the beginning of a word that stand for it and for its other forms.
_BEGINNING = 5

#: Scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana, ideographs, Hangul.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)


def words(text: str) -> Iterator[str]:
    """The words of a text in lower case, each followed by its beginning: five letters and a star.

    The beginning lets forms of a word find each other in any language, and the whole word counts names and numbers
    exactly. Scripts without spaces give characters and pairs of them.

    Example:
        >>> list(words("Solved: case 7b"))
        ['solved', 'solve*', 'case', 'case*', '7b', '7b*']
        >>> list(words("日本語"))
        ['日', '本', '語', '日本', '本語']
    """
    for found in _pattern().finditer(unicodedata.normalize("NFKC", text).casefold()):
        word = found[0]
        if found[1] is not None:
            yield from word
            yield from (word[start : start + 2] for start in range(len(word) - 1))
        else:
            yield word
            yield f"{word[:_BEGINNING]}*"


@cache
def _pattern() -> re.Pattern[str]:
    """Runs of letters, digits and marks; the group is one of a script without spaces."""
    marks = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(rf"([{_UNSPACED}]+)|(?:(?![{_UNSPACED}])[\w{marks}])+")
