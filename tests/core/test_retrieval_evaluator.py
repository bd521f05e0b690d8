"""Measures of rankings, and the evaluator that makes rankings by a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from conftest import make_model
from m2v_core.errors import InvalidInputError, ModelNotFoundError
from m2v_core.measures import ndcg, recall, reciprocal_rank
from m2v_core.search import RetrievalEvaluator
from m2v_core.vectors import unit

CORPUS = {"a": "good day", "b": "bad day", "c": "sunny", "d": "sun", "e": "unable", "f": ""}
QUERIES = {"q": "good sunny day", "r": "bad", "s": "days", "t": "good good"}
RELEVANT = {"q": {"a": 3, "c": 1, "e": 0}, "r": ["b"], "s": {"e", "d"}}


def test_ndcg_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    for k in (3, 10):
        gains = draw.integers(0, 4, size=(8, 20)) * (draw.random((8, 20)) < 0.4)
        gains[3] = 0  # nothing is relevant: the query does not count
        scores = draw.normal(size=(8, 20))
        found = np.argsort(-scores, axis=1).tolist()
        mine = ndcg(found, [dict(enumerate(row)) for row in gains], k)
        kept = [0, 1, 2, 4, 5, 6, 7]
        expected = [ndcg_score(gains[[row]], scores[[row]], k=k) for row in kept]
        np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_rank_and_recall() -> None:
    found, gains = [["a", "b", "c"], ["b", "a"], []], [{"b": 1.0, "c": 2.0}, {"c": 1.0, "b": 0.0}, {"a": 1.0}]
    assert reciprocal_rank(found, gains).tolist() == [1 / 2, 0, 0]
    assert reciprocal_rank(found, gains, k=1).tolist() == [0, 0, 0]
    assert recall(found, gains).tolist() == [1, 0, 0]
    assert recall(found, gains, k=2).tolist() == [1 / 2, 0, 0]
    assert ndcg(found, [{}, {}, {}]).tolist() == []


@pytest.mark.parametrize("width", [None, 3])
def test_an_evaluator_ranks_by_cosine(width: int | None) -> None:
    """Beside a ranking by all cosines; texts without a token are never found."""
    model = make_model()
    evaluator = RetrievalEvaluator(
        queries=QUERIES, corpus=CORPUS, relevant=RELEVANT, k=2, recall_k=3, truncate_dim=width
    )
    texts = list(CORPUS.values())[:5]
    documents, queries = (unit(model.encode(x)[:, :width]) for x in (texts, list(QUERIES.values())))
    order = np.argsort(-(queries @ documents.T), axis=1, kind="stable")
    expected = [["abcde"[row] for row in rows[:3]] for rows in order]
    assert evaluator.ranked(model) == expected
    gains = [RELEVANT["q"], {"b": 1}, {"e": 1, "d": 1}]
    assert evaluator(model) == {
        "ndcg@2": ndcg(expected[:3], gains, 2).mean(),
        "mrr@2": reciprocal_rank(expected[:3], gains, 2).mean(),
        "recall@3": recall(expected[:3], gains, 3).mean(),
    }


def test_anything_that_embeds_texts() -> None:
    """Queries and documents are embedded by methods of their own, if there are any."""

    class Model:
        def encode(self, texts: list[str]) -> Any:
            return [[1.0, 0.0] if "good" in text else [0.0, 1.0] for text in texts]

        def encode_query(self, texts: list[str]) -> Any:
            return np.array(self.encode(texts))[:, ::-1]

    evaluator = RetrievalEvaluator(queries={1: "good"}, corpus={7: "good day", 8: "bad"}, relevant={1: [8]})
    assert evaluator.ranked(Model()) == [[8, 7]]
    with pytest.raises(InvalidInputError, match="Expected a model that embeds texts, with a method encode; found int"):
        evaluator(3)

    class Labels:
        def predict(self, texts: list[str]) -> Any:
            return np.array(texts)

    with pytest.raises(InvalidInputError, match=r"Expected vectors \[2, dimensions\] from Labels; found shape \(2,\)"):
        evaluator(Labels())


def write_collection(folder: Path, judgements: str = "qrels/test.tsv", *, titles: bool = True) -> Path:
    title = {"title": "T"} if titles else {}
    corpus = "".join(json.dumps({"_id": name, **title, "text": text}) + "\n" for name, text in CORPUS.items())
    (folder / "corpus.jsonl").write_text(corpus)
    queries = "".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in QUERIES.items())
    (folder / "queries.jsonl").write_text(queries)
    (folder / judgements).parent.mkdir(exist_ok=True)
    (folder / judgements).write_text("query-id\tcorpus-id\tscore\nr\tb\t1\nq\ta\t3\nq\tgone\t1\nq\tc\t0\n")
    return folder


@pytest.mark.parametrize("titles", [True, False])
def test_a_folder_in_the_layout_of_beir(tmp_path: Path, titles: bool) -> None:
    evaluator = RetrievalEvaluator.from_folder(write_collection(tmp_path, titles=titles), k=3)
    assert evaluator.queries == {"r": "bad", "q": "good sunny day"}
    assert evaluator.corpus == {n: f"T {text}".strip() if titles else text for n, text in CORPUS.items()}
    assert evaluator.relevant == {"r": {"b": 1.0}, "q": {"a": 3.0, "c": 0.0}}
    assert list(evaluator(make_model())) == ["ndcg@3", "mrr@3", "recall@100"]
    again = RetrievalEvaluator.from_folder(tmp_path, k=3)
    assert again.digest() == evaluator.digest() != RetrievalEvaluator.from_folder(tmp_path).digest()


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"layout of BEIR .* found no corpus\.jsonl"):
        RetrievalEvaluator.from_folder(tmp_path)
    write_collection(tmp_path, "qrels.tsv")
    with (tmp_path / "qrels.tsv").open("a") as file:
        file.write("q\tb\tmuch\n")
    with pytest.raises(InvalidInputError, match=r"qrels\.tsv, line 6: expected a number as score; found 'much'"):
        RetrievalEvaluator.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevant": {"q": ["z"]}}, r"relevant\['q'\] should hold ids of the corpus; found 'z'"),
        ({"relevant": {"q": {"a": 0}}}, "should hold a relevant document of a query at least; found none"),
        ({"queries": ["good"]}, "queries should be a mapping of ids"),
        ({"corpus": {"a": 3}}, "Expected texts"),
        ({"k": 0}, "k should be a whole number, 1 or more; found 0"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        RetrievalEvaluator(**{"queries": QUERIES, "corpus": CORPUS, "relevant": RELEVANT, **change})
