"""Whole processes side by side: wall time and peak memory as the operating system counts them, runs interleaved."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from records import Measured, ratio

FASTTEXT = "fasttext.model"
#: The measures of `compare`.
WALL, CPU, PEAK = MEASURES = ("wall, s", "CPU, s", "peak memory, MB")


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


def compare(case: str, sides: Mapping[str, Sequence[str]], *, runs: int, warmups: int = 1) -> list[Measured]:
    """Run the commands of all sides in turn, and print a table: medians (lowest to highest), and ratios to the first.

    Returns:
        The measurements, three of each side.
    """
    turns = [{name: run(command) for name, command in sides.items()} for _ in range(warmups + runs)][warmups:]
    found = []
    for name in sides:
        columns = zip(*((turn[name].wall, turn[name].cpu, turn[name].peak) for turn in turns), strict=True)
        found += [Measured(case, name, measure, values) for measure, values in zip(MEASURES, columns, strict=True)]
    print(f"\n{case}: {runs} runs in turn, after {warmups} of each that is not counted\n")
    print("| |", " | ".join(f"{measure} | ratio" for measure in MEASURES), "|\n|" + " --- |" * (1 + 2 * len(MEASURES)))
    for start in range(0, len(found), len(MEASURES)):
        cells = []
        for one, first in zip(found[start : start + len(MEASURES)], found, strict=False):
            cells += [f"{one.median:.2f} ({min(one.values):.2f} to {max(one.values):.2f})", f"{ratio(one, first):.2f}"]
        print("|", " | ".join([found[start].side, *cells]), "|", flush=True)
    return found


def fasttext(python: str, data: Path, folder: Path) -> Path:
    """The model of `fasttext_model.py` in a folder; an environment with gensim trains it where it is missing."""
    script = Path(__file__).parent / "fasttext_model.py"
    if not (folder / FASTTEXT).exists():
        subprocess.run([python, str(script), str(data), str(folder / FASTTEXT)], check=True)
    return folder / FASTTEXT


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
