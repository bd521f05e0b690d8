"""How good is search: nDCG@10 of vectors, of words, and of both, by each way to join them.

MODEL is a folder, or org/name. The collection is Cranfield by default (`cranfield/` in the folder of real text, see
CONTRIBUTING.md), or a folder in the layout of BEIR: `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv`.

The queries are split into two halves by turns: settings were chosen on the first, and the second confirms them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from m2v_core import StaticModel
from m2v_core.search import Index, lexical, ranking
from m2v_core.search.words import words

DATA = Path(os.environ.get("M2V_DATA", Path(__file__).parents[2] / "shared" / "data"))
K = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))

#: Rows of one query, the best first.
Found = list[list[int]]


@dataclass(frozen=True)
class Collection:
    """Texts, queries, and for each query the gain of texts by their rows."""

    texts: list[str]
    queries: list[str]
    gains: list[dict[int, float]]

    def ndcg(self, found: Found) -> NDArray[np.float64]:
        """nDCG@10 x 100 of each query that has a text with a gain."""
        scores = []
        for rows, gains in zip(found, self.gains, strict=True):
            ideal = sorted(gains.values(), reverse=True)[:K]
            if ideal and ideal[0] > 0:
                got = [gains.get(row, 0) for row in rows[:K]]
                scores.append(100 * (got @ _DISCOUNTS[: len(got)]) / (ideal @ _DISCOUNTS[: len(ideal)]))
        return np.array(scores)


def cranfield(folder: Path) -> Collection:
    """The Cranfield collection, whose judgements number the queries by their order; a gain is 5 less the code."""

    def records(name: str) -> Iterator[tuple[str, dict[str, str]]]:
        text = (folder / name).read_text(encoding="latin-1")
        for record in re.split(r"^\.I\s+", text, flags=re.MULTILINE)[1:]:
            number, *fields = re.split(r"^\.([TABW])\s*$", record, flags=re.MULTILINE)
            yield (
                number.strip(),
                {key: " ".join(value.split()) for key, value in zip(fields[::2], fields[1::2], strict=True)},
            )

    documents = dict(records("cran.all.1400"))
    rows = {name: row for row, name in enumerate(documents)}
    queries = [fields["W"] for _, fields in records("cran.qry")]
    gains: list[dict[int, float]] = [{} for _ in queries]
    for line in (folder / "cranqrel").read_text(encoding="ascii").splitlines():
        query, document, code = line.split()[:3]
        gains[int(query) - 1][rows[document]] = 5 - int(code) if 1 <= int(code) <= 4 else 0
    texts = [f"{fields.get('T', '')} {fields.get('W', '')}" for fields in documents.values()]
    return Collection(texts, queries, gains)


def beir(folder: Path) -> Collection:
    """A collection in the layout of BEIR, whose test queries are those with judgements."""
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
    rows = {each["_id"]: row for row, each in enumerate(corpus)}
    judged: dict[str, dict[int, float]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            if line["corpus-id"] in rows:
                judged.setdefault(line["query-id"], {})[rows[line["corpus-id"]]] = float(line["score"])
    queries = {each["_id"]: each["text"] for each in map(json.loads, (folder / "queries.jsonl").open(encoding="utf-8"))}
    texts = [f"{each.get('title', '')} {each['text']}" for each in corpus]
    return Collection(texts, [queries[name] for name in judged], list(judged.values()))


def reciprocal_ranks(lists: Sequence[list[int]], constant: int = 60) -> list[int]:
    """The rows of several lists by the sum of 1 / (constant + rank) (Cormack, Clarke and Buettcher 2009)."""
    totals: dict[int, float] = {}
    for rows in lists:
        for rank, row in enumerate(rows, 1):
            totals[row] = totals.get(row, 0) + 1 / (constant + rank)
    return sorted(totals, key=lambda row: (-totals[row], row))


def rows_of(index: Index, queries: list[str], mode: str, k: int = K) -> Found:
    """The rows of hits."""
    return [[int(row) for row in rows if row >= 0] for rows in index.search_arrays(queries, k, mode=mode).rows]


def measure(name: str, collection: Collection, found: Found) -> None:
    """Print a row of the table."""
    scores = collection.ndcg(found)
    print(f"| {name} | {scores.mean():.1f} | {scores[::2].mean():.1f} | {scores[1::2].mean():.1f} |", flush=True)


def table(model: StaticModel, collection: Collection) -> None:
    """Print the rows of a model."""
    kinds: dict[str, Callable[[str], Iterator[str]]] = {
        "token ids of the model": lambda text: map(str, model.tokenize(text)),
        "words": lambda text: (word for word in words(text) if not word.endswith("*")),
        "words and their first five letters": words,
    }
    for adapt in (False, True):
        weighted = ", adapt=True" if adapt else ""
        for kind, split in kinds.items():
            with patch.object(lexical, "words", split):
                index = Index(model, lexical=True, adapt=adapt)
                index.add(collection.texts)
                if split is kinds["token ids of the model"]:
                    measure(f"vectors{weighted}", collection, rows_of(index, collection.queries, "dense"))
                if not adapt:
                    measure(f"BM25 of {kind}", collection, rows_of(index, collection.queries, "lexical"))
                for n in (100, ranking.CANDIDATES, 1000):
                    with patch.object(ranking, "CANDIDATES", n):
                        found = rows_of(index, collection.queries, "hybrid")
                    measure(f"both{weighted}, {kind}: sum of z-scores of the best {n}", collection, found)
                parts = [rows_of(index, collection.queries, mode, 100) for mode in ("dense", "lexical")]
                joined = [reciprocal_ranks(lists) for lists in zip(*parts, strict=True)]
                measure(f"both{weighted}, {kind}: reciprocal ranks", collection, joined)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", nargs="+")
    parser.add_argument("--collection", type=Path, default=DATA / "cranfield", help="default: %(default)s")
    args = parser.parse_args()
    folder: Path = args.collection
    collection = beir(folder) if (folder / "corpus.jsonl").exists() else cranfield(folder)
    for name in args.model:
        print(f"\n| {name} on {folder.name}: nDCG@10 | all | first half | second half |\n| --- | --- | --- | --- |")
        table(StaticModel.from_pretrained(name), collection)


if __name__ == "__main__":
    main()
