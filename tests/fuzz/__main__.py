"""Damage files of strangers, load and use them, and count what comes of it: `python -P -m fuzz --mutations 100000`.

Each case must end in the right value or in a documented error (`M2VError` and its kinds, `OSError`), within 2 seconds of
a CPU and 500 MB, without NaN out of finite numbers. `--only KIND:NUMBER` runs one case again.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.kinds import KINDS, seeds

#: Cases of a process, after which a fresh one goes on; and seconds after which a case counts as hanging.
CASES, HANGS = 1_000, 60.0


@dataclass
class Report:
    """Outcomes by kind and type, and the failures."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, done: dict[str, Any]) -> None:
        """Count a case."""
        self.outcomes.setdefault(kind, Counter())[done["outcome"]] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0), done.get("seconds", 0))
        self.largest[kind] = max(self.largest.get(kind, 0), done.get("bytes", 0))
        if done["outcome"].startswith("failure"):
            self.failures.append({"kind": kind, **done})
            print(json.dumps(self.failures[-1]), file=sys.stderr, flush=True)


def run(kind: str, start: int, stop: int, root: Path, report: Report) -> None:
    """Run cases in processes of their own, each of which goes on after the case that ended the one before."""
    with tempfile.TemporaryDirectory(dir=root.parent) as work:
        while start < stop:
            start = _process(kind, start, min(start + CASES, stop), root, Path(work), report)


def _process(kind: str, start: int, stop: int, root: Path, work: Path, report: Report) -> int:
    """Run cases in one process; returns the number of the next case."""
    command = [sys.executable, "-P", "-m", "fuzz.worker", kind, str(start), str(stop), str(root), str(work / "work")]
    running, done, rest, allowed, ready = None, start, b"", 120.0, True
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while True:
            ready = bool(select.select([process.stdout], [], [], allowed)[0])
            if not (part := os.read(process.stdout.fileno(), 1 << 16) if ready else b""):
                break
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                told = json.loads(line)
                if "started" in told:
                    running, allowed = told["started"], HANGS
                else:
                    report.add(kind, told)
                    running, done = None, told["number"] + 1
        if not ready:
            process.kill()
        message, code = process.stderr.read().decode(), process.wait()
    if done == stop:
        return stop
    if running is None:
        raise RuntimeError(f"{kind}: the process ended between cases, with {code}. {message}")
    outcome = f"failure: the process ended with {code}" if ready else "failure: hangs"
    report.add(kind, {"number": running, "outcome": outcome, "change": "see --only", "detail": ""})
    return running + 1


def _environment() -> dict[str, str]:
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "JAX_PLATFORMS": "cpu"}


def fuzz(counts: dict[str, int], folder: Path, *, start: int = 0, workers: int = 1) -> Report:
    """Run so many cases of each kind, the first of them with the number `start`."""
    report, root = Report(), folder / "seeds"
    for kind in counts:
        seeds(kind, root)
    step = 2_000
    jobs = [
        (begin, min(begin + step, start + count), kind)
        for kind, count in counts.items()
        for begin in range(start, start + count, step)
    ]
    with ThreadPoolExecutor(workers) as pool:
        # A part of each kind comes first, so that a long run says soon what there is.
        waiting = [pool.submit(run, kind, begin, end, root, report) for begin, end, kind in sorted(jobs)]
        for each in as_completed(waiting):
            each.result()
            print(table(report).rpartition("\n")[2], file=sys.stderr, flush=True)
    return report


def table(report: Report) -> str:
    """The outcomes by kind and type."""
    lines = []
    for kind, outcomes in report.outcomes.items():
        types = ", ".join(f"{name} {count:,}" for name, count in outcomes.most_common())
        most = f"at most {report.slowest[kind]:.1f} s, {report.largest[kind] >> 20} MB"
        lines.append(f"{kind:10} {outcomes.total():7,}: {types}; {most}")
    whole = sum(report.outcomes.values(), Counter())
    lines.append(
        f"{'all':10} {whole.total():7,}: " + ", ".join(f"{name} {count:,}" for name, count in whole.most_common())
    )
    return "\n".join(lines)


def main() -> int:
    """Run what the arguments say; the exit code is 1 where there was a failure."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000, help="number of cases in all (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of files")
    parser.add_argument("--start", type=int, default=0, help="number of the first case of each kind")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--failures", type=Path, help="file for failures, as JSON lines")
    parser.add_argument("--only", metavar="KIND:NUMBER", help="one case alone, with what it does")
    options = parser.parse_args()
    if options.only:
        kind, number = options.only.split(":")
        counts, options.start = {kind: 1}, int(number)
    else:
        shares = sum(KINDS[kind].share for kind in options.kinds)
        counts = {kind: max(1, round(options.mutations * KINDS[kind].share / shares)) for kind in options.kinds}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = fuzz(counts, Path(folder), start=options.start, workers=options.workers)
    print(table(report))
    print(f"{time.monotonic() - started:.0f} s")
    for failure in report.failures[:40]:
        print("\n" + "\n".join(f"{name}: {value}" for name, value in failure.items()))
    if options.failures:
        options.failures.write_text("".join(json.dumps(failure) + "\n" for failure in report.failures))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
