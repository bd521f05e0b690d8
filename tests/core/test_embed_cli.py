"""`m2v embed` as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from commands import m2v
from conftest import make_model
from m2v_core.embed.manifest import read_manifest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = make_model(normalize=True)
    model.prompts = {"document": "day "}
    model.save_pretrained(tmp_path / "model")
    for name, content in (
        ("a.jsonl", '{"id": 1, "body": "good"}\n{"id": 2, "body": null}\n'),
        ("b.csv", "id,body\n3,good day\n"),
        ("c.csv", "id,text\n3,good day\n"),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_embed(folder: Path) -> None:
    command = ("embed", "model", "[ab].*", "--out", "out", "--text-column", "body")
    done = m2v(*command)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("out: 2 shards, 3 texts x 8 float32, 0.0 MB, ")
    assert done.stderr.endswith("\n1 of 3 texts hold no token that the model knows: their vectors are zeros.\n")
    assert parquet.read_table("out/a.parquet").column_names == ["id", "body", "vector"]
    assert m2v(*command, "--quiet").stderr == ""
    assert "out: 2 shards (2 of them from an earlier run), " in m2v(*command).stderr
    facts = json.loads(m2v(*command, "--json").stdout)
    assert {name: facts[name] for name in ("shards", "kept", "texts", "embedded", "unknown", "dimensions")} == {
        "shards": 2,
        "kept": 2,
        "texts": 3,
        "embedded": 0,
        "unknown": 1,
        "dimensions": 8,
    }


def test_options(folder: Path) -> None:
    options = ("--keep", "id", "--vector-column", "v", "--precision", "float16", "--truncate-dim", 3)
    limits = ("--max-length", 2, "--no-normalize", "--prompt-name", "document", "--workers", 1)
    done = m2v("embed", "model", "b.csv", "--text-column", "body", "--out", "out", *options, *limits)
    assert done.returncode == 0, done.stderr
    table = parquet.read_table("out/b.parquet")
    assert table.column_names == ["id", "v"]
    found = np.array(table.column("v").to_pylist(), np.float16)
    expected = make_model().encode(["day good"], truncate_dim=3, precision="float16", normalize=False)
    assert np.array_equal(found, expected)
    job, _ = read_manifest("out")
    assert job["settings"] == {
        "normalize": False,
        "max_length": 2,
        "prompt": "day ",
        "precision": "float16",
        "dimensions": 3,
        "ranges": None,
    }


def test_errors_are_those_of_the_command(folder: Path) -> None:
    for arguments, code, message in (
        (
            ("a.jsonl", "--out", "out"),
            1,
            "a.jsonl: --text-column should be one of its columns, 'id', 'body'; found 'text'.",
        ),
        (
            ("*.csv", "--out", "out"),
            1,
            "b.csv: --text-column should be one of its columns, 'id', 'body'; found 'text'.",
        ),
        (
            ("c.csv", "--out", "out", "--keep", "ids"),
            1,
            "--keep should be one of its columns, 'id', 'text'; found 'ids'",
        ),
        (("c.csv", "--out", "out", "--vector-column", "id"), 1, "--vector-column should be another name"),
        (("c.csv", "--out", "."), 1, "expected a new or empty folder"),
        (("d.csv", "--out", "out"), 1, "'d.csv', which is none"),
        (("c.csv",), 2, "the following arguments are required: --out"),
        (("--out", "out"), 2, "required: INPUT"),
        (("c.csv", "--out", "out", "--workers", "0"), 2, "should be a whole number, 1 or more; found '0'"),
        (("c.csv", "--out", "out", "--precision", "float8"), 2, "invalid choice"),
        (("c.csv", "--out", "out", "--precision", "int8"), 1, "needs the range of each dimension"),
        (("c.csv", "--out", "out", "--prompt-name", "a", "--prompt", "b"), 1, "found both"),
    ):
        done = m2v("embed", "model", *arguments)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr
        assert not Path("out").exists()
    assert "neither a folder" in m2v("embed", "no-model", "c.csv", "--out", "out").stderr


def test_columns_are_checked_without_the_model(folder: Path) -> None:
    """And the parser alone imports nothing heavy."""
    Path("model/model.safetensors").unlink()
    assert "--text-column should be" in m2v("embed", "model", "a.jsonl", "--out", "out").stderr
    code = (
        "from m2v_core.cli.main import build_parser; build_parser(['embed']); import sys; print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
