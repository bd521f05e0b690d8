"""Kill work at random moments, and see what it leaves: `python -P -m crashes --kills 300`.

After each kill, what is there must be the whole old or the whole new. Done again, and killed again, until it is done,
the result has the bytes of an uninterrupted run, and nothing is left beside it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from crashes.jobs import Job, content, entries, jobs
from forks import Forks

#: Runs code in a group of its own, which a second process of that group kills after so many seconds.
KILLED = """
import os, signal, sys, time
os.setsid()
seconds = float(sys.argv.pop(1))
if seconds and not os.fork():
    for stream in (0, 1, 2):
        os.close(stream)
    time.sleep(seconds)
    os.killpg(0, signal.SIGKILL)
"""

CORE = ("m2v_core.cli.main", "m2v_core.embed.run", "m2v_core.model", "m2v_core.search", "m2v_core.storage.compile")
JAX = (
    *("m2v_core.cli.main", "m2v_distill.pipeline", "m2v_distill.corpus.featurize", "sklearn.decomposition"),
    *("m2v_train.classification", "m2v_train.engine.fitting"),
    *("transformers.models.auto.tokenization_auto", "transformers.models.auto.configuration_auto"),
)

Run = Callable[[str, float], subprocess.CompletedProcess[str]]


@dataclass
class Outcome:
    """What came of the kills of a job.

    Attributes:
        kills: Number of kills.
        ends: Number of runs that came to their end.
        left: Names that killed processes left beside the result, and that the next run has cleared.
        seconds: Of an uninterrupted run, the quickest.
    """

    kills: int = 0
    ends: int = 0
    left: int = 0
    seconds: float = 0.0


def crash(job: Job, run: Run, kills: int, rng: random.Random) -> Outcome:
    """Kill a job so often, in the current folder, which is empty."""
    outcome = Outcome()
    Path("whole").mkdir()
    with chdir("whole"):
        job.prepare()
        before = entries()
        started = time.perf_counter()
        done = run(job.code, 0)
        assert done.returncode == 0, done.stderr
        outcome.seconds = time.perf_counter() - started
        expected, names = content(*job.results), entries()
    Path("killed").mkdir()
    with chdir("killed"):
        job.prepare()
        while outcome.kills < kills:
            started = time.perf_counter()
            done = run(job.code, rng.uniform(0.001, outcome.seconds))
            seconds = time.perf_counter() - started
            job.check()
            if done.returncode == -signal.SIGKILL:
                outcome.kills += 1
                outcome.left += len(entries() - names - before)
                continue
            assert done.returncode == 0, done.stderr
            outcome.ends += 1
            outcome.seconds = min(outcome.seconds, seconds)  # the first run is slow where it has to compile
            _compare(job, expected, names)
            for name in entries() - before:  # the next begins anew
                subprocess.run(["rm", "-rf", name], check=True)
        done = run(job.code, 0)
        assert done.returncode == 0, done.stderr
        _compare(job, expected, names)
    return outcome


def _compare(job: Job, expected: dict[str, bytes], names: set[str]) -> None:
    found = content(*job.results)
    assert found.keys() == expected.keys(), f"found {sorted(found.keys() ^ expected.keys())} more or less"
    assert found == expected, [name for name in found if found[name] != expected[name]]
    assert entries() - job.litter == names, entries() ^ names


@contextmanager
def runner(process: str) -> Iterator[Run]:
    """A function that runs code in the current folder, and kills it after so many seconds; 0 for never."""
    if process == "hub":
        with _hub() as run:
            yield run
        return
    variables = {**os.environ, "JAX_PLATFORMS": "cpu"}
    forks = Forks(*(JAX if process == "jax" else CORE))
    try:
        yield lambda code, seconds: forks.run(KILLED + code, seconds, env=variables, cwd=Path.cwd())
    finally:
        forks.close()


@contextmanager
def _hub() -> Iterator[Run]:
    from conftest import make_model
    from hub.loopback import Hub, Repo, running
    from hub.processes import FORKS, MODEL, files_of, process

    with tempfile.TemporaryDirectory() as folder:
        make_model(dim=64).save_pretrained(folder)
        repos = {MODEL: Repo({"main": files_of(Path(folder))})}
        with running(Hub(repos=repos)) as hub:
            try:
                yield lambda code, seconds: process(hub, Path.cwd() / "cache")(KILLED + code, seconds)
            finally:
                FORKS.close()


def main() -> int:
    """Run what the arguments say; the exit code is 1 where something was not whole."""
    known = jobs()
    parser = argparse.ArgumentParser(prog="crashes", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="number of kills in all (default: %(default)s)")
    parser.add_argument("--jobs", nargs="+", choices=known, default=list(known), help="what is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    options = parser.parse_args()
    shares, whole = sum(known[name].share for name in options.jobs), Counter[str]()
    for name in options.jobs:
        job = known[name]
        kills = max(1, round(options.kills * job.share / shares))
        with tempfile.TemporaryDirectory() as folder, chdir(folder), runner(job.process) as run, nullcontext():
            try:
                done = crash(job, run, kills, random.Random(f"{name}-{options.seed}"))
            except Exception as error:
                whole["failures"] += 1
                print(f"{name:14} FAILED: {type(error).__name__}: {error!s:.3000}", flush=True)
                continue
        whole["kills"] += done.kills
        print(
            f"{name:14} {done.kills:4} kills, {done.ends:3} runs to the end ({done.seconds:.1f} s): whole each time; "
            f"{done.left} names left by kills, none after the next run",
            flush=True,
        )
    print(dict(whole))
    return 1 if whole["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
