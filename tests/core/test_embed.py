"""Files of texts to shards of vectors: what is in them, which are written again, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from conftest import GOLDEN, make_model
from m2v_core import InvalidInputError, M2VError, StaticModel
from m2v_core.data.columns import read_texts
from m2v_core.embed import BatchEmbedder, Embedded, embed_files
from m2v_core.embed import read as reading
from m2v_core.embed.manifest import MANIFEST, read_manifest
from m2v_core.embed.workers import results
from m2v_core.storage.atomic import replaced_file

TEXTS = ["good day", "", "a bad, sunny day", '"quoted" day', "日本 good", "  sunny\tday "]
IDS = ["a", "b", "c", "d", "e", "f"]


def write_arrow(path: Path, table: pa.Table, *, stream: bool) -> None:
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=4)


def compressed(path: Path, content: bytes) -> None:
    kind = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.output_stream(str(path), compression=kind) as file:
        file.write(content)


def as_csv(delimiter: str) -> bytes:
    rows = [["id", "text"], *zip(IDS, TEXTS, strict=True)]
    quoted = ([f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row] for row in rows)
    return ("\ufeff" + "\r\n".join(delimiter.join(row) for row in quoted)).encode()


TABLE = pa.table({"id": IDS, "text": TEXTS})
JSONL = "".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in zip(IDS, TEXTS, strict=True)).encode()
LINES = ("\ufeff" + "\r\n".join(TEXTS)).encode()
WRITERS: dict[str, Callable[[Path], None]] = {
    "x.parquet": lambda path: parquet.write_table(TABLE, path, row_group_size=4),
    "x.arrow": lambda path: write_arrow(path, TABLE, stream=False),
    "y.arrow": lambda path: write_arrow(path, TABLE, stream=True),
    "x.feather": lambda path: feather.write_feather(TABLE, str(path)),
    "x.jsonl": lambda path: compressed(path, JSONL),
    "x.ndjson.gz": lambda path: compressed(path, JSONL.removesuffix(b"\n")),
    "x.jsonl.zst": lambda path: compressed(path, b"\n" + JSONL.replace(b"\n", b"\n\n")),
    "x.csv": lambda path: compressed(path, as_csv(",")),
    "x.csv.gz": lambda path: compressed(path, as_csv(",")),
    "x.tsv.zst": lambda path: compressed(path, as_csv("\t")),
    "x.txt": lambda path: compressed(path, LINES),
    "x.gz": lambda path: compressed(path, LINES + b"\r\n"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a model, and files of the same texts."""
    make_model(normalize=True).save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(done: Embedded, number: int = 0) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = parquet.read_table(done.paths[number]).to_pydict()
    return found


def vectors(path: Path, column: str = "vector") -> np.ndarray:
    found = parquet.read_table(path).column(column).combine_chunks()
    return found.values.to_numpy().reshape(len(found), -1)


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("block", [None, 30])
def test_formats(
    folder: Path, model: StaticModel, name: str, block: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block:
        monkeypatch.setattr("m2v_core.embed.read.ROWS", 4)
        if "csv" not in name and "tsv" not in name:  # a row must fit into a block
            monkeypatch.setattr("m2v_core.embed.text_tables.BLOCK", block)
    WRITERS[name](folder / name)
    done = embed_files("model", name, "out")
    assert (done.n_texts, done.n_embedded, done.n_kept, done.n_unknown) == (6, 6, 0, 1)
    found = rows(done)
    assert found["text"] == TEXTS
    assert list(found) == (["text", "vector"] if name in ("x.txt", "x.gz") else ["id", "text", "vector"])
    assert found.get("id", IDS) == IDS
    assert np.array_equal(vectors(done.paths[0]), model.encode(TEXTS, normalize=True))
    assert parquet.ParquetFile(done.paths[0]).num_row_groups == (2 if block else 1)
    assert done.paths[0].name == f"{name[0]}.parquet"


def test_long_texts_make_short_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the batches of the input are cut, a group has at most so many bytes, or one row."""
    texts = ["good " * (60 if number == 3 else 4) for number in range(20)]
    parquet.write_table(pa.table({"text": texts}), "x.parquet")
    monkeypatch.setattr(reading, "BYTES", 100)
    done = embed_files("model", "x.parquet", "out")
    file = parquet.ParquetFile(done.paths[0])
    groups = [file.read_row_group(number, ["text"]).column(0).to_pylist() for number in range(file.num_row_groups)]
    assert [text for group in groups for text in group] == texts
    assert max(len("".join(group)) for group in groups if len(group) > 1) <= 100
    assert any(len(group) > 1 for group in groups)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "uint8", "binary", "ubinary"])
def test_precisions(folder: Path, precision: str) -> None:
    model = make_model(normalize=True).calibrate(TEXTS)
    WRITERS["x.txt"](folder / "x.txt")
    for source in (model, "calibrated"):
        model.save_pretrained("calibrated")
        done = embed_files(source, "x.txt", f"out-{source is model}", precision=precision)
        assert np.array_equal(vectors(done.paths[0]), model.encode(TEXTS, precision=precision))
        assert done.dtype == model.encode([], precision=precision).dtype.name
        assert parquet.read_schema(done.paths[0]).field("vector").type.list_size == done.dim
    assert content(Path("out-True")) == content(Path("out-False"))


def test_options_decide_the_vectors(folder: Path) -> None:
    model = make_model()
    model.prompts = {"document": "bad ", "query": "good "}
    parquet.write_table(pa.table({"body": ["day", None, "", "good day sunny"], "n": [1, 2, 3, 4]}), "x.parquet")
    options = {"normalize": True, "max_length": 2, "truncate_dim": 5}
    done = embed_files(
        model, "x.parquet", "out", text_column="body", keep=["n"], vector_column="v", prompt_name="query", **options
    )
    found = vectors(done.paths[0], "v")
    assert np.array_equal(found[[0, 2, 3]], model.encode_query(["day", "", "good day sunny"], **options))
    assert not found[1].any()  # a missing text has no prompt either
    assert rows(done)["n"] == [1, 2, 3, 4]
    assert done.n_unknown == 1
    job, (shard,) = read_manifest("out")
    assert job["settings"]["prompt"] == "good "
    assert (shard.texts, shard.unknown, shard.bytes) == (4, 1, done.paths[0].stat().st_size)
    said = json.loads(parquet.read_schema(done.paths[0]).metadata[b"m2v"])
    assert (said["model"], said["settings"]) == (job["model"], job["settings"])
    assert np.array_equal(
        vectors(embed_files(model, "x.parquet", "plain", text_column="body").paths[0])[0], model.encode("day")
    )


def test_columns(folder: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["good", "day", None, "good"]).dictionary_encode(),
            "id": pa.array([3, 1, 2, 2], pa.uint8()),
            "tags": [["a"], [], None, ["b", "c"]],
            "vector": [1.0, 2.0, 3.0, 4.0],
            "at": pa.array([0, 1, 2, 3], pa.timestamp("us", tz="UTC")),
        }
    )
    parquet.write_table(table, "x.parquet")
    for keep in (["tags", "id"], ["at"], [], ["text", "at"]):
        done = embed_files("model", "x.parquet", f"out-{keep}", keep=keep)
        found = parquet.read_table(done.paths[0])
        assert found.column_names == [*keep, "vector"]
        assert found.select(keep).equals(table.select(keep))
    done = embed_files("model", "x.parquet", "all", vector_column="v")
    assert parquet.read_table(done.paths[0]).drop_columns(["v"]).equals(table)
    for name in ("large_string", "string_view"):
        if hasattr(pa, name):
            write_arrow(
                Path(f"{name}.arrow"), pa.table({"text": pa.array(["good", None], getattr(pa, name)())}), stream=False
            )
            assert embed_files("model", f"{name}.arrow", f"out-{name}", keep=[]).n_unknown == 1


def test_types_of_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column has one type, whatever its first block holds, and strings stay as they are."""
    monkeypatch.setattr("m2v_core.embed.text_tables.BLOCK", 20)
    objects: list[dict[str, Any]] = [
        {"text": None, "n": None, "at": "2026-11-30", "list": [], "never": None},
        {"text": "2026-11-30T10:00:00Z", "n": 1, "at": "2026-11-30T10:00:00Z", "object": {"a": None}},
        {"n": 1.5, "at": "yesterday", "text": "good", "list": [1], "object": {"a": "2026-01-01", "b": 1}},
    ]
    Path("x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects))
    found = parquet.read_table(embed_files("model", "x.jsonl", "out").paths[0])
    assert found.drop_columns(["vector"]).to_pydict() == {
        "text": [row["text"] for row in objects],
        "n": [None, 1.0, 1.5],
        "at": [row["at"] for row in objects],
        "list": [[], None, [1]],
        "never": [None, None, None],
        "object": [None, {"a": None, "b": None}, {"a": "2026-01-01", "b": 1}],
    }
    assert str(found.schema.field("never").type) == "string"
    Path("y.jsonl").write_text('{"text": "good", "n": 1, "m": 1}\n{"text": "day", "n": "a", "m": 2}\n')
    refused("one type for each key", "y.jsonl")
    refused("one type for each key", "y.jsonl", out="other", keep=["n"])
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    refused("one type for each key", "y.jsonl")  # in one block
    found = parquet.read_table(embed_files("model", "y.jsonl", "kept", keep=["m"]).paths[0])
    assert found.column("m").to_pylist() == [1, 2]
    Path("z.jsonl").write_text('{"n": 1}\n{"n": "a"}\n{')
    refused("in the lines from 1 on", "z.jsonl", out="third", keep=[], text_column="n")


@pytest.mark.parametrize("name", ["x.txt", "x.jsonl", "x.csv", "x.tsv.gz", "x.parquet"])
def test_nothing(folder: Path, name: str) -> None:
    if name == "x.parquet":
        parquet.write_table(TABLE.slice(0, 0), name)
    else:
        compressed(Path(name), b"")
    for keep in (None, ["id"]) if name != "x.txt" else (None, ["text"]):
        done = embed_files("model", name, f"out-{keep}", keep=keep)
        assert done.n_texts == 0
        assert parquet.read_schema(done.paths[0]).field("vector").type == pa.list_(pa.float32(), 8)


def test_names(folder: Path) -> None:
    """Inputs of one base name are told apart, and keep their shards when others come."""
    for name, text in (("a", "good"), ("b", "day"), ("c", "bad"), ("d", "bad")):
        Path(name).mkdir()
        Path(name, "x.txt").write_text(text)
    Path("a/X.jsonl.gz").write_bytes(b"")
    first = embed_files("model", ["b/x.txt", "a/*"], "out")
    assert [path.name for path in first.paths] == ["x.parquet", "X-2.parquet", "x-3.parquet"]
    before = content(Path("out"))
    second = embed_files("model", ["./a/x.txt", "?/x.txt", "b/x.txt"], "out")
    assert [path.name for path in second.paths] == ["x-3.parquet", "x.parquet", "x-4.parquet", "x-5.parquet"]
    assert (second.n_kept, second.n_embedded) == (2, 2)
    assert {name: data for name, data in content(Path("out")).items() if name in before and name != MANIFEST} == {
        name: data for name, data in before.items() if name != MANIFEST
    }
    assert [rows(second, number)["text"] for number in range(4)] == [["good"], ["day"], ["bad"], ["bad"]]
    moved = Path("elsewhere")
    Path("a").rename(moved)
    assert embed_files("model", [moved.absolute() / "x.txt"], "out").n_kept == 1


def test_what_is_written_again(folder: Path) -> None:
    names = [f"{number}.txt" for number in range(5)]
    for name in names:
        Path(name).write_text(f"good {name}")
    assert embed_files("model", names, "out").n_kept == 0
    expected, inodes = content(Path("out")), {path.name: path.stat().st_ino for path in Path("out").iterdir()}
    Path("out/0.parquet").unlink()
    Path("out/1.parquet").write_bytes(b"short")
    Path("2.txt").write_text("nice 2.txt")  # of the same size
    with Path("out", MANIFEST).open("ab") as file:
        file.write(b'{"shard": "3.parq')  # torn
    Path("out", f".{'0' * 32}.part").write_bytes(b"left")
    done = embed_files("model", names, "out")
    assert (done.n_kept, done.n_embedded) == (2, 3)
    assert content(Path("out")).keys() == expected.keys()
    assert [name for name, data in content(Path("out")).items() if data != expected[name]] != []
    kept = {path.name for path in Path("out").iterdir() if path.stat().st_ino == inodes[path.name]}
    assert kept == {"3.parquet", "4.parquet"}
    Path("2.txt").write_text("good 2.txt")
    assert embed_files("model", names, "out").n_embedded == 1
    assert content(Path("out")) == expected
    assert embed_files("model", names, "out").n_kept == 5
    assert content(Path("out")) == expected


def refused(match: str, *inputs: str, out: str = "out", source: Any = "model", **options: Any) -> None:
    with pytest.raises(InvalidInputError, match=match):
        embed_files(source, inputs, out, **options)


def test_other_folders_and_jobs(folder: Path) -> None:
    WRITERS["x.csv"](folder / "x.csv")
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    refused("new or empty folder.*found notes.txt", "x.csv", out="full")
    assert content(Path("full")) == {"notes.txt": b"mine"}
    embed_files("model", "x.csv", "out")
    before = content(Path("out"))
    make_model(dtype="float16").save_pretrained("other")
    refused(r"vectors of this model \(digest [0-9a-f]{12}\); found those of another", "x.csv", source="other")
    refused("precision='float16'; found 'float32'", "x.csv", precision="float16")
    refused(r"keep=\['id'\]; found None", "x.csv", keep=["id"])
    refused("normalize=False; found True", "x.csv", normalize=False)
    refused("text_column='id'; found 'text'", "x.csv", text_column="id")
    assert content(Path("out")) == before
    Path("out", MANIFEST).write_bytes(before[MANIFEST].replace(b'"shard": "', b'"shard": "../'))
    refused("line 2: expected a finished shard", "x.csv")
    Path("out", MANIFEST).write_bytes(before[MANIFEST].replace(b'"version": 1', b'"version": 2'))
    refused("line 1: expected a job of this version", "x.csv")
    Path("out", MANIFEST).write_bytes(b"")
    refused("without a whole line", "x.csv")


def test_two_runs_at_once(folder: Path) -> None:
    pytest.importorskip("fcntl", reason="folders are locked on Unix alone")
    import fcntl

    Path("x.txt").write_text("good")
    embed_files("model", "x.txt", "out")
    descriptor = os.open("out", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    refused("found another run at work there", "x.txt")
    os.close(descriptor)
    assert embed_files("model", "x.txt", "out").n_kept == 1


BAD = {
    "no column": (
        "x.jsonl",
        b'{"id": 1, "body": "a", "txt": "b"}',
        "its columns, 'id', 'body', 'txt'; found 'text'. Did you mean 'txt'?",
    ),
    "no header": ("x.csv", b"id,body\n1,a\n", "its columns, 'id', 'body'; found 'text'"),
    "no texts": ("x.jsonl", b'{"text": 1}', "text_column should be one of texts .string.; found 'text' of int64"),
    "objects": ("x.jsonl", b'{"text": {"a": "b"}}', "found 'text' of struct"),
    "not JSON": ("x.jsonl", b'{"text": "a"}\n\n{"text": \n', "in the lines from 1 on: expected a JSON object a line"),
    "an array": ("x.jsonl", b'["a"]\n', "expected a JSON object a line"),
    "mixed": ("x.jsonl", b'{"text": "a"}\n{"text": 1}\n', "of one type for each key"),
    "fields": ("x.csv", b"id,text\n1,a\n2,a,secret\n", "row 3: expected 2 fields, as in the header; found 3"),
    "the same twice": ("x.csv", b"text,text\na,b\n", "columns of different names; found 'text', 'text'"),
    "not UTF-8": ("x.txt", b"good\nd\xe9j\xe0\n", "line 2: expected UTF-8"),
    "not UTF-8 in CSV": ("x.csv", b"id,text\n1,d\xe9j\xe0\n", "expected a file of the format that its name says"),
    "no gzip": ("x.txt.gz", b"good", "expected a whole file"),
    "no zstd": ("x.csv.zst", b"good", "expected a whole file"),
    "no Parquet": ("x.parquet", b"PAR1 or not", "that pyarrow cannot read"),
    "no Arrow": ("x.arrow", b"ARROW1 or not", "that pyarrow cannot read"),
    "an ending": ("x.docx", b"good", "should end in .parquet"),
    "compressed": ("x.parquet.gz", b"good", "should end in .parquet"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(folder: Path, case: str) -> None:
    name, data, message = BAD[case]
    Path(name).write_bytes(data)
    with pytest.raises(InvalidInputError, match=f"^{name}.*{message}") as raised:
        embed_files("model", name, "out")
    assert "secret" not in str(raised.value)
    assert not list(Path().glob("out/*.part"))
    assert not list(Path().glob("out/*.parquet"))


def test_truncated_files(folder: Path) -> None:
    for name in ("x.ndjson.gz", "x.tsv.zst", "x.parquet", "x.arrow"):
        WRITERS[name](folder / name)
        Path(name).write_bytes(Path(name).read_bytes()[:-20])
        refused(f"^{name}", name)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("offset", [-1, 3, 2**30, -(2**31)])
def test_arrow_files_whose_offsets_lead_elsewhere(folder: Path, stream: bool, offset: int) -> None:
    """pyarrow reads what they point at, and may end the process."""
    table = pa.table({"text": ["good", "a day", "bad"]})
    write_arrow(Path("x.arrow"), table, stream=stream)
    data = Path("x.arrow").read_bytes()
    offsets = np.int32([0, 4, 9, 12]).tobytes()
    assert data.count(offsets) == 1
    Path("x.arrow").write_bytes(data.replace(offsets, np.int32([0, 4, offset, 12]).tobytes()))
    refused("^x.arrow: expected a file of the format.*offset", "x.arrow")
    assert not list(Path().glob("out/*.parquet"))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".feather", ".csv", ".jsonl", ".txt"])
def test_names_that_are_not_utf8(folder: Path, ending: str) -> None:
    name = os.fsdecode(b"x\xff") + ending
    WRITERS.get(f"x{ending}", lambda path: path.write_text("good\nday\n"))(folder / "plain")
    (folder / "plain").rename(folder / name)
    done = embed_files("model", name, os.fsdecode(b"out\xff"))
    assert done.n_embedded == done.n_texts > 0
    assert (
        list(read_texts(name, None if ending == ".txt" else "text")) if ending not in (".arrow", ".feather") else True
    )


def test_arrow_files_whose_texts_are_none(folder: Path) -> None:
    write_arrow(Path("x.arrow"), pa.table({"text": ["good", "d\u00e9j"]}), stream=False)
    data = Path("x.arrow").read_bytes()
    Path("x.arrow").write_bytes(data.replace("d\u00e9j".encode(), b"d\xff\xffj"))
    refused("^x.arrow: expected a file of the format.*UTF8", "x.arrow")


@pytest.mark.parametrize("settings", [None, [], "x", 3, [["precision", "float16"]]])
def test_a_manifest_whose_settings_are_none(folder: Path, settings: object) -> None:
    Path("x.txt").write_text("good")
    embed_files("model", "x.txt", "out")
    first, *lines = (Path("out") / MANIFEST).read_text().splitlines()
    job = json.dumps({**json.loads(first), "settings": settings})
    (Path("out") / MANIFEST).write_text("\n".join([job, *lines, ""]))
    refused(rf"{MANIFEST}, line 1: expected a job .* settings should be an object", "x.txt")
    with pytest.raises(InvalidInputError, match="settings should be an object"):
        read_manifest("out")


def test_bad_arguments(folder: Path) -> None:
    WRITERS["x.csv"](folder / "x.csv")
    refused("which is none. Check the spelling", "y.csv")
    refused("none that 'y.\\*' stands for", "y.*")
    refused("which is a folder.*model/\\*\\*/\\*.parquet", "model")
    refused("an input or more")
    refused("keep should be one of its columns, 'id', 'text'; found 'ids'. Did you mean 'id'?", "x.csv", keep=["ids"])
    refused("keep should be different names", "x.csv", keep=["id", "id"])
    refused("vector_column should be another name", "x.csv", vector_column="id")
    refused("vector_column should be another name", "x.csv", vector_column="id", keep=["id"])
    refused("truncate_dim should be", "x.csv", truncate_dim=9)
    refused("precision should be one of", "x.csv", precision="int4")
    refused("needs the range of each dimension", "x.csv", precision="int8")
    refused("prompt_name should be one of the model's", "x.csv", prompt_name="query")
    refused("workers should be a whole number, 1 or more", "x.csv", workers=0)
    refused("The output should be a folder", "x.csv", out="x.csv")
    with pytest.raises(TypeError, match=r"embed_files\(\) got .* 'columns'"):
        embed_files("model", "x.csv", "out", columns=["id"])
    with pytest.raises(M2VError, match="neither a folder"):
        embed_files("no-model", "x.csv", "out")
    assert not Path("out").exists()
    embed_files("model", "x.csv", "out")
    refused("outside of the output folder", "out/x.parquet")
    assert len(embed_files("model", "**/x.*", "out").shards) == 1  # wildcards do not find what was written


def test_a_file_that_changes_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.txt").write_text("good")

    def changed(*arguments: Any) -> Any:
        Path("x.txt").write_text("a longer text")
        return replaced_file(*arguments)

    monkeypatch.setattr("m2v_core.embed.shard.replaced_file", changed)
    refused("it changed meanwhile", "x.txt")
    assert [path.name for path in Path("out").iterdir()] == [MANIFEST]


def test_without_pyarrow() -> None:
    code = "import sys; sys.modules['pyarrow'] = None; import m2v_core.embed as e; e.BatchEmbedder; e.embed_files"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs pyarrow, which is not installed: pip install 'm2v-core[embed]'" in done.stderr


def test_workers(folder: Path) -> None:
    """Two processes write the same bytes as one."""
    for number in range(5):
        Path(f"{number}.txt").write_text("good day\n" * (number + 1))
    one = embed_files("model", "*.txt", "one", workers=1)
    two = embed_files("model", "*.txt", "two", workers=2)
    assert content(one.folder) == content(two.folder)
    assert (two.n_texts, two.n_embedded) == (15, 15)


def test_a_worker_that_ends() -> None:
    from embed_jobs import prepare

    counted: list[int] = []
    assert sorted(results(range(4), prepare, 2, counted.append)) == [0, 1, 4, 9]
    assert sorted(counted) == [0, 1, 2, 3]
    with pytest.raises(M2VError, match="exit code -9"):
        list(results([2, -9], prepare, 2, counted.append))
    with pytest.raises(ZeroDivisionError) as raised:
        list(results([2, -1], prepare, 2, counted.append))
    assert "in process" in raised.value.__notes__[0]


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(GOLDEN / "embed", tmp_path / "embed")
    monkeypatch.chdir(tmp_path / "embed")
    return tmp_path / "embed"


def test_folders_of_today_stay_usable(golden: Path) -> None:
    """A folder of an earlier version is continued, not begun again, and its vectors are those of the model."""
    before = content(Path("vectors"))
    done = embed_files("model", ["a/texts.csv", "b/texts.jsonl"], "vectors", keep=["id"], precision="float16")
    assert (done.n_kept, done.n_embedded, done.n_texts) == (2, 0, 5)
    assert content(Path("vectors")) == before
    model = StaticModel.from_pretrained("model")
    for path, source in zip(done.paths, (Path("a/texts.csv"), Path("b/texts.jsonl")), strict=True):
        if source.suffix == ".csv":
            texts = [line.split(",")[1] for line in source.read_text().splitlines()[1:]]
        else:
            texts = [json.loads(line)["text"] for line in source.read_text().splitlines()]
        assert np.array_equal(vectors(path), model.encode(texts, precision="float16"))


def test_a_model_is_loaded_once_in_a_process(folder: Path) -> None:
    """Each task gets a copy of the embedder; a folder that was saved anew is another model."""
    sent = pickle.dumps(BatchEmbedder("model"))
    copies = [pickle.loads(sent) for _ in range(2)]
    assert len(sent) < 1000
    assert copies[0].embedder.model is copies[1].embedder.model
    make_model(dim=5).save_pretrained("model")
    assert (copies[0].dim, pickle.loads(sent).dim) == (8, 5)


def test_a_model_that_changes_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from m2v_core.embed import run

    def opened(*arguments: Any) -> Any:
        make_model(dim=8, dtype="float16").save_pretrained("model")
        return before(*arguments)

    before = run.opened_manifest
    monkeypatch.setattr(run, "opened_manifest", opened)
    for number in range(2):
        Path(f"{number}.txt").write_text("good")
    refused("its files changed meanwhile", "*.txt", workers=2)


def test_batches() -> None:
    """Engines send a batch embedder to their workers by pickle."""
    model = make_model()
    embed = pickle.loads(pickle.dumps(BatchEmbedder(model, vector_column="v", truncate_dim=3)))
    batch = {"text": np.array(["good day", None, float("nan"), "bad"], object), "id": np.arange(4)}
    found = embed(batch)
    assert list(found) == ["text", "id", "v"]
    assert np.array_equal(found["v"][[0, 3]], model.encode(["good day", "bad"], truncate_dim=3))
    assert not found["v"][[1, 2]].any()
    assert (embed.dim, embed.dtype) == (3, np.float32)
    with pytest.raises(
        InvalidInputError, match="The batch: text_column should be one of its columns, 'id'; found 'text'"
    ):
        embed({"id": np.arange(2)})
    with pytest.raises(InvalidInputError, match="text"):
        embed({"text": [1, 2], "id": [1, 2]})
    with pytest.raises(TypeError, match="Did you mean 'text_column'"):
        BatchEmbedder(model, text_colum="a")
    with pytest.raises(InvalidInputError, match="model should be a folder"):
        BatchEmbedder(7)  # type: ignore[arg-type]
