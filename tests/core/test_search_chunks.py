"""Near-duplicates, and passages of long texts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_model
from m2v_core import InvalidInputError, StaticModel
from m2v_core.search import chunks, duplicates, passages
from m2v_core.search.precision import as_unit

MODEL = make_model()


def one_by_one(vectors: np.ndarray, threshold: float) -> tuple[list[int], list[int], list[float]]:
    """Each text compared with those kept before it."""
    kept, originals, scores = [], [], []
    for row, vector in enumerate(vectors):
        cosines = [float(vectors[other] @ vector) for other in kept]
        if cosines and max(cosines) >= threshold:
            originals.append(kept[int(np.argmax(cosines))])
            scores.append(max(cosines))
        else:
            kept.append(row)
            originals.append(row)
            scores.append(1)
    return kept, originals, scores


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("size", [1, 7, 1024])
def test_duplicates_are_those_of_single_comparisons(
    size: int, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m2v_core.search.near_duplicates._TEXTS", size)
    monkeypatch.setattr("m2v_core.search.near_duplicates._COSINES", 5 * size)
    draw = np.random.default_rng(0)
    vectors = as_unit(draw.normal(size=(60, 6))[draw.integers(0, 60, 200)] + 0.2 * draw.normal(size=(200, 6)))
    vectors[[3, 50, 51]] = 0
    found = duplicates(vectors=vectors * draw.lognormal(size=(200, 1)), threshold=threshold)
    kept, originals, scores = one_by_one(vectors, threshold)
    assert found.kept.tolist() == kept
    assert found.originals.tolist() == originals
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    assert {3, 50, 51} <= set(kept)


def test_equal_texts_are_duplicates_at_any_threshold() -> None:
    texts = [f"{word} day {end}" for word in ("good", "bad", "sunny") for end in ("", "a", "unable")] * 20
    found = duplicates(texts, 1.0, model=MODEL)
    assert found.kept.tolist() == list(range(9))
    assert found.originals.tolist() == list(range(9)) * 20
    assert duplicates(iter(texts), 1, model=MODEL).kept.tolist() == list(range(9))
    assert duplicates([], model=MODEL).kept.tolist() == []


def test_no_text_without_a_known_token_is_a_duplicate() -> None:
    found = duplicates(["", "good", "qqq", "", "good"], model=make_model("wordlevel"))
    assert (found.kept.tolist(), found.originals.tolist()) == ([0, 1, 2, 3], [0, 1, 2, 3, 1])


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"texts": ["a"]}, "texts and a model, or vectors"),
        ({"model": MODEL}, "texts and a model, or vectors"),
        ({}, "texts and a model, or vectors"),
        ({"texts": ["a"], "model": MODEL, "vectors": [[1.0]]}, "texts and a model, or vectors"),
        ({"texts": ["a"], "model": MODEL, "threshold": 0}, "threshold should be a number, above 0"),
        ({"texts": ["a"], "model": MODEL, "threshold": 1.1}, "threshold should be"),
        ({"vectors": [1.0]}, "vectors should be an array"),
        ({"vectors": [[np.nan]]}, "of finite numbers"),
    ],
)
def test_what_is_not_compared(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        duplicates(**given_)


@given(st.text(alphabet='ab. \n!?"。日', max_size=300), st.integers(1, 60))
def test_passages_are_the_whole_text(text: str, max_chars: int) -> None:
    found = passages(text, MODEL, max_chars=max_chars)
    for passage in found:
        assert text[passage.start : passage.start + len(passage.text)] == passage.text
        assert 0 < len(passage.text) <= max_chars
        assert passage.text == passage.text.strip()
        assert passage.line == 1 + text[: passage.start].count("\n")
    assert "".join("".join(passage.text.split()) for passage in found) == "".join(text.split())


@given(st.text(alphabet="ab. \n", min_size=1, max_size=60), st.integers(5, 40))
def test_cuts_cost_the_least(text: str, max_chars: int) -> None:
    """Among all ways to cut."""
    bounds = chunks.sentence_bounds(text, max_chars)
    n = len(bounds) - 1
    if n > 9:
        return
    costs = np.random.default_rng(n).normal(size=max(0, n - 1))
    found = chunks._cuts(bounds, costs, max_chars)
    every = []
    for bits in range(1 << max(0, n - 1)):
        cuts = [0, *(gap + 1 for gap in range(n - 1) if bits >> gap & 1), n]
        if all(bounds[b] - bounds[a] <= max_chars for a, b in pairwise(cuts)):
            every.append(sum(costs[cut - 1] for cut in cuts[1:-1]))
    assert sum(costs[cut - 1] for cut in found[1:-1]) == pytest.approx(min(every))


def test_passages_end_where_the_subject_changes() -> None:
    tokenizer = make_model("wordlevel").stored.tokenizer_json
    model = StaticModel(np.eye(make_model("wordlevel").n_tokens, dtype=np.float32), tokenizer)
    text = "  good day. good good day.\n\nbad unable. unable bad bad.\n"
    first, second = passages(text, model)
    assert first == ("good day. good good day.", 2, 1)
    assert second == ("bad unable. unable bad bad.", text.index("bad"), 3)


def test_sentences() -> None:
    def cut(text: str, max_chars: int = 100) -> list[str]:
        bounds = chunks.sentence_bounds(text, max_chars)
        return [text[start:stop] for start, stop in pairwise(bounds)]

    assert cut("One. Two!  Three?\nFour") == ["One. ", "Two!  ", "Three?\n", "Four"]
    assert cut('He said "no." Then 3.5 came.') == ['He said "no." ', "Then 3.5 came."]
    assert cut("日本。本当！「はい。」そう") == ["日本。", "本当！", "「はい。」", "そう"]
    assert cut("Three:\n1. One\n22. Two. Three") == ["Three:\n", "1. One\n", "22. Two. ", "Three"]
    assert cut("one two three", 8) == ["one two ", "three"]
    assert cut("abcdefgh", 3) == ["abc", "def", "gh"]
    assert cut("") == []
    assert len(cut("." * 50_000 + "a" * 50_000, 60_000)) == 2  # in a moment, too


def test_a_text_of_nothing() -> None:
    assert passages("", MODEL) == passages(" \n ", MODEL) == []
    with pytest.raises(InvalidInputError, match="max_chars should be"):
        passages("a", MODEL, max_chars=0)


def test_many_sentences_of_many_subjects() -> None:
    model: StaticModel = make_model()
    text = ("Good day, good day. " * 40 + "Bad unable bad. " * 40) * 5
    found = passages(text, model, max_chars=2000)
    mixed = [passage for passage in found if "Good" in passage.text and "Bad" in passage.text]
    assert len(found) >= 9
    assert not mixed
