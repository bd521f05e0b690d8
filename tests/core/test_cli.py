"""The command as a user runs it: a process, its two streams and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model
from m2v_core import StaticModel
from m2v_core.cli import main as cli


def m2v(*arguments: object, stdin: str | bytes = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [sys.executable, "-m", "m2v_core", *map(str, arguments)], input=data, capture_output=True, cwd=cwd, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "model"
    make_model(normalize=True, base_model_name="org/teacher", language=["en"]).save_pretrained(path)
    return path


TEXTS = ["good day", "", "bad,  sunny\tdays!", "日本 good"]


def test_encode_to_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\ufeff" + "\r\n".join(TEXTS), encoding="utf-8")
    done = m2v("encode", folder, tmp_path / "texts.txt", "--out", tmp_path / "x.npy")
    assert (done.returncode, done.stdout) == (0, "")
    assert "4 x 8 float32" in done.stderr
    assert np.array_equal(np.load(tmp_path / "x.npy"), StaticModel.from_pretrained(folder).encode(TEXTS))
    assert {path.name for path in tmp_path.iterdir()} == {"texts.txt", "x.npy"}


def test_encode_a_pipe(folder: Path) -> None:
    done = m2v(
        "encode", folder, "--max-length", 1, "--no-normalize", "--dimensionality", 3, stdin="\n".join(TEXTS) + "\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    vectors = np.array([json.loads(line) for line in done.stdout.splitlines()], np.float32)
    model = StaticModel.from_pretrained(folder, dimensionality=3)
    assert np.array_equal(vectors, model.encode(TEXTS, max_length=1, normalize=False))


def test_encode_nothing(folder: Path, tmp_path: Path) -> None:
    assert m2v("encode", folder, "-", "--out", tmp_path / "x.npy").returncode == 0
    assert np.load(tmp_path / "x.npy").shape == (0, 8)


def test_a_reader_that_leaves_early(folder: Path) -> None:
    command = f"'{sys.executable}' -m m2v_core encode '{folder}' | head -1 | wc -l"
    done = subprocess.run(["sh", "-c", command], input=b"good day\n" * 50_000, capture_output=True, check=True)
    assert done.stdout.split() == [b"1"]
    assert done.stderr == b""


def test_info(folder: Path) -> None:
    done = m2v("info", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "org/teacher" in done.stdout
    facts = json.loads(m2v("info", folder, "--json").stdout)
    assert facts["dimensions"] == 8
    assert facts["language"] == ["en"]
    assert facts["table_bytes"] == facts["tokens"] * 8 * 4


@pytest.mark.parametrize(
    ("arguments", "part"),
    [(["--help"], "examples:"), (["encode", "--help"], "one a line"), (["info", "--help"], "a model folder")],
)
def test_help_teaches(arguments: list[str], part: str) -> None:
    done = m2v(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert part in done.stdout


def test_version() -> None:
    assert m2v("--version").stdout.startswith("m2v-core ")


def fails(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code
    assert not done.stdout
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_errors_have_no_traceback(folder: Path, tmp_path: Path) -> None:
    fails(m2v("info", tmp_path / "none"), 1, "m2v: error:", "neither a folder")
    fails(m2v("encode", folder, tmp_path / "none.txt"), 1, "m2v: error:", "none.txt")
    fails(m2v("encode", folder, stdin=b"good\xff"), 1, "UTF-8")
    fails(m2v("encode", folder, "--max-length", "0", stdin="a"), 1, "max_length")
    fails(m2v("encode", folder, "--dimensionality", "99", stdin="a"), 1, "from 1 to 8")
    fails(m2v("encode", folder, "--out", tmp_path / "no/where.npy", stdin="a"), 1, "where.npy")


def test_wrong_usage() -> None:
    fails(m2v(), 2, "usage", "COMMAND")
    fails(m2v("encod"), 2, "encod")
    fails(m2v("encode"), 2, "MODEL")
    fails(m2v("info", "m", "--no-such"), 2, "--no-such")


def test_commands_of_packages_that_are_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "entry_points", lambda group: [])
    for name, package in {"distill": "m2v-distill", "train": "m2v-train"}.items():
        assert cli.main([name, "classify", "--any", "thing"]) == 1
        assert f"the command {name!r} comes with another package: pip install {package}" in capsys.readouterr().err


def test_info_of_a_stranger_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_model(base_model_name="calm\x1b]0;gone\x07\nname  other").save_pretrained(tmp_path)
    assert cli.main(["info", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "calm\\x1b]0;gone\\x07\\nname  other" in shown
    assert "\x1b" not in shown
