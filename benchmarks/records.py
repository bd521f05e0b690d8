"""What a benchmark found, as a JSON file that all of them share: values, machine, versions, date.

A file holds measurements, each the values of one quantity run by run. Sides that took turns have their values in the
same order, so that ratios can be taken run by run. `tools/results.py` makes the tables of the pages from such files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from statistics import mean, median
from typing import Any

#: Whose versions are recorded, where they are installed.
DISTRIBUTIONS = (
    *("m2v-core", "m2v-distill", "m2v-train", "numpy", "tokenizers", "jax", "flax", "transformers", "torch"),
    *("scikit-learn", "model2vec", "sentence-transformers", "laghu", "wordllama", "gensim", "faiss-cpu", "usearch"),
    "vicinity",
)
#: Fields of the first line of /proc/stat that are time spent at work (Linux): user, nice, system, irq, softirq.
_WORK = (0, 1, 2, 5, 6)
_FIND = (
    "import json, platform, sys; from importlib.metadata import PackageNotFoundError, version\n"
    "found = {'python': platform.python_version()}\n"
    "for name in sys.argv[1:]:\n"
    "    try: found[name] = version(name)\n"
    "    except PackageNotFoundError: pass\n"
    "print(json.dumps(found))"
)


@dataclass(frozen=True)
class Measured:
    """The values of one quantity, run by run, or fold by fold.

    Attributes:
        case: What was done, such as "45,000 tweets, cold".
        side: Who did it, such as "m2v".
        measure: What the values are, with their unit, such as "wall, s".
        values: At least one; those of sides that took turns are in the same order.
    """

    case: str
    side: str
    measure: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the values."""
        return median(self.values)

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return mean(self.values)


@dataclass(frozen=True)
class Record:
    """All that a benchmark found, and what it depends on.

    Attributes:
        benchmark: Its name, such as "encode".
        date: The day, in UTC.
        machine: Processor, cores, whether it has AMX, memory in GiB, system, and how many cores other processes kept
            busy meanwhile, on average; None where that is unknown.
        versions: Versions by distribution for each environment.
        settings: What the command line chose.
        measured: The measurements.
    """

    benchmark: str
    date: str
    machine: dict[str, Any]
    versions: dict[str, dict[str, str]]
    settings: dict[str, Any]
    measured: tuple[Measured, ...] = field(repr=False)

    @cached_property
    def _by_key(self) -> dict[tuple[str, str, str], Measured]:
        return {(each.case, each.side, each.measure): each for each in self.measured}

    def find(self, case: str, side: str, measure: str) -> Measured | None:
        """One measurement, or None."""
        return self._by_key.get((case, side, measure))

    def cases(self, measure: str | None = None) -> list[str]:
        """Cases in their order, of one measure or of all."""
        return list(dict.fromkeys(each.case for each in self.measured if measure in (None, each.measure)))

    def sides(self, case: str | None = None) -> list[str]:
        """Sides in their order, of one case or of all."""
        return list(dict.fromkeys(each.side for each in self.measured if case in (None, each.case)))


def ratio(one: Measured, other: Measured) -> float:
    """The median of the ratios run by run.

    Example:
        >>> ours, theirs = (Measured("a", side, "s", values) for side, values in (("m", (2, 9)), ("p", (1, 3))))
        >>> ratio(ours, theirs)
        2.5
    """
    if len(one.values) != len(other.values):
        return one.median / other.median
    return median(a / b for a, b in zip(one.values, other.values, strict=True))


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values, machine, versions and date too")


def write(
    path: Path | None,
    benchmark: str,
    measured: Sequence[Measured],
    *,
    pythons: Mapping[str, str | None] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a file, if there is a path; `pythons` are those of other environments, by name."""
    if path is None:
        return
    known = {"m2v": sys.executable, **{name: python for name, python in (pythons or {}).items() if python}}
    made = Record(
        benchmark,
        datetime.now(UTC).date().isoformat(),
        machine(),
        {name: versions(python) for name, python in known.items()},
        dict(settings or {}),
        tuple(measured),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(made), encoding="utf-8")


def dumps(record: Record) -> str:
    """The content of a file: a line for each measurement, with its median, mean and range."""
    head = {name: value for name, value in asdict(record).items() if name != "measured"}
    lines = [json.dumps(_spread(each), ensure_ascii=False) for each in record.measured]
    content = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    return f'{content},\n "measured": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def read(path: Path) -> Record:
    """Read a file."""
    return loads(path.read_text(encoding="utf-8"))


def loads(content: str) -> Record:
    """The record of a file's content."""
    found = json.loads(content)
    rows = [Measured(**{name: row[name] for name in ("case", "side", "measure")}, values=tuple(row["values"]))
            for row in found.pop("measured")]  # fmt: skip
    return Record(**found, measured=tuple(rows))


def _spread(each: Measured) -> dict[str, Any]:
    """The values with five digits, and what they come to."""
    values = [_short(value) for value in each.values]
    sums = {
        "median": _short(median(values)),
        "mean": _short(mean(values)),
        "lowest": min(values),
        "highest": max(values),
    }
    return {
        "case": each.case,
        "side": each.side,
        "measure": each.measure,
        **sums,
        "runs": len(values),
        "values": values,
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def machine() -> dict[str, Any]:
    """Processor, cores, AMX, memory in GiB, system, and how many cores were kept busy by others since the start."""
    info = Path("/proc/cpuinfo")
    facts = dict(
        (part.strip() for part in line.split(":", 1)) for line in info.read_text().split("\n\n")[0].splitlines()
    ) if info.exists() else {}  # fmt: skip
    has_sysconf = hasattr(os, "sysconf")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if has_sysconf else 0
    return {
        "cpu": facts.get("model name", platform.processor() or platform.machine()),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "amx": "amx_tile" in facts.get("flags", "").split(),
        "memory": round(memory),
        "system": f"{platform.system()} {platform.machine()}",
        "others": _STARTED.others(),
    }


@dataclass(frozen=True)
class _Clock:
    """Seconds that this machine worked, that this process and its children did, and that went by."""

    work: float | None
    own: float
    wall: float

    @classmethod
    def now(cls) -> _Clock:
        stat = Path("/proc/stat")
        fields = stat.read_text().split("\n")[0].split()[1:] if stat.exists() else None
        work = sum(float(fields[place]) for place in _WORK) / os.sysconf("SC_CLK_TCK") if fields else None
        return cls(work, sum(os.times()[:4]), time.perf_counter())

    def others(self) -> float | None:
        """How many cores others kept busy since then, with a digit; children count when they have ended."""
        now = self.now()
        if self.work is None or now.work is None or now.wall - self.wall < 1:
            return None
        return max(0.0, round((now.work - self.work - (now.own - self.own)) / (now.wall - self.wall), 1))


_STARTED = _Clock.now()


def versions(python: str) -> dict[str, str]:
    """Versions of what is installed in the environment of a Python."""
    done = subprocess.run([python, "-c", _FIND, *DISTRIBUTIONS], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
