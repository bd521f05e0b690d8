"""How good a model is at search: nDCG, MRR and recall on a judged collection."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from m2v_core import checks
from m2v_core.data.columns import as_text, place_of, read_columns
from m2v_core.errors import InvalidInputError, ModelNotFoundError
from m2v_core.measures import ndcg, recall, reciprocal_rank
from m2v_core.search.encoders import document_vectors, query_vectors
from m2v_core.search.entries import Id
from m2v_core.search.index import Index
from m2v_core.tokenize.bad_texts import check_texts

#: What is relevant to a query: ids, or ids with their gains.
Relevant = Mapping[Id, float] | Collection[Id]

#: Files of judgements in a folder in the layout of BEIR.
_JUDGEMENTS = ("qrels.tsv", "qrels/test.tsv", "qrels/dev.tsv")


@dataclass(frozen=True, kw_only=True, eq=False)
class RetrievalEvaluator:
    """Measures search of documents by queries with known relevant documents, exactly and by cosine.

    Arguments have the form that sentence-transformers' `InformationRetrievalEvaluator` takes. Queries without a
    relevant document do not count.

    Args:
        queries: Queries by id.
        corpus: Documents by id.
        relevant: For each query's id the ids of relevant documents; or their gains, of which 0 is for a document that
            is not relevant.
        k: Number of hits that count in nDCG and MRR.
        recall_k: Number of hits that count in recall.
        truncate_dim: Number of first dimensions to compare; `None` for all.

    Raises:
        InvalidInputError: Ids are unknown, there is no query with a relevant document, or an option is out of range.

    Example:
        >>> evaluator = RetrievalEvaluator(
        ...     queries={"q": "good"}, corpus={"a": "day", "b": "good day"}, relevant={"q": ["b"]}
        ... )
        >>> evaluator(tiny_model())
        {'ndcg@10': 1.0, 'mrr@10': 1.0, 'recall@100': 1.0}
    """

    queries: Mapping[Id, str]
    corpus: Mapping[Id, str]
    relevant: Mapping[Id, Any]
    k: int = 10
    recall_k: int = 100
    truncate_dim: int | None = None

    def __post_init__(self) -> None:
        for name in ("k", "recall_k"):
            checks.whole(name, getattr(self, name), 1)
        checks.whole("truncate_dim", self.truncate_dim, 1, or_none=True)
        for name in ("queries", "corpus", "relevant"):
            checks.expect(isinstance(getattr(self, name), Mapping), name, "a mapping of ids", getattr(self, name))
        for name in ("queries", "corpus"):
            check_texts(list(getattr(self, name).values()))
        for query in self.queries:
            for document in self.relevant.get(query, ()):
                if document not in self.corpus:
                    raise InvalidInputError(
                        f"relevant[{query!r}] should hold ids of the corpus; found {checks.shown(document)}. Leave it "
                        f"out, or add the document."
                    )
        if not any(max(gains.values(), default=0) > 0 for gains in self._gains()):
            raise InvalidInputError("relevant should hold a relevant document of a query at least; found none.")

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> Self:
        """Read a collection in the layout of BEIR.

        Args:
            folder: Has `corpus.jsonl` (`_id`, `title` if there is one, `text`), `queries.jsonl` (`_id`, `text`), and
                judgements (`query-id`, `corpus-id`, `score`) in `qrels.tsv`, `qrels/test.tsv` or `qrels/dev.tsv`.
            **options: k, recall_k and truncate_dim.

        Returns:
            The evaluator. Its queries are those with judgements of documents that the corpus has.

        Raises:
            ModelNotFoundError: A file is missing.
            InvalidInputError: A file is not of this layout.
        """
        folder = checks.path("folder", folder)
        judgements = next((name for name in _JUDGEMENTS if (folder / name).is_file()), _JUDGEMENTS[0])
        for name in ("corpus.jsonl", "queries.jsonl", judgements):
            if not (folder / name).is_file():
                raise ModelNotFoundError(
                    f"{folder}: expected a collection in the layout of BEIR (corpus.jsonl, queries.jsonl, qrels.tsv); "
                    f"found no {name}."
                )
        corpus: dict[Id, str] = dict(_texts(folder / "corpus.jsonl"))
        queries = dict(_texts(folder / "queries.jsonl"))
        relevant: dict[Id, dict[Id, float]] = {}
        for number, (query, document, score) in read_columns(folder / judgements, ["query-id", "corpus-id", "score"]):
            if query not in queries:
                raise InvalidInputError(
                    f"{folder / judgements}, line {number}: expected a query of queries.jsonl; found {query!r:.60}."
                )
            if document in corpus:
                relevant.setdefault(query, {})[document] = _gain(score, folder / judgements, number)
        judged: dict[Id, str] = {str(query): queries[str(query)] for query in relevant}
        return cls(queries=judged, corpus=corpus, relevant=relevant, **options)

    def __call__(self, model: Any) -> dict[str, float]:
        """Measure a model: means over queries of "ndcg@k", "mrr@k" and "recall@k", from 0 to 1.

        Args:
            model: A static model, a pipeline or an estimator for vectors, a teacher, or anything else with `encode`.

        Raises:
            InvalidInputError: The model gives no vectors.
        """
        found, gains = self.ranked(model), self._gains()
        measures = {
            f"ndcg@{self.k}": ndcg(found, gains, self.k),
            f"mrr@{self.k}": reciprocal_rank(found, gains, self.k),
            f"recall@{self.recall_k}": recall(found, gains, self.recall_k),
        }
        return {name: float(values.mean()) for name, values in measures.items()}

    def ranked(self, model: Any) -> list[list[Id]]:
        """The ids of the nearest documents of each query, the nearest first."""
        documents = document_vectors(model, list(self.corpus.values()))[:, : self.truncate_dim]
        queries = query_vectors(model, list(self.queries.values()))[:, : self.truncate_dim]
        index, ids = Index(), list(self.corpus)
        index.add(vectors=documents)
        rows = index.search_arrays(vectors=queries, k=max(self.k, self.recall_k)).rows
        return [[ids[row] for row in found if row >= 0] for found in rows.tolist()]

    def digest(self) -> str:
        """SHA-256 of texts, judgements and options: equal for evaluators that measure the same."""
        import hashlib

        texts = [list(map(str, part.items())) for part in (self.queries, self.corpus)]
        judged = [sorted(map(str, gains.items())) for gains in self._gains()]
        content = [texts, judged, self.k, self.recall_k, self.truncate_dim]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _gains(self) -> list[Mapping[Id, float]]:
        """The gains of documents, for each query."""
        found: Sequence[Relevant] = [self.relevant.get(query, {}) for query in self.queries]
        return [each if isinstance(each, Mapping) else dict.fromkeys(each, 1.0) for each in found]


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Ids and texts of a file of queries or documents; a title, if the first one has it, comes before each text."""
    with path.open(encoding="utf-8") as file:
        columns = ["title", "text"] if '"title"' in file.readline() else ["text"]
    for number, (name, *parts) in read_columns(path, ["_id", *columns]):
        yield str(name), " ".join(as_text(part, place_of(path), number) for part in parts).strip()


def _gain(score: str, path: Path, number: int) -> float:
    try:
        return float(score)
    except ValueError:
        raise InvalidInputError(f"{path}, line {number}: expected a number as score; found {score!r:.60}.") from None
