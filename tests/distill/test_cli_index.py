"""`m2v index` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands import m2v
from m2v_core.search import Index
from m2v_core.vectors import unit
from m2v_distill import Teacher

ROWS = [("x", "A good day. Sunny, good!"), ("y", "Bad. Unable to see the sun."), ("z", "day " * 70)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"name": name, "body": text}) + "\n" for name, text in ROWS))
    return path


COLUMNS = ("--text-column", "body", "--id-column", "name")


def test_index(teacher_folder: Path, table: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "index", tmp_path / "more.md"
    done = m2v("index", teacher_folder, table, "--out", out, *COLUMNS, "--precision", "float32")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    result, advice = done.stderr.splitlines()[-2:]
    assert result.startswith(f"{out}: 3 documents indexed, 4 passages; 4 entries x 24, ")
    assert advice == f"use it: m2v search QUERY --index {out}"
    assert not (tmp_path / "index.chunks").exists()
    index = Index.load(out)
    assert list(index) == ["x", "y", "z/1", "z/2"]
    assert index.metadata("z/2")["document"] == "z"
    assert index.metadata("x") == {"document": "x", "file": str(table), "line": 1, "text": ROWS[0][1]}
    teacher = Teacher.from_pretrained(teacher_folder)
    np.testing.assert_allclose(index.vectors()[:2], unit(teacher.encode([text for _, text in ROWS[:2]])), atol=1e-6)
    assert index.model is not None
    assert index.model.config.distillation_settings["space"] == "teacher"

    more.write_text("Good day.\n\nA bad one.\n")
    done = m2v("index", teacher_folder, more, "--out", out, "--add", "--json", "-q", "--precision", "float32")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert facts.pop("seconds") > 0
    assert facts == {"out": str(out), "documents": 1, "passages": 1, "entries": 5, "dimensions": 24}
    assert Index.load(out).metadata(str(more)) == {
        "document": str(more),
        "file": str(more),
        "line": 1,
        "text": "Good day.\n\nA bad one.",
    }

    shown = m2v("search", "sunny good", "--index", out, "-k", 2)
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[0].split("  ")[1:] == ["x", ROWS[0][1]]
    (line,) = m2v("search", "one", "--index", out, "-k", 1, "--mode", "lexical").stdout.splitlines()
    assert line.split("  ")[1] == f"{more}:1"


def test_an_index_needs_no_jax(teacher_folder: Path, table: Path, tmp_path: Path) -> None:
    """It is loaded, searched, and added to by the student, with m2v-core and bm25s alone."""
    out = tmp_path / "index"
    assert m2v("index", teacher_folder, table, "--out", out, *COLUMNS, "-q").returncode == 0
    code = """
import sys
from m2v_core.search import Index
index = Index.load(sys.argv[1])
print([hit.id for hit in index.search("sunny good day", k=2)][0], index.add(["a good sun"], ids=["new"]))
index.save(sys.argv[1])
print(len(Index.load(sys.argv[1])), sorted({name.partition(".")[0] for name in sys.modules} & {"jax", "m2v_distill"}))
"""
    done = subprocess.run([sys.executable, "-c", code, out], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["x ['new']", "5 []"], done.stderr


def test_lines_words_and_dtype(teacher_folder: Path, tmp_path: Path) -> None:
    lines, out = tmp_path / "lines.txt", tmp_path / "index"
    lines.write_text("a good day\n\nbad\n")
    options = ("--lines", "--no-words", "--dtype", "int8", "--quantize-to", "float32", "--sample", 1, "-q")
    assert m2v("index", teacher_folder, lines, "--out", out, *options).returncode == 0
    index = Index.load(out)
    assert (list(index), index.dtype) == ([f"{lines}:1", f"{lines}:3"], "int8")
    assert not (out / "lexical.safetensors").exists()
    assert index.model is not None
    assert index.model.embedding_dtype == "float32"
    assert index.model.config.distillation_settings["sample"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["{teacher}", "{table}"], 2, "--out"),
        (["{teacher}", "--out", "{out}"], 2, "DOCUMENTS"),
        (["{teacher}", "none.txt", "--out", "{out}"], 1, "none.txt"),
        (["{teacher}", "{table}", "--out", "{out}"], 1, "column 'text'; found 'name', 'body'"),
        (["{teacher}", "{table}", "--out", "{out}", "--text-column", "body", "--id-column", "no"], 1, "column 'no'"),
        (["{teacher}", "{bad}", "--out", "{out}"], 1, "expected UTF-8"),
        (["{teacher}", "{twice}", "--out", "{out}", "--id-column", "id"], 1, "found 'a' again"),
        (["{teacher}", "{twice}", "--out", "{out}", "--id-column", "list"], 1, "line 1: expected an id"),
        (["{teacher}", "{blank}", "--out", "{out}"], 1, "found none"),
        (["{table}", "{table}", "--out", "{out}", "--text-column", "body"], 1, "which is a file"),
        (["{teacher}", "{table}", "--out", "{bad}", "--text-column", "body"], 1, "found a file"),
        (
            ["{teacher}", "{table}", "--out", "{out}", "--text-column", "body", "--strength", "0"],
            1,
            "--strength should",
        ),
        (["{teacher}", "{table}", "--out", "{out}", "--text-column", "body", "--add"], 1, "expected the folder of an"),
        (["{teacher}", "{blank}", "--out", "{out}", "--id-column", "a"], 1, "--id-column is for files with columns"),
    ],
)
def test_errors(teacher_folder: Path, table: Path, tmp_path: Path, arguments: list[str], code: int, part: str) -> None:
    """Nothing is written."""
    bad, blank, twice, out = (tmp_path / name for name in ("bad.md", "blank.txt", "twice.jsonl", "out"))
    bad.write_bytes(b"good\n\xff\n")
    blank.write_text(" \n")
    twice.write_text('{"id": "a", "text": "good", "list": [1]}\n' * 2)
    files = {"teacher": teacher_folder, "table": table, "bad": bad, "blank": blank, "twice": twice, "out": out}
    done = m2v("index", *(argument.format(**files) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert not (tmp_path / "out.chunks").exists()


def test_add_leaves_the_index_as_it_is(
    make_teacher: Callable[..., Path], teacher_folder: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    assert m2v("index", teacher_folder, table, "--out", out, *COLUMNS, "-q").returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    for options, part in (
        (("--strength", 1), "found --strength"),
        (("--dtype", "int8", "--no-words"), "found --dtype, --no-words"),
        ((), "'x', which the index has"),
        (("--teacher",), "the teacher, and the prompt, that made the vectors"),
    ):
        other = options == ("--teacher",)
        teacher, rest = (make_teacher("electra"), ()) if other else (teacher_folder, ("--id-column", "name", *options))
        done = m2v("index", teacher, table, "--out", out, "--add", "--text-column", "body", *rest)
        assert done.returncode == 1
        assert part in done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_an_interruption_names_resume(
    teacher_folder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is finished is kept, and used by the same command with --resume; nothing is written before."""
    out, chunks = tmp_path / "index", tmp_path / "index.chunks"
    arguments = ("index", teacher_folder, table, "--out", out, *COLUMNS)
    with monkeypatch.context() as patch:
        patch.setattr("m2v_distill.teacher.engine.resume.INTERVAL", 0.0)
        patch.setattr("m2v_distill.collection.pipeline.student_table", _interrupt)
        done = m2v(*arguments)
    assert done.returncode == 130
    assert f"{chunks} holds the finished part: the same command with --resume continues" in done.stderr
    assert not out.exists()
    assert {path.parent.name for path in chunks.rglob("chunk-*")} == {"tokens", "passages"}
    done = m2v(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "resumed: " in done.stderr
    assert len(Index.load(out)) == 4
    assert not chunks.exists()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
