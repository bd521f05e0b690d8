"""`m2v search` as a user runs it."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from commands import m2v
from conftest import GOLDEN, make_model
from m2v_core.search import Index, passages

TEXT = "Good day. A good day.\n\nBad, unable.\nSunny days in the sun 7731.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    make_model().save_pretrained(folder / "m")
    (folder / "one.md").write_text(TEXT, encoding="utf-8")
    (folder / "two.py").write_text("unable = 'bad'\n\n\nsunny = 3\n", encoding="utf-8")
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["body", "n"], ["good good", "1"], ["", "2"], ["a bad\nday", "3"]])
    return folder


def found(folder: Path, *arguments: object) -> list[str]:
    done = m2v("search", *arguments, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def fails(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def objects(folder: Path, *arguments: object) -> list[dict[str, object]]:
    (line,) = found(folder, *arguments, "--json", "-q")
    return list(json.loads(line)["hits"])


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid", None])
def test_passages_of_files(mode: str | None, folder: Path) -> None:
    model, index = make_model(), Index(make_model(), lexical=True)
    for name in ("one.md", "two.py"):
        for passage in passages((folder / name).read_text(), model):
            index.add([passage.text], metadata=[{"file": name, "line": passage.line, "text": passage.text}])
    expected = index.search("sunny 7731", k=2, mode=mode)
    options = [] if mode is None else ["--mode", mode]
    hits = objects(folder, "sunny 7731", "one.md", "two.py", "--model", "m", "-k", 2, *options)
    assert [(hit["id"], hit["score"], hit["file"]) for hit in hits] == [
        (hit.id, hit.score, hit.metadata["file"]) for hit in expected
    ]
    lines = found(folder, "sunny 7731", "one.md", "two.py", "--model", "m", "-k", 2, *options)
    for line, hit in zip(lines, expected, strict=True):
        about = hit.metadata
        assert line == f"{hit.score:.3f}  {about['file']}:{about['line']}  {' '.join(about['text'].split())}"


def test_lines_and_rows(folder: Path) -> None:
    hits = objects(folder, "sunny", "two.py", "one.md", "--model", "m", "--lines", "--mode", "lexical")
    assert [(hit["file"], hit["line"], hit["text"]) for hit in hits] == [
        ("two.py", 4, "sunny = 3"),
        ("one.md", 4, "Sunny days in the sun 7731."),
    ]
    hits = objects(folder, "good day", "rows.csv", "--text-column", "body", "--model", "m", "--mode", "lexical")
    assert {(hit["line"], hit["text"]) for hit in hits} == {(2, "good good"), (5, "a bad\nday")}
    hits = objects(folder, "day", "one.md", "--model", "m", "--max-chars", 12)
    assert max(len(str(hit["text"])) for hit in hits) <= 12


def test_an_index_is_kept(folder: Path, tmp_path: Path) -> None:
    done = m2v("search", "good", "one.md", "--model", "m", "--save", tmp_path / "i", "--dtype", "int8", cwd=folder)
    n = len(passages(TEXT, make_model()))
    assert done.stderr == f"{tmp_path / 'i'}: {n} passages\n"
    assert found(folder, "good", "--index", tmp_path / "i") == done.stdout.splitlines()
    assert found(folder, "good", "--index", tmp_path / "i", "--model", "m") == done.stdout.splitlines()
    more = objects(folder, "sunny", "two.py", "--index", tmp_path / "i", "--save", tmp_path / "j")
    assert {hit["file"] for hit in more} == {"one.md", "two.py"}
    assert objects(folder, "sunny", "--index", tmp_path / "j") == more
    assert len(Index.load(tmp_path / "j")) > len(Index.load(tmp_path / "i")) == n
    assert Index.load(tmp_path / "i").dtype == "int8"


def test_an_index_made_elsewhere() -> None:
    folder = GOLDEN / "indexes" / "int8"
    expected = Index.load(folder).search("good", k=3)
    lines = m2v("search", "good", "--index", folder, "-k", 3).stdout.splitlines()
    assert lines == [f"{hit.score:.3f}  {hit.id}  {json.dumps(hit.metadata)}" for hit in expected]
    (line,) = m2v("search", "good", "--index", folder, "-k", 3, "--json").stdout.splitlines()
    assert [hit["metadata"] for hit in json.loads(line)["hits"]] == [hit.metadata for hit in expected]


def test_what_is_shown_cannot_steer_a_terminal(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x\x1b[31m.txt").write_text("good \x1b[31m day " + "and so on " * 99)
    done = m2v("search", "good", *tmp_path.iterdir(), "--model", folder / "m", "--lines")
    assert "\x1b" not in done.stdout
    assert "\\x1b[31m day" in done.stdout
    assert len(done.stdout.splitlines()[0]) < 220 + len(str(tmp_path)) + 20
    nothing = m2v("search", "qqq", folder / "two.py", "--model", folder / "m", "--mode", "lexical")
    assert (nothing.stdout, nothing.returncode) == ("", 0)
    assert "has a word or a token of the query" in nothing.stderr


def test_errors_come_before_the_work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2v_core.model.StaticModel.from_pretrained", lambda *_, **__: pytest.fail("loaded a model"))
    (tmp_path / "bytes.txt").write_bytes(b"good \xff")
    model = ("--model", folder / "m")
    fails(m2v("search", "good"), 1, "a model for the files, or an index; found neither")
    fails(m2v("search", "good", *model), 1, "files to search, or an index; found neither")
    fails(m2v("search", "good", tmp_path / "none.txt", *model), 1, "no such file")
    fails(m2v("search", "good", tmp_path, *model), 1, "which is a folder")
    fails(m2v("search", "good", tmp_path / "bytes.txt", *model), 1, "expected UTF-8 text")
    fails(
        m2v("search", "good", folder / "rows.csv", *model), 1, "the column 'text'; found 'body', 'n'", "--text-column"
    )
    fails(m2v("search", "good", "--index", tmp_path), 1, "the folder of an index")
    fails(m2v("search", "good", "--index", GOLDEN / "indexes" / "int8", "--dtype", "int8"), 1, "--dtype is for a new")
    fails(m2v("search", "good", folder / "one.md", *model, "--lines", "--max-chars", 9), 1, "--max-chars is for")
    fails(m2v("search", "good", folder / "one.md", *model, "--save", folder / "one.md"), 1, "should be a folder")
    fails(m2v("search", "good", folder / "one.md", *model, "--mode", "sparse"), 2, "--mode", "choose from")
    fails(m2v("search", "good", folder / "one.md", *model, "-k", 0), 2, "1 or more; found '0'")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fails(m2v("search", "good", folder / "one.md", *model, "--mode", "hybrid"), 1, "m2v-core[search]")


def test_modes_that_an_index_lacks(folder: Path, tmp_path: Path) -> None:
    done = m2v("search", "good", "--index", GOLDEN / "indexes" / "int8", "--mode", "hybrid")
    fails(done, 1, "an index made with lexical=True")
    bare = Index()
    bare.add(vectors=[[1, 2]])
    bare.save(tmp_path)
    fails(m2v("search", "good", "--index", tmp_path), 1, "no model to embed queries")
    fails(m2v("search", "good", folder / "one.md", "--index", tmp_path), 1, "has no model to embed the files")


def test_without_bm25s_it_searches_by_vectors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = objects(folder, "sunny", "one.md", "--model", "m", "--mode", "dense")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert objects(folder, "sunny", "one.md", "--model", "m") == expected


def test_help_teaches() -> None:
    assert "cut where its subject changes" in " ".join(m2v("search", "--help").stdout.split())
