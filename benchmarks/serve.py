"""`m2v serve` under load from a second process, beside `encode` in this process and FastAPI with model2vec.

Closed loops of 1, 8 and 64 connections, one tweet a request, all servers in turn in each round. Everything runs on
loopback, for a few seconds each.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from processes import models
from records import Measured, add_json, write

from m2v_core import StaticModel

HERE = Path(__file__).parent


MEASURES = {"p50": "ms", "p99": "ms", "cpu": "microseconds a request"}
#: Options of `m2v serve` that are measured beside the default: no batches of several requests.
OTHERS = (("max-batch", "1"),)


class Server(NamedTuple):
    """A row of the table: its name, the command that starts it, where to send requests, and with which format."""

    name: str
    command: Sequence[str]
    path: str = "/v1/embeddings"
    encoding: str = "float"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model", nargs="?", type=Path, help="folder of a model (default: a student of the real teacher)"
    )
    parser.add_argument("--peer", help="the Python of an environment with model2vec, fastapi and uvicorn")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of real text")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--texts", type=int, default=1, help="texts of a request")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="for each load")
    add_json(parser)
    options = parser.parse_args()
    texts = (options.data / "te_emoji_train_text.txt").read_text(encoding="utf-8").splitlines()[:20_000]
    made = models(options.data, ["student"], None) if options.model is None else nullcontext()
    with made as students, TemporaryDirectory(prefix="m2v-bench-") as folder:
        options.model = str(options.model or students / "student")
        found = compare(options, texts, Path(folder))
    settings = {"runs": options.runs, "seconds": options.seconds, "texts": options.texts}
    write(options.json, "serve", found, pythons={"server": options.peer}, settings=settings)


def compare(options: argparse.Namespace, texts: list[str], folder: Path) -> list[Measured]:
    """All servers in turn, for each number of connections."""
    groups = [texts[start : start + options.texts] for start in range(0, len(texts), options.texts)]
    files = {}
    for encoding in ("float", "base64"):
        files[encoding] = folder / encoding
        bodies = [json.dumps({"input": group, "encoding_format": encoding}) for group in groups]
        files[encoding].write_text("\n".join(bodies), encoding="utf-8")
    print(f"{'':34}{'connections':>12}{'texts a second':>26}{'p50 ms':>10}{'p99 ms':>10}{'CPU us':>10}", flush=True)
    rates = [in_process(options.model, groups, options.seconds) for _ in range(options.runs)]
    measured = show("encode in this process", None, rates, options.texts)
    servers = servers_of(options)
    for connections in options.connections:
        found: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
        for _ in range(options.runs):
            for server in servers:
                with running(server, options.model) as (port, process):
                    file = files[server.encoding]
                    load = [HERE / "serve_load.py", port, server.path, file, connections, options.seconds]
                    words = [sys.executable, *map(str, load)]
                    before = cpu_seconds(process)
                    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=options.seconds + 60)
                    result = json.loads(done.stdout)
                    result["cpu"] = (cpu_seconds(process) - before) / result["requests"] * 1e6
                    found[server.name].append(result)
        for name, runs in found.items():
            measured += show(name, connections, runs, options.texts)
    return measured


def servers_of(options: argparse.Namespace) -> list[Server]:
    """m2v serve, and FastAPI where there is an environment with it."""
    ours = [sys.executable, "-m", "m2v_core", "serve", options.model, "--port", "PORT"]
    servers = [
        Server("m2v serve", ours),
        Server("m2v serve, base64", ours, encoding="base64"),
        *(Server(f"m2v serve --{' '.join(other)}", [*ours, f"--{other[0]}", *other[1:]]) for other in OTHERS),
    ]
    if options.peer:
        command = [options.peer, "-m", "uvicorn", "serve_peer:app", "--app-dir", str(HERE), "--port", "PORT"]
        command += ["--log-level", "warning"]
        servers += [
            Server("FastAPI + model2vec, def", command),
            Server("FastAPI + model2vec, async def", command, path="/async/v1/embeddings"),
        ]
    return servers


@contextmanager
def running(server: Server, model: str) -> Iterator[tuple[int, int]]:
    """The port and the process id of a server that has started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [re.sub("^PORT$", str(port), word) for word in server.command]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "MODEL": model}) as process:
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.1)
            yield port, process.pid
        finally:
            process.terminate()


def cpu_seconds(process: int) -> float:
    """Seconds of CPU that a process has used (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_process(folder: str, groups: list[list[str]], seconds: float) -> dict[str, float]:
    """`encode`, a call for each request."""
    model, times = StaticModel.from_pretrained(folder), list[float]()
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    for group in groups:
        start = time.perf_counter()
        model.encode(group)
        times.append(time.perf_counter() - start)
        if start > end:
            break
    cpu = (time.process_time() - cpu) / len(times) * 1e6
    rate = len(times) / sum(times)
    times.sort()
    return {"rate": rate, "p50": times[len(times) // 2] * 1e3, "p99": times[len(times) * 99 // 100] * 1e3, "cpu": cpu}


def show(name: str, connections: int | None, runs: list[dict[str, float]], texts: int) -> list[Measured]:
    """Print a line of the table: medians, and the range of the rates; returns the values."""
    case = f"{connections} connections" if connections else "no server"
    columns = {"texts a second": [run["rate"] * texts for run in runs]}
    columns |= {f"{key}, {unit}": [run[key] for run in runs] for key, unit in MEASURES.items()}
    rates, p50, p99, cpu = (Measured(case, name, measure, tuple(values)) for measure, values in columns.items())
    cell = f"{rates.median:,.0f} ({min(rates.values):,.0f} to {max(rates.values):,.0f})"
    times = f"{p50.median:>10.2f}{p99.median:>10.2f}{cpu.median:>10.0f}"
    print(f"{name:34}{connections or '':>12}{cell:>26}{times}", flush=True)
    return [rates, p50, p99, cpu]


if __name__ == "__main__":
    main()
