"""The command as a user runs it: a process, its two streams and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from commands import m2v
from conftest import GOLDEN, make_model
from m2v_core import StaticModel
from m2v_core.cli import main as cli


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
    assert done.returncode == 0
    assert done.stderr == (
        "1 of 4 texts hold no token that the model knows (the first is number 2): their vectors are zeros.\n"
    )
    vectors = np.array([json.loads(line) for line in done.stdout.splitlines()], np.float32)
    model = StaticModel.from_pretrained(folder, dimensionality=3)
    assert np.array_equal(vectors, model.encode(TEXTS, max_length=1, normalize=False))


@pytest.mark.parametrize("ending", [".npy", ".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("precision", ["float16", "int8", "uint8", "binary", "ubinary"])
def test_encode_into_less_space(tmp_path: Path, precision: str, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    model = make_model(normalize=True).calibrate(TEXTS)
    model.prompts = {"query": "good "}
    model.save_pretrained(tmp_path / "m")
    options = ["--truncate-dim", "5"] if "int" not in precision else []
    done = m2v(
        *("encode", tmp_path / "m", "--precision", precision, "--prompt-name", "query", *options),
        *("--out", tmp_path / f"x{ending}"),
        stdin="\n".join(TEXTS),
    )
    assert done.returncode == 0, done.stderr
    expected = model.encode_query(TEXTS, precision=precision, truncate_dim=5 if options else None)
    assert f"4 x {expected.shape[1]} {expected.dtype}" in done.stderr
    if ending == ".npy":
        found = np.load(tmp_path / "x.npy")
        assert found.dtype == expected.dtype
    elif ending == ".jsonl":
        found = np.array([json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()])
    elif ending == ".csv":
        found = np.loadtxt(tmp_path / "x.csv", delimiter=",", skiprows=1, ndmin=2)
    else:
        from pyarrow import parquet

        column = parquet.read_table(tmp_path / "x.parquet").column("vector")
        assert str(column.type.value_type) == {"float16": "halffloat", "binary": "int8", "ubinary": "uint8"}.get(
            precision, precision
        )
        found = np.array(column.to_pylist())
    assert np.array_equal(found.astype(expected.dtype), expected)


def test_encode_with_a_prompt(folder: Path) -> None:
    """The note on texts without known tokens is of the vectors before they take less space."""
    model = StaticModel.from_pretrained(folder)
    done = m2v("encode", folder, "--prompt", "day ", "--truncate-dim", 2, stdin="good")
    assert json.loads(done.stdout) == model.encode("day good", truncate_dim=2).tolist()
    done = m2v("encode", folder, "--precision", "binary", stdin="\n".join(TEXTS))
    assert done.stderr.startswith("1 of 4 texts hold no token")
    fails(m2v("encode", folder, "--precision", "int8", stdin="a"), 1, "needs the range of each dimension")
    fails(m2v("encode", folder, "--precision", "int4", stdin="a"), 2, "invalid choice", "Did you mean 'int8'?")
    fails(m2v("encode", folder, "--truncate-dim", "99", stdin="a"), 1, "--truncate-dim should be", "from 1 to 8")
    fails(m2v("encode", folder, "--prompt-name", "query", stdin="a"), 1, "--prompt-name should be one of the model's")
    fails(m2v("encode", folder, "--prompt-name", "a", "--prompt", "b", stdin="a"), 1, "found both")


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
    fails(m2v("encode", folder, "--max-length", "0", stdin="a"), 2, "--max-length: should be a whole number, 1 or more")
    fails(m2v("encode", folder, "--dimensionality", "99", stdin="a"), 1, "from 1 to 8")
    fails(m2v("encode", folder, "--out", tmp_path / "no/where.npy", stdin="a"), 1, "where.npy", "no such folder")
    fails(m2v("encode", folder, "--out", tmp_path, stdin="a"), 1, "should be a file; found a folder")
    fails(m2v("encode", folder, "--out", tmp_path / "x.txt", stdin="a"), 1, "one of .npy, .jsonl, .csv, .parquet")
    fails(m2v("encode", folder, tmp_path), 1, "which is a folder")


def test_what_is_wrong_shows_before_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("body\nhello\n")
    for arguments in (
        ["encode", "no/model", tmp_path / "x.csv"],
        ["predict", "no/model", tmp_path / "x.csv", "--text-column", "nope"],
        ["encode", "no/model", tmp_path / "none.txt"],
        ["encode", "no/model", "--out", tmp_path / "x.pkl"],
        ["evaluate", "no/model", tmp_path / "x.csv", "--label-column", "nope"],
        ["quantize", "no/model", tmp_path / "x.csv", "--quantize-to", "int8"],
        ["quantize", "no/model", tmp_path / "new"],
    ):
        done = m2v(*arguments)
        fails(done, 1, "m2v: error:")
        assert "no/model" not in done.stderr


def test_wrong_usage() -> None:
    fails(m2v("encod"), 2, "usage", "encod", "Did you mean 'encode'?")
    fails(m2v("encode"), 2, "MODEL")
    fails(m2v("info", "m", "--jsn"), 2, "usage: m2v info", "--jsn. Did you mean '--json'?")
    fails(m2v("quantize", "m", "out", "--quantize-to", "int9"), 2, "Did you mean 'int8'?")


def test_a_command_alone_shows_its_help() -> None:
    for arguments in ([], ["train"] if find_spec("m2v_train") else []):
        done = m2v(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "examples:" in done.stdout


def test_tables_are_read_by_column(folder: Path, tmp_path: Path) -> None:
    """A quoted line break is a part of its text, and the header is none."""
    texts = ["good day", "bad\nsunny days"]
    (tmp_path / "x.csv").write_text('id,body\n1,good day\n2,"bad\nsunny days"\n', encoding="utf-8")
    expected = StaticModel.from_pretrained(folder).encode(texts)
    done = m2v("encode", folder, tmp_path / "x.csv", "--text-column", "body")
    assert (done.returncode, done.stderr) == (0, "")
    assert np.array_equal(np.array([json.loads(line) for line in done.stdout.splitlines()], np.float32), expected)
    fails(
        m2v("encode", folder, tmp_path / "x.csv"), 1, "expected the column 'text'; found 'id', 'body'", "--text-column"
    )


@pytest.mark.parametrize("ending", [".npy", ".jsonl", ".csv", ".parquet"])
def test_outputs_follow_their_ending(folder: Path, tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"x{ending}"
    done = m2v("encode", folder, "--out", out, stdin="\n".join(TEXTS))
    assert done.returncode == 0
    if ending == ".npy":
        found = np.load(out)
    elif ending == ".jsonl":
        found = np.array([json.loads(line) for line in out.read_text().splitlines()])
    elif ending == ".csv":
        assert out.read_text().startswith("d0,d1,")
        found = np.loadtxt(out, delimiter=",", skiprows=1)
    else:
        from pyarrow import parquet

        found = np.array(parquet.read_table(out).column("vector").to_pylist())
    assert np.array_equal(found.astype(np.float32), StaticModel.from_pretrained(folder).encode(TEXTS))


def test_quiet(folder: Path, tmp_path: Path) -> None:
    done = m2v("encode", folder, "-q", "--out", tmp_path / "x.npy", stdin="\n".join(TEXTS))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_an_output_that_is_no_file(folder: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.jsonl"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
        assert m2v("encode", folder, "-q", "--out", fifo, stdin="good\nday").returncode == 0
        assert len(reader.communicate(timeout=30)[0].splitlines()) == 2
    assert fifo.is_fifo()


def test_an_output_that_is_a_device(folder: Path, device: Path) -> None:
    assert m2v("encode", folder, "-q", "--out", device, stdin="good\nday").returncode == 0
    assert device.is_char_device()


def test_quantize(folder: Path, tmp_path: Path) -> None:
    done = m2v("quantize", folder, tmp_path / "small", "--quantize-to", "int8", "--dimensionality", 4)
    assert (done.returncode, done.stdout) == (0, "")
    assert "x 4 dimensions, int8" in done.stderr
    expected = StaticModel.from_pretrained(folder, quantize_to="int8", dimensionality=4)
    assert np.array_equal(StaticModel.from_pretrained(tmp_path / "small").encode(TEXTS), expected.encode(TEXTS))
    facts = json.loads(m2v("quantize", folder, tmp_path / "half", "--quantize-to", "float16", "--json").stdout)
    assert facts["table_bytes"] * 2 == facts["table_bytes_before"]
    head = GOLDEN / "heads" / "softmax"
    assert m2v("quantize", head, tmp_path / "head", "--quantize-to", "int8", "-q").returncode == 0
    assert (tmp_path / "head" / "head.safetensors").is_file()
    fails(m2v("quantize", head, tmp_path / "head", "--dimensionality", 2), 1, "--dimensionality", "head")
    fails(m2v("quantize", folder, tmp_path / "x"), 1, "--quantize-to")


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
