"""`m2v featurize` as a user runs it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from commands import m2v
from m2v_distill import FeatureStore


def test_featurize(teacher_folder: Path, tmp_path: Path) -> None:
    lines, table, out = tmp_path / "a.txt", tmp_path / "b.csv", tmp_path / "store"
    lines.write_text("good\n\nday\nbad day\ngood\n")
    table.write_text("number,sentence\n1,sunny day\n2,day\n")
    options = ("--prompt", "good ", "--shard-size", 2, "--pooling", "max", "--precision", "float32")
    done = m2v("featurize", teacher_folder, out, "--corpus", lines, *options)
    assert (done.returncode, done.stdout) == (0, "")
    result, advice = done.stderr.splitlines()
    assert result.startswith(f"{out}: 3 texts x 24, ")
    assert "seconds a text, 0.0 MB" in result
    assert advice == f"use it: m2v distill {teacher_folder} OUT --corpus {out}"

    done = m2v("featurize", teacher_folder, out, *options, "--text-column", "sentence", "--corpus", lines, table)
    assert done.returncode == 0
    assert f"{out}: 4 texts x 24 (2 of them from an earlier run), " in done.stderr
    store = FeatureStore.open(out)
    assert store.prompt == "good "
    assert [texts for texts, _ in store.shards()] == [["good", "day"], ["bad day", "sunny day"]]

    done = m2v("featurize", teacher_folder, out, "-q", *options, "--text-column", "sentence", "--corpus", lines, table)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="there is no /dev/stdin")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_pipe_is_read_once(teacher_folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("good\nday\n",))
    writer.start()
    done = m2v("featurize", teacher_folder, tmp_path / "out", "--corpus", pipe)
    writer.join(10)
    assert done.returncode == 0, done.stderr
    assert FeatureStore.open(tmp_path / "out").n_texts == 2


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["featurize", "{teacher}", "{out}"], 2, "--corpus"),
        (["featurize", "{teacher}", "{out}", "--corpus", "none.txt"], 1, "no such file"),
        (["featurize", "{teacher}", "{out}", "--corpus", "{teacher}/config.json"], 1, "found '.json'"),
        (["featurize", "{teacher}", "{out}", "--corpus", "{bad}"], 1, "bad.txt, line 3: expected UTF-8"),
        (["featurize", "{bad}", "{out}", "--corpus", "{good}"], 1, "which is a file"),
        (["featurize", "{out}/none", "{out}", "--corpus", "{good}"], 1, "neither a folder here"),
        (["featurize", "{teacher}", "{good}", "--corpus", "{good}"], 1, "found a file"),
        (["featurize", "{teacher}", "{out}", "--corpus", "{good}", "--text-column", "a"], 1, "found 'a' for good.txt"),
        (["featurize", "{teacher}", "{out}", "--corpus", "{good}", "--shard-size", "0"], 2, "found '0'"),
        (["featurize", "{teacher}", "{out}", "--corpus", "{good}", "--prompt", "a", "--prompt-name", "b"], 1, "both"),
    ],
)
def test_errors(teacher_folder: Path, tmp_path: Path, arguments: list[str], code: int, part: str) -> None:
    """Nothing is written, and a bad line is found before the teacher is loaded."""
    bad, good, out = tmp_path / "bad.txt", tmp_path / "good.txt", tmp_path / "out"
    bad.write_bytes(b"good\nday\n\xff\n")
    good.write_text("good\n")
    done = m2v(*(argument.format(teacher=teacher_folder, out=out, bad=bad, good=good) for argument in arguments))
    assert done.returncode == code
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
