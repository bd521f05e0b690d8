"""What an engine adds to the embedding of files: time and memory, beside a plain loop of pyarrow (Linux).

    python benchmarks/embed.py MODEL --data DATA --python PYTHON

200,000 texts (tweets, each with a running number) in Parquet files are embedded and written by each engine in turn, in
a process of its own. Seconds, and CPU seconds of all its processes, are those of the job, in which the workers load the
model; the start of the engine before it is printed beside. Processes are looked at five times a second. Memory is
private (RssAnon): of a worker, which is a process that has the model mapped, the highest, and of all together, with the
shared memory of an object store.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import pyarrow as pa
from pyarrow import parquet
from records import Measured, add_json, write
from texts import tweets

from m2v_core import StaticModel
from m2v_core.embed import EmbedConfig
from m2v_core.embed.arrow import fixed_size_list, vector_type
from m2v_core.embed.batches import TextEmbedder
from m2v_core.embed.plan import digest_of
from m2v_core.embed.read import opened, regrouped
from m2v_core.embed.shard import shard_writer

HERE = Path(__file__).parent
N_FILES = 8
ENGINES = ("pyarrow", "m2v embed", "polars", "duckdb", "daft", "ray", "spark")
HEADER = (
    "engine",
    "seconds",
    "overhead",
    "CPU seconds",
    "overhead",
    "MB a worker",
    "MB together",
    "start",
    "its CPU seconds",
)


@dataclass
class Use:
    """What the processes of an engine use: the highest private memory of a worker, that of all, and CPU seconds."""

    worker: float = 0.0
    together: float = 0.0
    cpu: dict[int, float] = field(default_factory=dict)
    before: float = 0.0

    def sample(self, root: int, ready: Path) -> None:
        """Look at a process and all that it started; workers are those that have the model mapped.

        What is spent before there is a file `ready` is for the start.
        """
        private, shared, workers = [0.0], [0.0], {}
        for pid in descendants(root):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
                is_worker = "/model.safetensors" in Path(f"/proc/{pid}/maps").read_text()
                ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
            except (OSError, ProcessLookupError):  # it has ended
                continue
            if kilobytes:
                private.append(int(kilobytes["RssAnon"]) / 1e3)
                shared.append(int(kilobytes["RssShmem"]) / 1e3)
                self.cpu[pid] = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
                if is_worker:
                    workers[pid] = private[-1]
        if len(workers) > 1:
            workers.pop(root, None)  # it only plans
        self.worker = max([self.worker, *workers.values()])
        self.together = max(self.together, sum(private) + max(shared))
        if not ready.exists():
            self.before = sum(self.cpu.values())


def descendants(root: int) -> list[int]:
    """A process and all that it started."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ProcessLookupError):
            continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def measured(python: str, engine: str, model: str, inputs: str, cores: int, n_texts: int) -> dict[str, float] | None:
    """Run an engine once; None if it is not installed there."""
    with tempfile.TemporaryDirectory(prefix="m2v-bench-") as folder, tempfile.TemporaryFile("w+") as errors:
        command = [python, str(HERE / "embed_worker.py"), engine, model, inputs, f"{folder}/out", str(cores)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        use = Use()
        while process.poll() is None:
            use.sample(process.pid, Path(f"{folder}/out.ready"))
            time.sleep(0.2)
        answer = process.communicate()[0].splitlines()
        errors.seek(0)
        said = errors.read()
        if process.returncode and "MissingPackageError" in said:
            return None
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}\nfailed:\n{said}")
        n_rows = sum(parquet.read_metadata(path).num_rows for path in Path(folder).rglob("*.parquet"))
        if n_rows != n_texts:
            raise SystemExit(f"{engine} wrote {n_rows} rows.")
        spent = {"cpu": sum(use.cpu.values()) - use.before, "start_cpu": use.before}
        return {**json.loads(answer[-1]), **spent, "worker": use.worker, "together": use.together}


def write_inputs(data: Path, folder: Path, n_texts: int) -> str:
    """The texts as Parquet files with a column of numbers; returns the pattern of their names."""
    texts = [f"{text} {number}" for number, text in enumerate(islice(cycle(tweets(data)), n_texts))]
    step = n_texts // N_FILES
    for number in range(N_FILES):
        rows = slice(number * step, (number + 1) * step)
        parquet.write_table(
            pa.table({"id": range(rows.start, rows.stop), "text": texts[rows]}), folder / f"{number}.parquet"
        )
    return str(folder / "*.parquet")


def stages(model: str, pattern: str) -> dict[str, float]:
    """Microseconds of CPU for a text, by one thread, of each step of `m2v embed`, words of the first file known."""
    found = dict.fromkeys(("digest of the input", "read", "to Python", "embed", "write"), 0.0)
    embedder = TextEmbedder.of(StaticModel.from_pretrained(model, memory_map=True), EmbedConfig(), 1)
    first, *others = sorted(Path(pattern).parent.glob("*.parquet"))
    embedder(parquet.read_table(first).column("text").to_pylist())
    n_texts, clock = 0, time.process_time()

    def count(name: str) -> None:
        nonlocal clock
        found[name] += time.process_time() - clock
        clock = time.process_time()

    for path in others:
        digest_of(path)
        count("digest of the input")
        with opened(path, "text") as table, tempfile.TemporaryFile() as file:
            kind = vector_type(embedder.output.width, embedder.output.dtype)
            schema = table.schema.append(pa.field("vector", kind))
            with shard_writer(str(path), file, schema) as write:
                for rows in regrouped(table.batches, table.schema):
                    count("read")
                    texts = rows.column("text").to_pylist()
                    count("to Python")
                    vectors, _ = embedder(texts)
                    count("embed")
                    write([*rows.columns, fixed_size_list(vectors)])
                    n_texts += len(texts)
                    count("write")
        count("write")
    return {name: seconds / n_texts * 1e6 for name, seconds in found.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder")
    parser.add_argument("--data", type=Path, required=True, help="the folder of real text; see CONTRIBUTING.md")
    parser.add_argument("--python", default=sys.executable, help="the Python of an environment with the engines")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--texts", type=int, default=200_000, help="a multiple of 8")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=ENGINES, default=ENGINES)
    add_json(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m2v-bench-") as folder:
        inputs = write_inputs(args.data, Path(folder), args.texts)
        for name, microseconds in stages(args.model, inputs).items():
            print(f"{name:<20}{microseconds:8.2f} microseconds of CPU a text")
        turns: list[dict[str, dict[str, float]]] = []
        for _ in range(args.runs):
            found = {
                name: measured(args.python, name, args.model, inputs, args.cores, args.texts) for name in args.only
            }
            turns.append({name: values for name, values in found.items() if values})
    print("|", " | ".join(HEADER), "|")
    print("|", " | ".join("---" for _ in HEADER), "|")
    case = f"{args.texts:,} texts"
    measured = [
        Measured(case, name, key, tuple(turn[name][key] for turn in turns))
        for name in turns[0]
        for key in turns[0][name]
    ]
    write(args.json, "embed", measured, pythons={"engines": args.python}, settings={"cores": args.cores})
    for name in turns[0]:
        values = {key: median(turn[name][key] for turn in turns) for key in turns[0][name]}
        ratios = [median(turn[name][key] / turn[args.only[0]][key] for turn in turns) for key in ("seconds", "cpu")]
        cells = [f"{values['seconds']:.1f}", f"{ratios[0]:.2f}", f"{values['cpu']:.1f}", f"{ratios[1]:.2f}"]
        cells += [f"{values['worker']:.0f}", f"{values['together']:.0f}"]
        cells += [f"{values['start']:.1f}", f"{values['start_cpu']:.1f}"]
        print("|", " | ".join([name, *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
