from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import m2v_distill.corpus.read
from m2v_core import InvalidInputError, MissingPackageError
from m2v_distill.corpus.read import distinct, read_texts

TEXTS = ["a good day", 'she said "no", twice', "日本 \u2028 good", " kept as it is ", "tab\there"]

needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is missing: pip install pyarrow")

#: Any text that is not blank; a line cannot hold its own end.
texts_of_any_kind = st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip)
lines_of_any_kind = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r")).filter(str.strip)


def as_lines(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def as_csv(texts: list[str], column: str = "text", delimiter: str = ",", end: str = "\r\n") -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["number", column], *enumerate(texts)])
    return file.getvalue().encode()


def as_tsv(texts: list[str], column: str = "text") -> bytes:
    return as_csv(texts, column, "\t", "\n")


def as_jsonl(texts: list[str], column: str = "text") -> bytes:
    return b"".join(json.dumps({"number": i, column: text}).encode() + b"\n" for i, text in enumerate(texts))


def as_parquet(texts: list[str | None], column: str = "text") -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    table = pa.table({"number": range(len(texts)), column: pa.array(texts, pa.string())})
    parquet.write_table(table, file, row_group_size=2)
    return file.getvalue()


WRITERS: list[object] = [
    ("x.txt", as_lines),
    ("x", as_lines),
    ("x.csv", as_csv),
    ("x.TSV", as_tsv),
    ("x.jsonl", as_jsonl),
    ("x.ndjson", as_jsonl),
    pytest.param(("x.parquet", as_parquet), marks=needs_pyarrow),
]


@pytest.mark.parametrize("kind", WRITERS)
def test_each_kind_of_file(tmp_path: Path, kind: tuple[str, Callable[..., bytes]]) -> None:
    name, write = kind
    path = tmp_path / name
    path.write_bytes(write([*TEXTS[:3], "", " \t", *TEXTS[3:]]))
    assert list(read_texts(path)) == list(read_texts(str(path))) == TEXTS
    if write is not as_lines:
        path.write_bytes(write(TEXTS, "sentence"))
        assert list(read_texts([path, path], text_column="sentence")) == 2 * TEXTS
        with pytest.raises(InvalidInputError, match=r"column 'text'; found 'number', 'sentence'"):
            list(read_texts(path))
    if write is not as_parquet:
        compressed = tmp_path / f"{name}.gz"
        compressed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + write(TEXTS)))
        assert list(read_texts(compressed)) == TEXTS


@pytest.mark.parametrize("kind", WRITERS[2:])
@given(texts=st.lists(texts_of_any_kind, max_size=8))
@settings(max_examples=40, deadline=None)
def test_tables_round_trip(
    tmp_path_factory: pytest.TempPathFactory, kind: tuple[str, Callable[..., bytes]], texts: list[str]
) -> None:
    name, write = kind
    path = tmp_path_factory.mktemp("corpus") / name
    path.write_bytes(write(texts))
    assert list(read_texts(path)) == texts


@given(texts=st.lists(lines_of_any_kind, max_size=8), end=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=40, deadline=None)
def test_lines_round_trip(tmp_path_factory: pytest.TempPathFactory, texts: list[str], end: str) -> None:
    """U+2028 and its kin end no line, and the last line may lack its end."""
    path = tmp_path_factory.mktemp("corpus") / "x.txt"
    path.write_bytes(("\ufeff" + end.join(texts)).encode())
    assert list(read_texts(path)) == texts


def test_texts_in_memory(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("good\n")
    assert list(read_texts(iter(["a", "", "b\n"]))) == ["a", "b\n"]
    assert list(read_texts([])) == []
    assert list(read_texts(path for path in [tmp_path / "x.txt"])) == ["good"]
    assert list(read_texts([str(tmp_path / "x.txt")])) == [str(tmp_path / "x.txt")]


@pytest.mark.parametrize(
    ("corpus", "options", "part"),
    [
        (3, {}, "found int"),
        ("none.txt", {}, "'none.txt', and there is no such file"),
        (".", {}, "which is a folder"),
        ([Path("a good day")], {}, "no such file"),
        ([Path(__file__)], {}, r"should end in .*found '.py'"),
        ([Path("x.parquet.gz")], {}, r"found '.parquet.gz'"),
        ([Path("x.txt"), "a"], {}, "found paths and, as element 2, a str"),
        (["a"], {"text_column": "a"}, "found 'a' for texts"),
        ([Path("x.txt")], {"text_column": "a"}, "found 'a' for x.txt"),
    ],
)
def test_what_is_wrong_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: object, options: dict[str, str], part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.txt", "x.parquet.gz"):
        Path(name).touch()
    with pytest.raises(InvalidInputError, match=part):
        read_texts(corpus, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("corpus", "part"),
    [
        (["a", 3], "element 2: expected a text .*found int"),
        (["a", None], "found NoneType"),
        (["a", Path("a")], "found P"),
        (b"good", "found int"),
        (["a", "b\ud800"], "element 2: expected valid Unicode"),
    ],
)
def test_what_is_no_text(corpus: object, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        list(read_texts(corpus))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.txt", b"good\n\xff\n", r"x.txt, line 2: expected UTF-8"),
        ("x.txt", "good\n".encode("utf-16"), "line 1: expected UTF-8"),
        ("x.csv", b"", r"line 1: expected the column 'text'; found none"),
        ("x.csv", b"text,n\ngood,1\ngood, day,2\n", "line 3: expected 2 fields, as in the header; found 3"),
        ("x.csv", b'text,n\ngood,1\n"good" day,2\n', "line 3: expected fields separated by ','"),
        ("x.csv", b'text,n\n"good,1\n', "line 2: .*unexpected end of data"),
        ("x.csv", b"text\n" + b"x" * 200_000, "line 2: .*JSONL"),
        ("x.csv", b"text\n\xff\n", "line 2: expected UTF-8"),
        ("x.jsonl", b'{"text": "a"}\n\n{"text": }\n', "line 3: expected a JSON object; found an error"),
        ("x.jsonl", b'{"text": "a"}\n["a"]\n', "line 2: expected a JSON object; found list"),
        ("x.jsonl", b'{"text": "a"}\n{"txt": "a"}\n', "line 2: expected the column 'text'; found 'txt'"),
        ("x.jsonl", b'{"text": 3}\n', "line 1: expected a text .*found int"),
        ("x.jsonl", b'{"text": "\\ud800"}\n', "line 1: expected valid Unicode"),
        ("x.jsonl", b'{"text": ' + b"[" * 100_000, "line 1: expected a JSON object"),
        ("x.txt.gz", b"good\n", "expected a whole gzip file; found, after line 0"),
        ("x.txt.gz", gzip.compress(b"good\n" * 99, mtime=0)[:-12], "expected a whole gzip file"),
        pytest.param("x.parquet", b"good", "expected a Parquet file", marks=needs_pyarrow),
    ],
)
def test_what_is_wrong_in_a_file(tmp_path: Path, name: str, content: bytes, part: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=part):
        list(read_texts(tmp_path / name))


def test_missing_texts_are_blank(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": null}\n{"text": "a"}\n')
    assert list(read_texts(tmp_path / "x.jsonl")) == ["a"]
    (tmp_path / "x.csv").write_text("n,text\n\n1,\n2,a\n")
    assert list(read_texts(tmp_path / "x.csv")) == ["a"]


@needs_pyarrow
def test_columns_of_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "x.parquet"
    columns = {
        "n": pa.array([1, 2]),
        "bytes": pa.array([b"a", b"b"]),
        "categories": pa.array(["a", "b"]).dictionary_encode(),
        "missing": pa.array([None, "b"], pa.large_string()),
    }
    parquet.write_table(pa.table(columns), path)
    assert list(read_texts(path, text_column="categories")) == ["a", "b"]
    assert list(read_texts(path, text_column="missing")) == ["b"]
    for name, kind in (("n", "int"), ("bytes", "bytes")):
        with pytest.raises(InvalidInputError, match=rf"x.parquet, row 1: expected a text \(str\); found {kind}"):
            list(read_texts(path, text_column=name))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        list(read_texts(tmp_path / "x.parquet"))


def test_a_file_is_read_as_it_is_used(tmp_path: Path) -> None:
    """The error in the last line comes after the texts before it."""
    path = tmp_path / "x.txt"
    path.write_bytes(b"good\n" * 5 + b"\xff\n")
    stream = read_texts(path)
    assert [next(stream) for _ in range(5)] == ["good"] * 5
    with pytest.raises(InvalidInputError, match="line 6"):
        next(stream)


@given(texts=st.lists(st.text(max_size=2)), slots=st.sampled_from([1, 3, 1 << 21]))
@settings(max_examples=60, deadline=None)
def test_distinct_loses_nothing(texts: list[str], slots: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(m2v_distill.corpus.read, "SLOTS", slots)
        kept = list(distinct(texts))
    if slots > 3:
        assert kept == list(dict.fromkeys(texts))
    rest = iter(texts)
    assert all(text in rest for text in kept)  # in their order
    assert set(kept) == set(texts)
    assert all(one != other for one, other in pairwise(kept))
