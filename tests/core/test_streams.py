"""Streams whose encoding lacks characters, as those of Windows do, and of a machine without a locale."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import m2v as run
from conftest import make_model
from m2v_core import MLPHead, StaticModelPipeline
from m2v_core.cli.main import main
from m2v_core.head import Layer

CLASSES = ["Łódź", "猫"]
ENCODINGS = ["cp1252", "ascii", "utf-8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier, with a file of texts and labels beside it."""
    model = make_model(base_model_name="org/学校")
    layer = Layer(np.eye(2, model.dim, dtype=np.float32), np.zeros(2, np.float32))
    path = tmp_path_factory.mktemp("console") / "模型"
    StaticModelPipeline(model, MLPHead([layer], "softmax", CLASSES)).save_pretrained(path)
    rows = ["text,label", *(f"good day,{name}" for name in CLASSES * 20)]
    (path / "rows.csv").write_text("\n".join(rows), encoding="utf-8")
    return path


def m2v(encoding: str, *arguments: object, stdin: str = "") -> tuple[str, str]:
    """What the command wrote to stdout and stderr, without an error."""
    done = run(*arguments, stdin=stdin, encoding=encoding)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def escaped(text: str, encoding: str) -> str:
    return text.encode(encoding, "backslashreplace").decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_labels_and_names_are_escaped(folder: Path, encoding: str, tmp_path: Path) -> None:
    shown = [escaped(name, encoding) for name in CLASSES]
    out, _ = m2v(encoding, "info", folder)
    assert ", ".join(shown) in out
    assert escaped("org/学校", encoding) in out
    out, _ = m2v(encoding, "evaluate", folder, folder / "rows.csv")
    assert all(name in out for name in shown)
    out, _ = m2v(encoding, "predict", folder, stdin="good day\nbad\n")
    assert set(out.splitlines()) <= set(shown)
    m2v(encoding, "predict", folder, "-", "--out", tmp_path / "标签.txt", stdin="good day\n")
    assert (tmp_path / "标签.txt").read_text(encoding="utf-8").strip() in CLASSES
    _, err = m2v(encoding, "encode", folder, "-", "--out", tmp_path / "矢量.npy", stdin="good day\n")
    assert escaped("矢量.npy", encoding) in err


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_stays_json(folder: Path, encoding: str) -> None:
    assert json.loads(m2v(encoding, "info", folder, "--json")[0])["classes"] == CLASSES
    report = json.loads(m2v(encoding, "evaluate", folder, folder / "rows.csv", "--json")[0])
    assert set(CLASSES) < set(report)
    line = json.loads(m2v(encoding, "predict", folder, "--proba", stdin="good day\n")[0])
    assert list(line["probabilities"]) == CLASSES


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_training_ends_well(folder: Path, encoding: str, tmp_path: Path) -> None:
    pytest.importorskip("m2v_train")
    options = ("--max-epochs", 1, "--n-layers", 0)
    out, err = m2v(encoding, "train", "classify", folder, folder / "rows.csv", tmp_path / "新", *options)
    assert all(escaped(name, encoding) in out for name in CLASSES)
    assert escaped(str(tmp_path / "新"), encoding) in err
    assert StaticModelPipeline.from_pretrained(tmp_path / "新").classes_.tolist() == CLASSES  # type: ignore[union-attr]


def test_a_program_finds_its_streams_as_they_were(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for errors, shown in (("strict", rb"\u732b"), ("replace", b"?, ")):
        stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors=errors)
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["info", str(folder)]) == 0
        assert stream.errors == errors
        assert shown in stream.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of a shell")
def test_a_reader_that_is_gone(folder: Path) -> None:
    command = f"'{sys.executable}' -m m2v_core info '{folder}' | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
