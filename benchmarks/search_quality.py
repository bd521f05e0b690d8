"""How good is search: nDCG@10 of vectors, of words, and of both, by each way to join them.

MODEL is a folder, or org/name. The collection is Cranfield by default (`cranfield/` in the folder of real text, see
CONTRIBUTING.md), or a folder in the layout of BEIR: `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv`.

The queries are split into two halves by turns: settings were chosen on the first, and the second confirms them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from records import Measured, add_json, write
from search_collections import DATA, Collection, Found, K, beir, cranfield

from m2v_core import StaticModel
from m2v_core.search import Index, lexical, ranking
from m2v_core.search.words import words


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


def table(title: str, model: StaticModel, collection: Collection) -> list[Measured]:
    """Print the rows of a model; returns nDCG@10 of all queries and of both halves."""
    measured: list[Measured] = []

    def measure(name: str, collection: Collection, found: Found) -> None:
        scores = collection.ndcg(found)
        values = {"all": scores.mean(), "first half": scores[::2].mean(), "second half": scores[1::2].mean()}
        print("|", " | ".join([name, *(f"{value:.1f}" for value in values.values())]), "|", flush=True)
        measured.extend(Measured(title, name, f"nDCG@10, {part}", (float(value),)) for part, value in values.items())

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
    return measured


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", nargs="+")
    parser.add_argument("--collection", type=Path, default=DATA / "cranfield", help="default: %(default)s")
    add_json(parser)
    args = parser.parse_args()
    found = []
    folder: Path = args.collection
    collection = beir(folder) if (folder / "corpus.jsonl").exists() else cranfield(folder)
    for name in args.model:
        print(f"\n| {name} on {folder.name}: nDCG@10 | all | first half | second half |\n| --- | --- | --- | --- |")
        found += table(f"{Path(name).name} on {folder.name}", StaticModel.from_pretrained(name), collection)
    write(args.json, "search_quality", found)


if __name__ == "__main__":
    main()
