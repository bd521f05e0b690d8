from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core.tokenize.pieces import encoded, hashed, split

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30), max_size=9)
SPACY = st.lists(st.text("ab é日\n", max_size=30), max_size=9)


@given(texts=TEXTS | SPACY)
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize(("spaced", "pattern"), [(False, "[^ ]+"), (True, " *[^ ]+| +")])
def test_pieces_are_what_a_regular_expression_finds(spaced: bool, pattern: str, texts: list[str]) -> None:
    if not texts:
        texts = [""]
    pieces = split(encoded(texts), spaced=spaced)
    found = pieces.texts_of(np.arange(len(pieces.starts)))
    assert [found[start:stop] for start, stop in pairwise(pieces.offsets)] == [re.findall(pattern, t) for t in texts]


@given(words=st.lists(st.text("ab日", min_size=1, max_size=30), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_equal_pieces_and_only_those_have_equal_words(words: list[str]) -> None:
    keys = hashed(split(encoded(words), spaced=False), np.uint64(0x9E3779B97F4A7C15), 64)
    rows: list[list[int]] = [[int(size), int(word)] for size, word in zip(keys.sizes, keys.first, strict=True)]
    for index, further in keys.further:
        for place, word in zip(index.tolist(), further.tolist(), strict=True):
            rows[place].append(word)
    short = [len(word.encode()) <= 64 for word in words]
    for one, row, is_short in zip(words, rows, short, strict=True):
        for other, other_row, other_hash in zip(words, rows, keys.hashes, strict=True):
            if is_short and len(other.encode()) <= 64:
                assert (one == other) == (row == other_row)
            if one == other:
                assert other_hash == keys.hashes[words.index(one)]
    same_as = keys.representatives(np.arange(len(words))).tolist()
    for word, place, is_short in zip(words, same_as, short, strict=True):
        if is_short:
            assert words[place] == word
            assert {same_as[other] for other in range(len(words)) if words[other] == word} == {place}
