"""Passages of a long text: cut where the subject changes, and never longer than a limit."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.model import StaticModel
from m2v_core.tokenize.bad_texts import check_texts
from m2v_core.vectors import unit

#: Sentences before and after a gap that are compared.
_WINDOW = 3

#: A sentence ends after its punctuation and what closes it, before a space or, in scripts without spaces, at once; and
#: at the end of a line. Spaces after it belong to it. "\n4. " begins an item of a list.
_END = re.compile(
    r"(?:(?<![.!?\u2026])(?<!\n\d)(?<!\n\d\d)[.!?\u2026]++[\"'\u201d\u2019\u00bb)\]]*+(?=\s)"
    r"|[\u3002\uff01\uff1f]++[\u201d\u2019\u300d\u300f\uff09]*+"
    r"|\n)\s*+"
)


class Passage(NamedTuple):
    """A part of a text.

    Attributes:
        text: The part, without spaces around it.
        start: Position of its first character in the text.
        line: Number of the line where it begins, from 1 on.
    """

    text: str
    start: int
    line: int


def passages(text: str, model: StaticModel, *, max_chars: int = 800) -> list[Passage]:
    r"""Cut a text into passages, between sentences that are about different things.

    The cosine of the three sentences before and after a gap is its similarity, and a cut there costs the similarity
    less a limit: the mean of all gaps minus their standard deviation (a form of TextTiling, Hearst 1997). Of all
    ways to cut into passages of at most `max_chars` characters, the one of the least cost is taken. So a gap of
    little similarity is a cut, and any other is one only where a passage would become too long.

    Args:
        text: The text.
        model: A model that embeds the sentences.
        max_chars: Number of characters of a passage at most. A longer sentence is cut at spaces.

    Raises:
        InvalidInputError: An option is out of range, or the text is none.

    Example:
        >>> for passage in passages("A good, good day.\nGood day.\n\nNever seen.", tiny_model(), max_chars=30):
        ...     print(passage)
        Passage(text='A good, good day.\nGood day.', start=0, line=1)
        Passage(text='Never seen.', start=29, line=4)
    """
    checks.expect(isinstance(model, StaticModel), "model", "a StaticModel", model)
    checks.whole("max_chars", max_chars, 1)
    check_texts([text])
    bounds = sentence_bounds(text, max_chars)
    pieces = [text[start:stop] for start, stop in pairwise(bounds)]
    found, line, seen = [], 1, 0
    for first, last in pairwise(_cuts(bounds, _costs(pieces, model), max_chars)):
        part = text[bounds[first] : bounds[last]]
        start = bounds[first] + len(part) - len(part.lstrip())
        if part.strip():
            line += text.count("\n", seen, start)
            seen = start
            found.append(Passage(part.strip(), start, line))
    return found


def sentence_bounds(text: str, max_chars: int) -> list[int]:
    """Where sentences begin, and the end of the text: they are no longer than `max_chars`.

    Example:
        >>> sentence_bounds("Good day. Bad?", 100)
        [0, 10, 14]
    """
    ends = [match.end() for match in _END.finditer(text)]
    bounds = [0]
    for end in [*ends, len(text)]:
        while end - bounds[-1] > max_chars:
            window = text[bounds[-1] : bounds[-1] + max_chars]
            space = max(window.rfind(" "), window.rfind("\n"), window.rfind("\t"))
            bounds.append(bounds[-1] + (space + 1 or max_chars))
        if end > bounds[-1]:
            bounds.append(end)
    return bounds


def _costs(sentences: list[str], model: StaticModel) -> NDArray[np.float64]:
    """What a cut costs in each of the gaps [n - 1] between n sentences."""
    if len(sentences) < 2:
        return np.zeros(0)
    vectors = unit(model.encode_document(sentences).astype(np.float64))
    sums = np.concatenate((np.zeros((1, vectors.shape[1])), vectors.cumsum(axis=0)))
    gaps = np.arange(1, len(sentences))
    before = sums[gaps] - sums[np.maximum(gaps - _WINDOW, 0)]
    after = sums[np.minimum(gaps + _WINDOW, len(sentences))] - sums[gaps]
    similarities = (unit(before) * unit(after)).sum(axis=1)
    return np.asarray(similarities - (similarities.mean() - similarities.std()))


def _cuts(bounds: list[int], costs: NDArray[np.float64], max_chars: int) -> list[int]:
    """Numbers of the sentences that begin passages, and the number of sentences: the cuts of the least cost."""
    n = len(bounds) - 1
    totals, origins = [0.0], [0]
    for stop in range(1, n + 1):
        best, origin = np.inf, stop - 1
        for start in range(stop - 1, -1, -1):
            if bounds[stop] - bounds[start] > max_chars and start < stop - 1:
                break
            total = totals[start] + (costs[start - 1] if start else 0)
            if total <= best:
                best, origin = total, start
        totals.append(best)
        origins.append(origin)
    cuts = [n]
    while cuts[-1] > 0:
        cuts.append(origins[cuts[-1]])
    return cuts[::-1]
