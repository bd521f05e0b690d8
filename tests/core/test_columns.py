from __future__ import annotations

import csv
import gzip
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import InvalidInputError, MissingPackageError
from m2v_core.data.columns import as_label, read_columns, read_labelled, read_texts

needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is missing: pip install pyarrow")

#: A table of texts, labels and numbers, as each kind of file may hold it.
ROWS: list[tuple[Any, ...]] = [
    ("a good day", "weather", 1),
    ('"no", she said\ntwice', "talk", -2),
    (" 日本 ", "weather", 3),
]
HEADER = ("text", "label", "number")


def write_csv(path: Path, rows: list[tuple[Any, ...]] = ROWS) -> None:
    delimiter = "\t" if ".tsv" in path.name else ","
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([HEADER, *rows])


def write_jsonl(path: Path, rows: list[tuple[Any, ...]] = ROWS) -> None:
    path.write_text("".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n\n" for row in rows))


def write_parquet(path: Path, rows: list[tuple[Any, ...]] = ROWS) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: list(values) for name, values in zip(HEADER, zip(*rows, strict=True), strict=True)}
    parquet.write_table(pa.table(columns), path, row_group_size=2)


TABLES = [
    ("x.csv", write_csv),
    ("x.tsv.gz", write_csv),
    ("x.jsonl", write_jsonl),
    pytest.param("x.parquet", write_parquet, marks=needs_pyarrow),
]


@pytest.mark.parametrize(("name", "write"), TABLES)
def test_columns_by_name_in_any_order(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name)
    found = [row.values for row in read_columns(tmp_path / name, ["number", "text", "number"])]
    typed = str if write is write_csv else int
    assert found == [(typed(number), text, typed(number)) for text, _, number in ROWS]
    assert list(read_labelled(str(tmp_path / name), "text", "label")) == [row[:2] for row in ROWS]
    assert list(read_texts(tmp_path / name, "text")) == [row[0] for row in ROWS]
    assert list(read_texts(tmp_path / name, "label")) == [row[1] for row in ROWS]


@pytest.mark.parametrize(("name", "write"), TABLES)
def test_a_column_that_is_not_there(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name)
    with pytest.raises(InvalidInputError, match=r"column 'label2'; found 'text', 'label', 'number'. Name one of these"):
        list(read_columns(tmp_path / name, ["text", "label2"]))
    with pytest.raises(InvalidInputError, match=r"'number'. Use --label."):
        list(read_columns(tmp_path / name, ["label2"], hint="Use --label."))
    with pytest.raises(InvalidInputError, match=r"expected the names of the columns to read; found none"):
        read_columns(tmp_path / name)


def test_a_text_a_line(tmp_path: Path) -> None:
    """All lines count, empty ones too: what is said of the n-th belongs to it."""
    (tmp_path / "x.txt").write_text("\ufeffgood\n\n day \r\nlast", newline="")
    assert list(read_texts(tmp_path / "x.txt")) == ["good", "", " day ", "last"]
    assert [row.number for row in read_columns(tmp_path / "x.txt")] == [1, 2, 3, 4]
    with pytest.raises(InvalidInputError, match=r"found 'text' for .*x.txt, which holds a text a line"):
        read_texts(tmp_path / "x.txt", "text")


def test_lines_of_csv(tmp_path: Path) -> None:
    """A row's number is the line where it ends; blank lines are no rows, empty fields are values."""
    (tmp_path / "x.csv").write_text('text,label\n"a\nb",1\n\n,\n')
    assert list(read_columns(tmp_path / "x.csv", ["text", "label"])) == [(3, ("a\nb", "1")), (5, ("", ""))]


@pytest.mark.parametrize("label", ["a", "", 3, -1, [], ["a", "b"], [1, 2]])
def test_labels(tmp_path: Path, label: object) -> None:
    assert as_label(label, "x, line", 1) is label
    write_jsonl(tmp_path / "x.jsonl", [("a", label, 0)])
    assert list(read_labelled(tmp_path / "x.jsonl", "text", "label")) == [("a", label)]


@pytest.mark.parametrize("label", [None, True, 0.5, {}, ["a", 1], [True], [["a"]], [None]])
def test_what_is_no_label(tmp_path: Path, label: object) -> None:
    write_jsonl(tmp_path / "x.jsonl", [("a", "b", 0), ("a", label, 0)])
    with pytest.raises(InvalidInputError, match=r"x.jsonl, line 3: expected a label .*found"):
        list(read_labelled(tmp_path / "x.jsonl", "text", "label"))


@needs_pyarrow
def test_lists_and_nulls_of_parquet(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", [("a", ["b", "c"], 0.5), ("d", [], None)])
    assert list(read_labelled(tmp_path / "x.parquet", "text", "label")) == [("a", ["b", "c"]), ("d", [])]
    assert [row.values for row in read_columns(tmp_path / "x.parquet", ["number"])] == [(0.5,), (None,)]
    with pytest.raises(InvalidInputError, match=r"x.parquet, row 1: expected a text \(str\); found float"):
        list(read_texts(tmp_path / "x.parquet", "number"))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        list(read_columns(tmp_path / "x.parquet", ["text"]))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("none.txt", "and there is no such file"),
        (".", "which is a folder"),
        ("x.xlsx", r"should end in .*found '.xlsx'"),
    ],
)
def test_what_is_wrong_at_once(tmp_path: Path, name: str, part: str) -> None:
    (tmp_path / "x.xlsx").touch()
    with pytest.raises(InvalidInputError, match=part):
        read_columns(tmp_path / name, ["text"])


@given(rows=st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]))] * 3), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_tables_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]) -> None:
    folder = tmp_path_factory.mktemp("columns")
    write_jsonl(folder / "x.jsonl", rows)
    assert [row.values for row in read_columns(folder / "x.jsonl", HEADER)] == rows
    if not any("\r" in text or "\0" in text for row in rows for text in row):
        write_csv(folder / "x.csv", rows)
        assert [row.values for row in read_columns(folder / "x.csv", HEADER)] == rows
