"""Programs that write one folder, or pull into one cache, at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from conftest import make_model
from m2v_core import StaticModel

TEXTS = ["good day", "bad", "a sunny day"]

WRITER = """
import sys
from m2v_core import StaticModel
if sys.argv[1] == "by files":
    from m2v_core.storage import exchange
    exchange._change_places = lambda one, other: False
model = StaticModel.from_pretrained(sys.argv[2])
while True:
    model.save_pretrained(sys.argv[3], compiled=True)
    print(flush=True)
"""


def two_writers_and_a_reader(folder: Path, how: str, seconds: float) -> Counter[str]:
    """What a reader finds in a folder to which two programs save all the time: the one model or the other, whole."""
    one = make_model(dim=64)
    StaticModel(one.embedding, one.stored.tokenizer_json).save_pretrained(folder / "one")
    StaticModel(2 * one.embedding, one.stored.tokenizer_json).save_pretrained(folder / "two")
    StaticModel.from_pretrained(folder / "one").save_pretrained(folder / "m", compiled=True)
    expected = one.encode(TEXTS)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, how, str(folder / name), str(folder / "m")], stdout=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    seen = Counter[str]()
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = StaticModel.from_pretrained(folder / "m").encode(TEXTS)
            is_one, is_two = np.array_equal(found, expected), np.array_equal(found, 2 * expected)
            seen["one" if is_one else "two" if is_two else "mixed"] += 1
    finally:
        for writer in writers:
            seen["ended"] += writer.poll() is not None
            writer.kill()
            writer.communicate()
    return seen


PULL = "from m2v_core.cli.main import main\nassert main(['pull', 'org/model', '--out', 'out', '-q']) == 0\n"


def pullers(folder: Path, n_rounds: int, n_pullers: int = 2) -> int:
    """The number of wrong models that programs have pulled at once into one cache and one folder."""
    from hub.loopback import Hub, Repo, running
    from hub.processes import MODEL, POINTS, files_of

    model, wrong = make_model(dim=64), 0
    model.save_pretrained(folder / "source")
    repos = {MODEL: Repo({"main": files_of(folder / "source")})}
    with running(Hub(repos=repos)) as hub:
        for number in range(n_rounds):
            work = folder / str(number)
            work.mkdir()
            env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
            env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(work / "cache"), "HF_HUB_DISABLE_XET": "1"}
            command = [sys.executable, "-c", POINTS + PULL]
            processes = [
                subprocess.Popen(command, cwd=work, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                for _ in range(n_pullers)
            ]
            for process in processes:
                _, complaint = process.communicate()
                assert process.returncode == 0, complaint.decode()
            found = StaticModel.from_pretrained(work / "out").encode(TEXTS)
            left = {path.name for path in work.iterdir()} - {"cache", "out"}
            wrong += not np.array_equal(found, model.encode(TEXTS)) or bool(left)
    return wrong
