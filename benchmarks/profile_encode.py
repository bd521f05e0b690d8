"""Where `encode` spends its time, line by line, on one core: `profile_encode.py MODEL DATA`, with line_profiler.

First a table of its steps, warm and cold, without a profiler; then the lines that take more than a fiftieth of a step.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from line_profiler import LineProfiler
from texts import tweets

from m2v_core import StaticModel
from m2v_core.encode import pool, rows
from m2v_core.tokenize import backend, pieces, splitting, tokens, word_cache

#: Each step of encode: who calls it by what name.
STEPS: dict[str, tuple[Any, str]] = {
    "encode the texts": (tokens, "encoded"),
    "split at spaces": (tokens, "split"),
    "hash the pieces": (tokens, "hashed"),
    "look them up": (word_cache.WordCache, "find"),
    "find the new ones that are equal": (pieces.PieceKeys, "representatives"),
    "tokenise the new ones": (backend.Backend, "ids_of_texts"),
    "add them to the cache": (word_cache.WordCache, "add"),
    "rows as float32": (rows.Rows, "of"),
    "gather and add rows": (pool, "_sums"),
    "all of tokens": (tokens.TextTokenizer, "__call__"),
    "all of pooling": (pool, "embed"),
}
LINES = (
    tokens.TextTokenizer._batch,
    tokens.TextTokenizer._add_missing,
    splitting.Splitting.safe,
    backend.Backend.ids_of_words,
    pieces.split,
    pieces.hashed,
    word_cache.WordCache.find,
    word_cache._Table.probe,
    pool.embed,
    pool._run_sums,
)


@contextmanager
def timed(spent: dict[str, float]) -> Any:
    """Add the seconds of each step to `spent`."""
    originals = {name: getattr(*where) for name, where in STEPS.items()}

    def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent[name] = spent.get(name, 0) + time.perf_counter() - started

        return call

    for name, (owner, attribute) in STEPS.items():
        setattr(owner, attribute, wrapped(name, originals[name]))
    try:
        yield
    finally:
        for name, (owner, attribute) in STEPS.items():
            setattr(owner, attribute, originals[name])


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a folder")
    parser.add_argument("data", type=Path, help="the folder of real text; see CONTRIBUTING.md")
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    texts = tweets(args.data)

    def encode(model: StaticModel) -> float:
        started = time.perf_counter()
        model.encode(texts, use_multiprocessing=False)
        return time.perf_counter() - started

    def fresh() -> StaticModel:
        model = StaticModel.from_pretrained(args.model)
        model.encode("good day")
        return model

    encode(fresh())  # what is slow only once in a process
    columns: list[dict[str, float]] = []
    for model, repeats in ((fresh(), 1), (fresh(), 6)):
        spent: dict[str, float] = {}
        for _ in range(repeats):
            spent.clear()  # the last one counts
            with timed(spent):
                spent["encode"] = encode(model)
        columns.append(spent)
    print(f"{len(texts)} tweets on one core, microseconds for a text\n{'':36}{'cold':>8}{'warm':>8}")
    for name in (*STEPS, "encode"):
        print(f"{name:36}" + "".join(f"{column.get(name, 0) / len(texts) * 1e6:8.2f}" for column in columns))

    profiler, model = LineProfiler(*LINES), fresh()
    for title in ("cold", "warm"):
        profiler.enable_by_count()
        encode(model)
        profiler.disable_by_count()
        text = io.StringIO()
        with redirect_stdout(text):
            profiler.print_stats(output_unit=1e-6, stripzeros=True)
        print(f"\n=== {title}: line, calls, microseconds, each, % of the function")
        for line in text.getvalue().splitlines():
            cells = line.split()
            if line.startswith("Function:"):
                print(line)
            elif len(cells) > 5 and cells[0].isdigit() and cells[1].isdigit() and float(cells[4]) >= 2:
                print(line[:150])
        profiler = LineProfiler(*LINES)


if __name__ == "__main__":
    main()
