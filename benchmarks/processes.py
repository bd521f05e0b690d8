"""Whole processes side by side: wall time and peak memory as the operating system counts them, runs interleaved."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Run:
    """One finished process: seconds of wall and CPU time, peak resident memory in MB."""

    wall: float
    cpu: float
    peak: float


def run(command: Sequence[str]) -> Run:
    """Run a command to its end; its output is shown only if it fails."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # wait4 has reaped it
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}\nfailed:\n{output.read().decode(errors='replace')}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def compare(ours: Sequence[str], theirs: Sequence[str], *, runs: int, warmups: int = 1) -> None:
    """Print medians (lowest to highest) of both commands and the median of the ratios, run by run."""
    pairs = [(run(ours), run(theirs)) for _ in range(warmups + runs)][warmups:]
    print(f"{'':12}{'m2v':>26}{'model2vec':>28}{'m2v / model2vec':>22}")
    for name, unit in (("wall", "s"), ("cpu", "s"), ("peak", "MB")):
        columns = [[getattr(pair[side], name) for pair in pairs] for side in (0, 1)]
        cells = [f"{median(c):9.2f} ({min(c):.2f} to {max(c):.2f})" for c in columns]
        ratio = median(one / other for one, other in zip(*columns, strict=True))
        print(f"{name + ' ' + unit:12}{cells[0]:>26}{cells[1]:>28}{ratio:>18.2f}")
    print(f"{runs} runs each, one after the other in turn, after {warmups} of each that is not counted\n", flush=True)


@contextmanager
def models(data: Path, names: Sequence[str], folder: Path | None) -> Iterator[Path]:
    """A folder with these models of `encode_models.py` and what laghu makes of them, temporary unless it is given."""
    with tempfile.TemporaryDirectory(prefix="m2v-bench-") as temporary:
        place = (folder or Path(temporary)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        os.environ["LAGHU_CACHE"] = str(place)
        script = Path(__file__).parent / "encode_models.py"
        subprocess.run([sys.executable, str(script), str(data), str(place), *names], check=True)
        yield place
