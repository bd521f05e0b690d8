"""`Index`: what is added is found, by cosines that a plain product of matrices gives too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_model
from m2v_core import InvalidInputError, StaticModel
from m2v_core.search import Hit, Index
from m2v_core.search.precision import STORED
from m2v_core.similarity import similarity

TEXTS = ["good day", "bad day", "sunny days", "", "good good day", "日本 unable", "a good day!", "good day"]
QUERIES = ["good", "a sunny day", "", "unable 日本", "bad bad"]


@pytest.fixture(scope="module")
def model() -> StaticModel:
    return make_model()


def texts_of(n: int) -> list[str]:
    """Texts of the small model's words, some alike and some without any."""
    words, draw = ["good", "bad", "day", "sunny", "unable", "日", "qqq"], np.random.default_rng(0)
    return [" ".join(draw.choice(words, size=draw.integers(0, 9))) for _ in range(n)]


def hits_of(model: StaticModel, texts: list[str], query: str, k: int) -> list[tuple[int, float]]:
    """By sorting all cosines."""
    vectors, query_vector = model.encode(texts), model.encode(query)
    cosines = similarity(query_vector, vectors)[0]
    rows = [row for row in np.argsort(-cosines, kind="stable") if vectors[row].any() and query_vector.any()]
    return [(int(row), float(cosines[row])) for row in rows[:k]]


@pytest.mark.parametrize("k", [1, 3, 100])
@pytest.mark.parametrize("add", ["at once", "one by one"])
def test_hits_are_those_of_a_product(model: StaticModel, add: str, k: int) -> None:
    texts, index = texts_of(70), Index(model)
    if add == "at once":
        assert index.add(texts) == list(range(70))
    else:
        assert [index.add(text) for text in texts] == [[row] for row in range(70)]
    found = index.search(QUERIES, k=k)
    for query, hits in zip(QUERIES, found, strict=True):
        expected = hits_of(model, texts, query, k)
        assert len(hits) == len(expected)
        np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-6)
        assert index.search(query, k=k) == hits
        exact = dict(hits_of(model, texts, query, 70))
        np.testing.assert_allclose([exact[int(hit.id)] for hit in hits], [hit.score for hit in hits], atol=1e-6)
    arrays = index.search_arrays(QUERIES, k=k)
    assert arrays.rows.shape == arrays.scores.shape == (len(QUERIES), min(k, 70))
    for rows, scores, hits in zip(*arrays, found, strict=True):
        assert [(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row >= 0] == [
            (hit.id, hit.score) for hit in hits
        ]
        assert (np.isfinite(scores) == (rows >= 0)).all()


def test_equal_texts_come_in_their_order(model: StaticModel) -> None:
    index = Index(model)
    index.add(["bad", "good", "bad", "good", "good"])
    assert [hit.id for hit in index.search("good", k=3)] == [1, 3, 4]
    assert [hit.id for hit in index.search("good", k=2)] == [1, 3]


def test_what_has_no_known_token_is_no_hit() -> None:
    model = make_model("wordlevel")
    index = Index(model)
    index.add(["good", "", "qqq", "day"])
    assert {hit.id for hit in index.search("good day")} == {0, 3}
    assert index.search("qqq") == []
    assert index.search(["", "good"], k=1)[0] == []
    index.add(vectors=[[0] * 8])
    assert len(index.search(vectors=np.ones(8))) == 2  # type: ignore[arg-type]
    assert index.search(vectors=np.zeros(8)) == []
    assert not index.vectors()[[1, 2, 4]].any()


def test_an_empty_index() -> None:
    index = Index(make_model())
    assert (len(index), list(index), index.vectors().shape) == (0, [], (0, 8))
    assert index.search("good") == []
    assert index.search(["good", "bad"], k=7) == [[], []]
    assert index.search([]) == []
    assert index.search_arrays("good").rows.shape == (0,)
    assert index.add([]) == []
    assert index.add("good") == [0]
    index.remove(0)
    assert (len(index), index.search("good")) == (0, [])
    assert Index().search(vectors=[[1.0, 2.0]]) == [[]]


def test_prompts_are_put_before() -> None:
    model = make_model()
    model.prompts = {"query": "good ", "document": "bad "}
    index = Index(model)
    index.add(["day", "sunny"])
    expected = similarity(model.encode("good day"), model.encode(["bad day", "bad sunny"]))[0]
    assert {hit.id: hit.score for hit in index.search("day")} == pytest.approx(dict(enumerate(expected)), abs=1e-6)


def test_vectors_of_another_model() -> None:
    """They are compared by their angles, whatever their lengths and dtypes."""
    draw = np.random.default_rng(0)
    vectors, queries = draw.normal(size=(40, 5)) * draw.lognormal(size=(40, 1)), draw.normal(size=(3, 5)) * 7
    expected = np.sort(similarity(queries, vectors), axis=1)[:, ::-1]
    for hold in (np.asarray, np.float16, np.float32, np.longdouble, list, lambda array: array.tolist()):
        index = Index()
        index.add(vectors=hold(vectors))  # type: ignore[operator]
        tolerance = 1e-3 if hold is np.float16 else 1e-6
        np.testing.assert_allclose(index.search_arrays(vectors=queries, k=40).scores, expected, atol=tolerance)
        one = index.search(vectors=queries[0], k=3)
        assert [hit.score for hit in one] == pytest.approx(expected[0, :3], abs=tolerance)  # type: ignore[union-attr]
    whole = Index()
    whole.add(vectors=np.array([[-128, 0], [3, 4]], np.int8))
    assert whole.vectors().round(3).tolist() == [[-1, 0], pytest.approx([0.6, 0.8])]


def test_vectors_beside_texts_and_queries(model: StaticModel) -> None:
    index = Index(model)
    index.add(["whatever", "else"], vectors=model.encode(["good", "bad"]) * 3)
    assert index.search("good", k=1)[0].id == 0
    assert index.search("good", vectors=model.encode("bad"), k=1)[0].id == 1
    assert [hits[0].id for hits in index.search(["x", "y"], vectors=model.encode(["bad", "good"]))] == [1, 0]


@pytest.mark.parametrize("dtype", STORED)
def test_dtypes(dtype: str, model: StaticModel) -> None:
    texts = texts_of(200)
    index, exact = Index(model, dtype=dtype), Index(model)
    index.add(texts[:150])
    index.add(texts[150:])
    exact.add(texts)
    np.testing.assert_allclose(index.vectors(), exact.vectors(), atol=1e-2)
    for found, expected in zip(index.search(QUERIES, k=5), exact.search(QUERIES, k=5), strict=True):
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-2)


def test_ids_and_metadata(model: StaticModel) -> None:
    index = Index(model)
    assert index.add(["good", "bad"], ids=["b", 7], metadata=[{"page": [1, None]}, "text"]) == ["b", 7]
    assert index.add("day") == [8]
    assert index.add(["sunny"], ids=np.array([-3])) == [-3]
    assert index.add(["unable"], ids=iter([2**62])) == [2**62]
    assert list(index) == ["b", 7, 8, -3, 2**62]
    assert ("b" in index, 7 in index, "7" in index, True in index, None in index, [] in index) == (
        True,
        True,
        False,
        False,
        False,
        False,
    )
    assert index.search("good", k=1) == [Hit("b", pytest.approx(1), {"page": [1, None]})]
    assert (index.metadata(7), index.metadata(8)) == ("text", None)
    about = {"a": (1, 2)}
    index.add("good", ids=["c"], metadata=[about])
    about["a"] = (3, 4)
    assert index.metadata("c") == {"a": [1, 2]}  # as JSON holds it, and a copy
    index.metadata("c")["a"] = 5
    assert index.metadata("c") == {"a": [1, 2]}


def test_removing(model: StaticModel) -> None:
    texts, index = texts_of(60), Index(model)
    index.add(texts, ids=[f"t{row}" for row in range(60)])
    gone = {0, 7, 8, 59}
    index.remove(f"t{row}" for row in gone)
    left = [row for row in range(60) if row not in gone]
    fresh = Index(model)
    fresh.add([texts[row] for row in left], ids=[f"t{row}" for row in left])
    assert list(index) == list(fresh) == [f"t{row}" for row in left]
    assert len(index) == 56
    assert "t7" not in index
    for query in QUERIES:
        assert index.search(query, k=60) == fresh.search(query, k=60)
    for one, other in zip(index.search_arrays(QUERIES, k=9), fresh.search_arrays(QUERIES, k=9), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(index.vectors(), fresh.vectors())
    assert index.add(["good", "day"], ids=["t7", "t61"]) == ["t7", "t61"]
    assert index.search("good", k=1)[0].score == pytest.approx(1)
    assert index.add("day") == [0]


def test_ids_are_not_given_again(model: StaticModel) -> None:
    index = Index(model)
    index.add(["good", "bad"])
    index.remove([1, 1])
    assert index.add("day") == [2]
    index.remove(np.array([0]))
    index.remove(np.int64(2))  # type: ignore[arg-type]
    assert index.add("day") == [3]
    assert index.add("day", ids=[2**63 - 1]) == [2**63 - 1]
    with pytest.raises(InvalidInputError, match=f"found {2**63 - 1} again"):
        index.add("day")


def test_filters(model: StaticModel) -> None:
    texts, index = texts_of(60), Index(model)
    about = [{"page": row % 3, "kind": "ab"[row % 2]} if row % 5 else None for row in range(60)]
    index.add(texts, metadata=about)
    index.remove([1, 2])
    every = {hit.id for hit in index.search("good day", k=60)}
    tests: list[tuple[Any, Any]] = [
        ({"page": 1}, lambda row, about: about and about["page"] == 1),
        ({"page": [0, 2], "kind": "a"}, lambda row, about: about and about["page"] != 1 and about["kind"] == "a"),
        ({"other": None}, lambda row, about: False),
        ({}, lambda row, about: isinstance(about, dict)),
        (lambda row, about: row > 30 and about is None, lambda row, about: row > 30 and about is None),
    ]
    for chosen, expected in tests:
        found = index.search("good day", k=60, filter=chosen)
        assert {hit.id for hit in found} == {row for row in every if expected(row, about[row])}
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
        assert index.search("good day", k=2, filter=chosen) == found[:2]


@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 12)), max_size=25))
def test_any_order_of_adding_and_removing(steps: list[tuple[str, int]]) -> None:
    """An index of single steps is one of what is left."""
    model, names = MODELS[0], count()
    index, left = Index(model), {}
    for step, number in steps:
        if step == "add":
            texts = texts_of(12)[:number]
            new = [f"n{next(names)}" for _ in texts]
            index.add(texts, ids=new)
            left.update(zip(new, texts, strict=True))
        elif left:
            name = list(left)[number % len(left)]
            index.remove(name)
            del left[name]
    fresh = Index(model)
    fresh.add(list(left.values()), ids=list(left))
    assert list(index) == list(left)
    assert index.search(QUERIES, k=20) == fresh.search(QUERIES, k=20)


MODELS = [make_model()]


def test_texts_of_a_generator_come_in_batches(model: StaticModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2v_core.search.inputs._BATCH", 7)
    alive = 0

    def stream() -> Iterator[str]:
        nonlocal alive
        for text in texts_of(40):
            alive += 1
            yield text

    index, whole = Index(model), Index(model)
    index.add(stream(), metadata=(f"about {row}" for row in range(40)))
    whole.add(texts_of(40), metadata=[f"about {row}" for row in range(40)])
    assert alive == 40
    assert index.search(QUERIES, k=40) == whole.search(QUERIES, k=40)
    with pytest.raises(InvalidInputError, match="int at index 17"):
        index.add([*texts_of(17), 3, "good"])  # type: ignore[list-item]


ADDED: list[tuple[dict[str, Any], str]] = [
    ({}, "texts or vectors to add; found neither"),
    ({"texts": 3}, "an iterable of texts; found int"),
    ({"texts": ["good", 3]}, "int at index 1"),
    ({"vectors": [[1, 2]]}, "vectors should have 8 dimensions, like those of this index; found 2"),
    ({"vectors": np.ones((2, 2, 2))}, r"found shape \(2, 2, 2\)"),
    ({"vectors": [[1, 2], [1]]}, "an array .n, dimensions. of numbers"),
    ({"vectors": [["a"] * 8]}, "of numbers; found shape"),
    ({"vectors": [[1] * 8, [np.nan] * 8]}, "NaN or infinity in row 1"),
    ({"vectors": [[np.inf] * 8]}, "NaN or infinity in row 0"),
    ({"texts": ["good"], "vectors": [[1] * 8] * 2}, "found 1 texts and 2 vectors"),
    ({"texts": ["good", 3], "vectors": [[1] * 8] * 2}, "found int at index 1"),
    ({"texts": ["good"], "ids": [1, 2]}, "ids should be 1, one for each text; found 2 or more"),
    ({"texts": ["good"], "ids": []}, "ids should be 1, one for each text; found 0"),
    ({"texts": ["good"], "ids": "a"}, "ids should be a list with an id for each text; found 'a'"),
    ({"texts": ["good"], "ids": [1.5]}, "found 1.5 .float."),
    ({"texts": ["good"], "ids": [True]}, "found True .bool."),
    ({"texts": ["good"], "ids": [None]}, "found None"),
    ({"texts": ["good"], "ids": [2**63]}, "of 64 bits"),
    ({"texts": ["good"], "ids": ["\ud83d"]}, "valid texts"),
    ({"texts": ["good", "bad"], "ids": ["a", "a"]}, "Each id should be given once; found 'a' again"),
    ({"texts": ["good"], "ids": [0]}, "found 0 again. .*remove"),
    ({"texts": ["good"], "metadata": []}, "metadata should be 1, one for each text; found 0"),
    ({"texts": ["good"], "metadata": [{1, 2}]}, "what JSON can hold"),
    ({"texts": ["good"], "metadata": [float("nan")]}, "what JSON can hold"),
    ({"texts": ["good"], "metadata": ["\ud83d"]}, "what JSON can hold"),
]


@pytest.mark.parametrize(("given", "message"), ADDED)
def test_what_cannot_be_added_changes_nothing(given: dict[str, Any], message: str, model: StaticModel) -> None:
    index = Index(model)
    index.add(["good", "day"])
    before = index.search(QUERIES)
    with pytest.raises(InvalidInputError, match=message):
        index.add(**given)
    assert (len(index), list(index), index.search(QUERIES)) == (2, [0, 1], before)
    assert index.add("bad") == [2]


SEARCHED: list[tuple[dict[str, Any], str]] = [
    ({}, "a query, or vectors of queries; found neither"),
    ({"query": 3}, "found int"),
    ({"query": "good", "k": 0}, "k should be a whole number, 1 or more; found 0"),
    ({"query": "good", "k": 2.0}, "k should be"),
    ({"query": "good", "mode": "sparse"}, "mode should be one of dense, lexical, hybrid"),
    ({"query": "good", "mode": "lexical"}, "an index made with lexical=True"),
    ({"query": "good", "mode": "hybrid"}, "an index made with lexical=True"),
    ({"query": "good", "filter": 3}, "filter should be a mapping"),
    ({"vectors": [[1, 2]]}, "vectors should have 8 dimensions"),
    ({"vectors": [np.nan] * 8}, "NaN or infinity in row 0"),
    ({"query": ["good"], "vectors": [[1] * 8] * 2}, "found 1 queries and 2 vectors"),
]


@pytest.mark.parametrize(("given", "message"), SEARCHED)
def test_what_cannot_be_searched(given: dict[str, Any], message: str, model: StaticModel) -> None:
    index = Index(model)
    index.add(["good", "day"])
    with pytest.raises(InvalidInputError, match=message):
        index.search(**given)


def test_what_cannot_be_removed_changes_nothing(model: StaticModel) -> None:
    index = Index(model)
    index.add(["good", "day"])
    for wrong in ("a", [0, 5], True):
        with pytest.raises(InvalidInputError, match="an id of the index; found"):
            index.remove(wrong)  # type: ignore[arg-type]
    assert list(index) == [0, 1]
    with pytest.raises(InvalidInputError, match="an id of the index; found 9"):
        index.metadata(9)


def test_what_is_no_index() -> None:
    with pytest.raises(InvalidInputError, match=r"dtype should be one of float32, .*Did you mean 'float32'"):
        Index(dtype="float3")
    with pytest.raises(InvalidInputError, match="model should be a StaticModel"):
        Index(3)  # type: ignore[arg-type]
    for texts in ([3], ["good", None]):
        with pytest.raises(InvalidInputError, match=r"found .* at index"):
            Index(make_model()).search(texts)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="adapt=True is for an index with a model"):
        Index(adapt=True)
    bare = Index()
    for text in (["good"], "good"):
        with pytest.raises(InvalidInputError, match="no model to embed texts"):
            bare.add(text)
    bare.add(vectors=[[1, 2]])
    with pytest.raises(InvalidInputError, match="no model to embed queries"):
        bare.search("good")
    with pytest.raises(InvalidInputError, match="should have 2 dimensions"):
        bare.add(vectors=[[1, 2, 3]])


def test_a_folder_in_place_of_a_model(model: StaticModel, tmp_path: Any) -> None:
    model.save_pretrained(tmp_path)
    index, same = Index(tmp_path), Index(str(tmp_path))
    index.add("good day")
    same.add("good day")
    assert index.search("good") == same.search("good")
    assert repr(index) == "Index(1 entries, dim=8, dtype=float32)"


def test_many_threads_may_search(model: StaticModel) -> None:
    index = Index(model)
    index.add(texts_of(500), metadata=range(500))
    expected = [index.search(query, filter=lambda row, about: about % 2 == 0) for query in QUERIES]
    found: list[Any] = []

    def work() -> None:
        for _ in range(20):
            found.append([index.search(query, filter=lambda row, about: about % 2 == 0) for query in QUERIES])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 80
