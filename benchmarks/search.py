"""Exact search in a million vectors, beside faiss, usearch and vicinity, in one process and in turn.

The vectors are those of texts that are made of the words of two tweets each, by a student of all-MiniLM-L6-v2 or
another model; or random ones, which are as far from each other as can be and the worst case for recall. `np.dot` is
the product with the same bytes, without looking for the best: the limit of what numpy can do. The peers are left out
where they are missing: pip install faiss-cpu usearch vicinity
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from processes import models
from records import Measured, add_json, ratio, write
from texts import tweets

from m2v_core import StaticModel
from m2v_core.search import Index

DATA = Path(os.environ.get("M2V_DATA", Path(__file__).parents[2] / "shared" / "data"))
K = 10
TIMES = ("one query, ms", "100 queries, ms")
DTYPES = ("float32", "float16", "int8", "binary")

#: Takes queries [q, D], and returns the rows [q, k] that it found, or `None` if it looks for none.
Search = Callable[[NDArray[np.float32]], NDArray[Any] | None]


def made_of_two(texts: list[str], n: int, draw: np.random.Generator) -> list[str]:
    """Texts of about the words of one tweet, half of them of another."""
    first, second = draw.integers(0, len(texts), (2, n))
    made = []
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        words, more = texts[one].split(), texts[other].split()
        made.append(" ".join(words[: len(words) // 2] + more[len(more) // 2 :]))
    return made


def vectors_of(args: argparse.Namespace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows [n, D] and queries [100, D] of unit length."""
    draw = np.random.default_rng(0)
    if args.random:
        rows = draw.normal(size=(args.n + 100, args.random)).astype(np.float32)
    else:
        texts = made_of_two(tweets(args.data), args.n + 100, draw)
        with models(args.data, ["student"], None) if args.model is None else nullcontext() as folder:
            rows = StaticModel.from_pretrained(args.model or folder / "student").encode(texts)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows[100:], rows[:100]


def ours(rows: NDArray[np.float32], dtype: str) -> tuple[Search, int]:
    """An index, and the bytes of its vectors."""
    index = Index(dtype=dtype)
    index.add(vectors=rows)
    table = index._rows.table
    assert table is not None  # noqa: S101 - it has rows
    return lambda queries: index.search_arrays(vectors=queries, k=K).rows, table.nbytes


def peers(rows: NDArray[np.float32]) -> dict[str, Search]:
    """The peers that are installed."""
    found: dict[str, Search] = {}
    try:
        import faiss

        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)
        found["faiss IndexFlatIP"] = lambda queries: index.search(queries, K)[1]
    except ImportError:
        print("faiss is left out: pip install faiss-cpu")
    try:
        from usearch.index import MetricKind, search

        usearch = partial(search, rows, count=K, metric=MetricKind.IP, exact=True)
        found["usearch exact"] = lambda queries: np.atleast_2d(usearch(query=queries).keys)
    except ImportError:
        print("usearch is left out: pip install usearch")
    try:
        from vicinity import Backend, Vicinity

        items = list(range(len(rows)))
        vicinity = Vicinity.from_vectors_and_items(rows, items, backend_type=Backend.BASIC, metric="cosine")
        found["vicinity basic"] = lambda queries: np.array(
            [[i for i, _ in hits] for hits in vicinity.query(queries, k=K)]
        )
    except ImportError:
        print("vicinity is left out: pip install vicinity")
    return found


def recall(found: NDArray[Any], exact: NDArray[Any]) -> float:
    """The share of the k best that were found."""
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))


def seconds(search: Search, queries: NDArray[np.float32]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    search(queries)
    return time.perf_counter() - start


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="the model that embeds texts; default: a student, distilled on the spot")
    parser.add_argument("--random", type=int, metavar="D", help="random vectors of D dimensions in place of texts")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of real text; default: %(default)s")
    parser.add_argument("-n", type=int, default=1_000_000, help="vectors; default: %(default)s")
    parser.add_argument("--runs", type=int, default=5, help="default: %(default)s")
    add_json(parser)
    args = parser.parse_args()
    rows, queries = vectors_of(args)
    searches: dict[str, Search] = {
        "a plain read, one thread": lambda _: rows.reshape(-1).view(np.int64).sum() and None,
        "np.dot": lambda some: np.dot(rows, some[0] if len(some) == 1 else some.T) is None or None,
    }
    sizes = dict.fromkeys(searches, rows.nbytes)
    for dtype in DTYPES:
        searches[f"m2v {dtype}"], sizes[f"m2v {dtype}"] = ours(rows, dtype)
    for name, search in peers(rows).items():
        searches[name], sizes[name] = search, rows.nbytes
    exact = searches["m2v float32"](queries)
    assert exact is not None  # noqa: S101 - it has rows
    every = {name: search(queries) for name, search in searches.items()}
    recalls = {name: recall(found, exact) for name, found in every.items() if found is not None}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in searches}
    for run in range(args.runs):
        for name, search in searches.items():
            search(queries[:1])  # what ran before, and the memory that it gave back, slows a first call
            times[name].append((seconds(search, queries[run : run + 1]), seconds(search, queries)))
    case = f"{len(rows):,} vectors of {rows.shape[1]} dimensions"
    measured = {
        (name, measure): Measured(case, name, measure, tuple(1e3 * run[place] for run in found))
        for name, found in times.items()
        for place, measure in enumerate(TIMES)
    }
    print(f"\n{case}, k = {K}, median (range) of {args.runs} calls in turn\n")
    print("| | MB | recall | one query, ms | / m2v float32 | 100 queries, ms | / m2v float32 |")
    print("|" + " --- |" * 7)
    for name in times:
        cells = [name, f"{sizes[name] / 1e6:.0f}", f"{recalls[name]:.3f}" if name in recalls else ""]
        for measure in TIMES:
            one = measured[name, measure]
            cells.append(f"{one.median:.1f} ({min(one.values):.1f} to {max(one.values):.1f})")
            cells.append(f"{ratio(one, measured['m2v float32', measure]):.2f}")
        print("| " + " | ".join(cells) + " |")
    values = list(measured.values())
    values += [Measured(case, name, "size, MB", (size / 1e6,)) for name, size in sizes.items()]
    values += [Measured(case, name, "recall@10", (share,)) for name, share in recalls.items()]
    write(args.json, "search", values, settings={"n": args.n, "runs": args.runs})


if __name__ == "__main__":
    main()
