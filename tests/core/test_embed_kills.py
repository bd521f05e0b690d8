"""`m2v embed` killed at random moments, again and again: in the end the bytes are those of an uninterrupted run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model
from forks import Forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and process groups")

#: Runs the command in a group of its own, which a second process of that group kills after so many seconds.
KILLED = """
import os, signal, sys, time
os.setsid()
seconds = float(sys.argv.pop(1))
if seconds and not os.fork():
    time.sleep(seconds)
    os.killpg(0, signal.SIGKILL)
from m2v_core.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Processes that need not import what is slow."""
    server = Forks("m2v_core.embed.run", "m2v_core.tokenize.tokens")
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_model(dim=64).save_pretrained("model")
    words = np.random.default_rng(0)
    for number in range(5):
        texts = words.choice(["good", "day", "bad", "sunny"], (1000, 20)).tolist()
        Path(f"{number}.txt").write_text("\n".join(map(" ".join, texts)))
    return tmp_path


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()} if Path(folder).is_dir() else {}


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments(folder: Path, forks: Forks, request: pytest.FixtureRequest, workers: int) -> None:
    """Each run continues the one before, until one comes to its end; then the next begins anew."""

    def run(out: str, seconds: float) -> int:
        command = ("embed", "model", "*.txt", "--out", out, "--workers", workers, "--quiet")
        done = forks.run(KILLED, seconds, *command, env=os.environ, cwd=folder)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    kills = max(1, request.config.getoption("kills") // workers)
    started = time.perf_counter()
    run("whole", 0)
    seconds = time.perf_counter() - started
    expected, moments, number = content("whole"), np.random.default_rng(workers), 0
    while kills:
        out = f"out-{number}"
        if run(out, moments.uniform(0, 0.9 * seconds)):
            kills -= 1
            shards = {name: data for name, data in content(out).items() if name.endswith(".parquet")}
            assert shards.items() <= expected.items()  # what is there is whole
        else:
            assert content(out) == expected
            number += 1
    assert run(out, 0) == 0
    assert content(out) == expected
