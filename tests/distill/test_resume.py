"""`m2v distill` killed in the middle, and started again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from forks import Forks

#: The command itself, with a chunk for every batch and small shards, that kills itself at some point.
DRIVER = """
import inspect, os, signal, sys
import m2v_distill.teacher.engine.resume as chunks
import m2v_distill.corpus.featurize as features
from m2v_core.cli.main import main
from m2v_core.model import StaticModel

chunks.INTERVAL = 0
inspect.unwrap(features.featurize).__kwdefaults__["shard_size"] = 400
where, add, save = sys.argv[1], chunks.ChunkStore.add, StaticModel.save_pretrained
batches = 0

def killed_add(self, rows, vectors):
    global batches
    add(self, rows, vectors)
    batches += 1
    if where == "forward" and batches == 3:
        os.kill(os.getpid(), signal.SIGKILL)

def killed_save(self, folder):
    if where == "save":
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, folder)

shards, write_shard = 0, features.write_shard

def killed_write(path, texts, vectors):
    global shards
    if where == "corpus" and shards == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    write_shard(path, texts, vectors)
    shards += 1

features.write_shard = killed_write
chunks.ChunkStore.add, StaticModel.save_pretrained = killed_add, killed_save
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def distill(teacher_folder: Path, tmp_path: Path, forks: Forks):
    phrases = [f"{'good ' * (i % 9 + 1)}{'day ' * (i // 9 % 9)}{'sunny ' * (i // 81)}" for i in range(1, 1500)]
    (tmp_path / "words.txt").write_text("\n".join(phrases))

    def run(where: str, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        arguments = ("distill", teacher_folder, tmp_path / name, "--vocabulary", tmp_path / "words.txt", *options)
        return forks.run(DRIVER, where, *arguments, env=os.environ, cwd=tmp_path)

    return run


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_killed_run_goes_on(distill, tmp_path: Path) -> None:
    assert distill("", "whole").returncode == 0
    whole = content(tmp_path / "whole")
    assert not (tmp_path / "whole.chunks").exists()

    assert distill("forward", "out").returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    chunks = sorted((tmp_path / "out.chunks").iterdir())
    assert len(chunks) == 3
    damaged = bytearray(chunks[1].read_bytes())
    damaged[-5] ^= 1
    chunks[1].write_bytes(damaged)

    killed = distill("save", "out", "--resume")
    assert killed.returncode == -signal.SIGKILL
    assert "resumed: 2 of " in killed.stderr
    assert not (tmp_path / "out").exists()
    done = distill("", "out", "--resume")
    assert done.returncode == 0, done.stderr
    known, total = re.search(r"resumed: (\d+) of (\d+) batches", done.stderr).groups()
    assert known == total
    assert content(tmp_path / "out") == whole
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(("out", "."))} == {"out"}


def test_a_run_without_resume_starts_anew(distill, tmp_path: Path) -> None:
    assert distill("", "out").returncode == 0
    before = content(tmp_path / "out")
    assert distill("forward", "out", "--pca-dims", "4").returncode == -signal.SIGKILL
    assert content(tmp_path / "out") == before
    done = distill("", "out")
    assert done.returncode == 0
    assert "out.chunks holds parts of an interrupted run: --resume continues from them" in done.stderr
    assert "resumed" not in done.stderr.replace("--resume", "")
    assert content(tmp_path / "out") == before
    assert not (tmp_path / "out.chunks").exists()


def test_a_run_that_is_killed_in_its_corpus_goes_on(distill, tmp_path: Path) -> None:
    """In the second shard; the first one, and the vectors of tokens and groups, are not computed again."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(
        "\n".join(
            f"{'good ' * (i % 7)}day {'bad ' * (i // 7 % 7)}{'sunny ' * (i // 49 % 10)}{'a ' * (i // 490)}"
            for i in range(900)
        )
    )
    options = ("--corpus", str(corpus), "--pca-dims", "8")
    assert distill("", "whole", *options).returncode == 0
    whole = content(tmp_path / "whole")
    assert not (tmp_path / "whole.chunks").exists()

    assert distill("corpus", "out", *options).returncode == -signal.SIGKILL
    store = tmp_path / "out.chunks" / "corpus"
    assert sorted(path.name for path in store.iterdir()) == ["shard-00000.safetensors", "store.json"]
    written = (store / "shard-00000.safetensors").stat().st_mtime_ns
    assert distill("corpus", "out", "--resume", *options).returncode == -signal.SIGKILL
    assert sorted(path.name for path in store.iterdir()) == [
        "shard-00000.safetensors",
        "shard-00001.safetensors",
        "store.json",
    ]
    assert (store / "shard-00000.safetensors").stat().st_mtime_ns == written
    done = distill("", "out", "--resume", *options)
    assert done.returncode == 0, done.stderr
    known, total = re.search(r"resumed: (\d+) of (\d+) batches", done.stderr).groups()
    assert known == total
    assert content(tmp_path / "out") == whole
    assert not (tmp_path / "out.chunks").exists()

    shutil.rmtree(tmp_path / "out")
    assert distill("corpus", "out", *options).returncode == -signal.SIGKILL
    for path in (tmp_path / "out.chunks").glob("chunk-*"):
        path.unlink()
    done = distill("", "out", *options)
    assert done.returncode == 0
    assert "--resume continues from them" in done.stderr
    assert content(tmp_path / "out") == whole
    assert not (tmp_path / "out.chunks").exists()
