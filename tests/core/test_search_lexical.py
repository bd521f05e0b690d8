"""Lexical and hybrid search, and tokens weighted for a collection, against formulas written out."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from conftest import make_model
from m2v_core import InvalidInputError, StaticModel
from m2v_core.ragged import Ragged
from m2v_core.search import Index
from m2v_core.search.adapt import collection_weights, with_weights
from m2v_core.search.words import words
from m2v_core.similarity import similarity

TEXTS = [
    "A good day for case 7731.",
    "Case 7713: a bad day",
    "sunny, sunny days",
    "",
    "unable days in the sun",
    "good good case",
    "日本の good",
]


def bm25(texts: list[str], query: str) -> list[float]:
    """The formula of Lucene, as Kamphuis et al. 2020 (Which BM25 do you mean?) write it, for each text."""
    documents = [list(words(text)) for text in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = [0.0] * len(texts)
    for word in words(query):
        n = sum(word in document for document in documents)
        idf = math.log(1 + (len(documents) - n + 0.5) / (n + 0.5))
        for row, document in enumerate(documents):
            count = Counter(document)[word]
            scores[row] += idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean))
    return scores


@pytest.fixture(scope="module")
def model() -> StaticModel:
    return make_model()


@pytest.fixture
def index(model: StaticModel) -> Index:
    index = Index(model, lexical=True)
    index.add(TEXTS, metadata=[{"row": row} for row in range(7)])
    return index


QUERIES = ["case 7731", "sunny day", "the sun, the sun", "qqq", "", "日", "Sun sunny"]


@pytest.mark.parametrize("query", QUERIES)
def test_lexical_scores_are_bm25(query: str, index: Index) -> None:
    expected = bm25(TEXTS, query)
    hits = index.search(query, mode="lexical", k=7)
    assert {hit.id: hit.score for hit in hits} == pytest.approx(
        {row: score for row, score in enumerate(expected) if score > 0}, rel=1e-5
    )
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert index.search(query, mode="lexical", k=1) == hits[:1]
    passed = index.search(query, mode="lexical", filter={"row": [1, 4]}, k=7)
    assert passed == [hit for hit in hits if hit.id in (1, 4)]


def test_words_are_counted_again_after_a_change(index: Index, model: StaticModel) -> None:
    index.remove([0, 3])
    index.add(["case closed", "a good day"], ids=["x", "y"])
    left = [*(TEXTS[row] for row in (1, 2, 4, 5, 6)), "case closed", "a good day"]
    ids = [1, 2, 4, 5, 6, "x", "y"]
    for query in [*QUERIES, "closed"]:
        expected = {name: score for name, score in zip(ids, bm25(left, query), strict=True) if score > 0}
        found = {hit.id: hit.score for hit in index.search(query, mode="lexical")}
        assert found == pytest.approx(expected, rel=1e-5)
    fresh = Index(model, lexical=True)
    fresh.add(left, ids=ids, metadata=[{"row": name} if type(name) is int else None for name in ids])
    assert index.search(QUERIES, k=5) == fresh.search(QUERIES, k=5)


@pytest.mark.parametrize("query", QUERIES)
def test_hybrid_is_the_sum_of_standardised_scores(query: str, index: Index, model: StaticModel) -> None:
    vectors, vector = model.encode(TEXTS), model.encode(query)
    cosines, counted = similarity(vector, vectors)[0].astype(float), np.array(bm25(TEXTS, query))
    hits = [row for row in range(7) if (vectors[row].any() and vector.any()) or counted[row] > 0]
    total = np.zeros(len(hits))
    for scores in (cosines[hits], counted[hits]):
        total += (scores - scores.mean()) / scores.std() if hits and scores.std() > 1e-9 else 0
    found = index.search(query, k=7)
    assert {hit.id: hit.score for hit in found} == pytest.approx(dict(zip(hits, total, strict=True)), abs=1e-4)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert index.search(query, k=7, mode="hybrid") == found
    assert index.search([query], k=2) == [found[:2]]


def test_candidates_are_the_best_of_each_part(model: StaticModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2v_core.search.ranking.CANDIDATES", 2)
    texts = ["good day", "good days", "bad qqq", "bad qqq qqq", "sunny"]
    index = Index(model, lexical=True)
    index.add(texts)
    dense = {hit.id for hit in index.search("good qqq", k=2, mode="dense")}
    by_words = {hit.id for hit in index.search("good qqq", k=2, mode="lexical")}
    assert {hit.id for hit in index.search("good qqq", k=2)} <= dense | by_words
    assert len(index.search("good qqq", k=5)) == 5


def test_names_and_numbers_are_found(index: Index) -> None:
    assert [index.search(f"case {number}", k=1)[0].id for number in (7731, 7713)] == [0, 1]


def test_modes(index: Index, model: StaticModel) -> None:
    plain = Index(model)
    plain.add(TEXTS, metadata=[{"row": row} for row in range(7)])
    for query in QUERIES:
        assert index.search(query, mode="dense") == plain.search(query)
    vectors = model.encode(QUERIES)
    assert index.search(vectors=vectors) == plain.search(vectors=vectors)
    assert index.search(QUERIES, vectors=vectors) == index.search(QUERIES)
    for mode in ("lexical", "hybrid"):
        with pytest.raises(InvalidInputError, match=f"mode='{mode}' needs the texts of queries; found vectors alone"):
            index.search(vectors=vectors, mode=mode)
    with pytest.raises(InvalidInputError, match="A lexical index should get texts; found vectors alone"):
        index.add(vectors=vectors)
    empty = Index(model, lexical=True)
    assert (empty.search("good"), empty.search("good", mode="lexical")) == ([], [])


def test_words_of_many_scripts() -> None:
    assert list(words("It's 3.5 kg")) == ["it", "it*", "s", "s*", "3", "3*", "5", "5*", "kg", "kg*"]
    assert list(words("STRASSE straße")) == ["strasse", "stras*"] * 2
    assert list(words("ﬁne ①")) == ["fine", "fine*", "1", "1*"]
    assert list(words("हिन्दी")) == ["हिन्दी", "हिन्द*"]
    assert list(words("東京 tower塔")) == ["東", "京", "東京", "tower", "tower*", "塔"]
    assert list(words("ไทย")) == ["ไ", "ท", "ย", "ไท", "ทย"]
    assert list(words("... \ud83d\n")) == []


def test_bm25s_does_not_bring_jax() -> None:
    """Where JAX is installed, bm25s would import and run it; a program may import it later."""
    pytest.importorskip("jax")
    code = (
        "import sys; from m2v_core.search.lexical import Lexical; from m2v_core.ragged import Ragged\n"
        "part = Lexical(); part.append(part.numbers(['good day'])); print(part.query('good', None, 1).max() > 0)\n"
        "print('jax' in sys.modules); import importlib.util as util; print(util.find_spec('jax').name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["True", "False", "jax"]


def test_weights_of_a_collection() -> None:
    rows = [[0, 1, 1], [1], [], [1, 3]]
    n_texts = {0: 1, 1: 3, 2: 0, 3: 1}
    expected = [math.sqrt(math.log(1 + (4 - n + 0.5) / (n + 0.5))) for n in n_texts.values()]
    np.testing.assert_allclose(collection_weights(Ragged.of(rows), 4), expected, rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_an_index_that_adapts_weights_tokens(model: StaticModel, weighted: bool) -> None:
    if weighted:
        own = np.random.default_rng(1).random(model.n_tokens).astype(np.float32)
        model = StaticModel.from_stored(replace(model.stored, weights=own))
    index = Index(model, adapt=True)
    index.add(TEXTS)
    index.add(["good sun"])
    ids = [set(model.tokenize(text)) for text in TEXTS]
    counts = np.array([sum(token in row for row in ids) for token in range(model.n_tokens)])
    factors = np.sqrt(np.log(1 + (7 - counts + 0.5) / (counts + 0.5)))
    own = np.ones(model.n_tokens) if model.weights is None else model.weights
    table = model.embedding * own[:, None] * factors[:, None]

    def vector(text: str) -> np.ndarray:
        tokens = model.tokenize(text)
        mean = table[tokens].mean(axis=0) if tokens else np.zeros(8)
        return mean / (np.linalg.norm(mean) or 1)

    np.testing.assert_allclose(index.vectors(), [vector(text) for text in [*TEXTS, "good sun"]], atol=1e-5)
    hits = {hit.id: hit.score for hit in index.search("sunny day", k=8)}
    assert hits == pytest.approx(
        {row: vector("sunny day") @ vector((*TEXTS, "good sun")[row]) for row in hits}, abs=1e-5
    )
    assert index.model is model
    plain = Index(model)
    plain.add(TEXTS)
    assert not np.allclose(index.vectors()[:7], plain.vectors())


def test_it_adapts_to_the_first_texts_that_the_model_embeds(model: StaticModel) -> None:
    index = Index(model, adapt=True)
    with pytest.raises(InvalidInputError):
        index.add(TEXTS, ids=[1])
    index.add([])
    index.add(["good"], vectors=[[1] * 8])
    index.remove(0)
    index.add(TEXTS[:3])
    other = Index(model, adapt=True)
    other.add(TEXTS[:3])
    np.testing.assert_array_equal(index.vectors(), other.vectors())


def test_weights_of_another_vocabulary(model: StaticModel) -> None:
    with pytest.raises(InvalidInputError, match="a factor for each of 35 tokens; found 3"):
        with_weights(model, np.ones(3, np.float32))
