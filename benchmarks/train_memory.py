"""Peak memory of a fit of pairs in a file, beside that of the same pairs in lists.

MODEL is a folder, or org/name. Each size is a process of its own, which writes a Parquet file of pairs, the words of
tweets drawn at random, and trains one epoch on it. Words are few, so that all sizes train as many rows of the table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from texts import tweets

from m2v_core import StaticModel
from m2v_train import FileColumn, StaticModelForPairSimilarity

DATA = Path(os.environ.get("M2V_DATA", Path(__file__).parents[2] / "shared" / "data"))
_ROWS = 50_000


def write(path: Path, n: int) -> None:
    """Write n pairs of about ten words each, in parts."""
    words = np.array(sorted({word for text in tweets(DATA)[:5000] for word in text.split()}), object)
    schema = pa.schema([("a", pa.string()), ("b", pa.string())])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, n, _ROWS):
            draw = np.random.default_rng(start)
            chosen = words[draw.integers(len(words), size=(2 * min(_ROWS, n - start), 10))]
            texts = [" ".join(row) for row in chosen]
            writer.write_table(pa.table({"a": texts[::2], "b": texts[1::2]}, schema))


def fit(model: str, n: int, kind: str) -> dict[str, object]:
    """Train one epoch; peak memory in MB as the operating system counts it, and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.parquet"
        write(path, n)
        options = {"n_layers": 0, "max_epochs": 1, "batch_size": 512, "show_progress_bar": False}
        estimator = StaticModelForPairSimilarity(StaticModel.from_pretrained(model), **options)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        if kind == "file":
            estimator.fit(FileColumn(path, "a"), FileColumn(path, "b"), tokens_dir=Path(folder) / "tokens")
        else:
            table = parquet.read_table(path)
            estimator.fit(table["a"].to_pylist(), table["b"].to_pylist())
        seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = sum(file.stat().st_size for file in (Path(folder) / "tokens").glob("*"))
    loss = estimator.history_[-1]["val_loss"]
    return {"before": before / 1e3, "peak": peak / 1e3, "seconds": seconds, "tokens": size / 1e6, "loss": loss}


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 2_000_000], metavar="N", help="pairs")
    parser.add_argument("--kinds", nargs="+", choices=["file", "lists"], default=["file", "lists"])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(fit(args.model, args.sizes[0], args.kinds[0])))
        return
    print("| pairs | from | MB before | peak MB | MB of token ids on disk | seconds | loss |\n" + "| --- " * 7 + "|")
    for kind in args.kinds:
        for n in args.sizes:
            command = [sys.executable, __file__, args.model, "--sizes", str(n), "--kinds", kind, "--one"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            cells = [f"{found[name]:.0f}" for name in ("before", "peak", "tokens", "seconds")]
            print(f"| {n:,} | {kind} | {' | '.join(cells)} | {found['loss']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
