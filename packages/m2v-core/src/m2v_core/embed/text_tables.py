"""Tables that are text: JSONL, CSV and lines, also compressed, as streams of Arrow batches."""

from __future__ import annotations

import csv as python_csv
import io
import json as python_json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m2v_core.embed.arrow import csv, json, os_file, pa
from m2v_core.errors import InvalidInputError

#: Bytes that are read at a time; a row of CSV must be shorter.
BLOCK = 8 * 2**20

#: Bytes that are read to know the columns.
HEAD = 2**18

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


class Table(NamedTuple):
    """A table that is being read.

    Attributes:
        schema: Names and types of the columns.
        batches: The rows, in order.
    """

    schema: Any
    batches: Iterator[Any]


def _bytes(path: Path) -> Any:
    """The bytes of a file as a stream, decompressed."""
    return pa.input_stream(os_file(path), compression=COMPRESSIONS.get(path.suffix.lower()), buffer_size=2**20)


def _blocks(path: Path, size: int = BLOCK) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about `size` bytes of them at a time, each with the number of its first line; no byte-order mark."""
    number, held = 1, [b""]
    with _bytes(path) as file:
        is_first = True
        while block := file.read(size):
            if is_first:
                block, is_first = block.removeprefix(b"\xef\xbb\xbf"), False
            end = block.rfind(b"\n") + 1
            if not end:
                held.append(block)
                continue
            lines = b"".join([*held, block[:end]])
            yield number, lines
            number, held = number + lines.count(b"\n"), [block[end:]]
    if last := b"".join(held):
        yield number, last


def lines_table(path: Path, column: str) -> Table:
    """Lines of text; no other character than a line feed ends one, and a carriage return before it is dropped."""
    schema = pa.schema([(column, pa.string())])

    def batches() -> Iterator[Any]:
        for number, block in _blocks(path):
            try:
                block.decode()
            except UnicodeDecodeError as error:
                raise InvalidInputError(
                    f"{path}, line {number + block[: error.start].count(10)}: expected UTF-8 text; found other bytes "
                    f"({error.reason}). Convert it, for instance with iconv."
                ) from None
            lines = block if block.endswith(b"\n") else block + b"\n"
            yield pa.record_batch([_strings(lines.replace(b"\r\n", b"\n"))], schema=schema)

    return Table(schema, batches())


def _strings(lines: bytes) -> Any:
    """Lines, each with a line feed after it, as an Arrow array of strings, without a Python object for each."""
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = ends - np.arange(len(ends))
    data = pa.py_buffer(lines.replace(b"\n", b""))
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), data)


def _empty(text_column: str, columns: Sequence[str] | None) -> Table:
    """The table of a file without a row that could tell its columns."""
    names = [text_column] if columns is None else columns
    return Table(pa.schema([(name, pa.string()) for name in names]), iter(()))


def csv_columns(path: Path, kind: str) -> list[str] | None:
    """The names in the header of a CSV or TSV file; `None` if it is empty."""
    with _bytes(path) as file:
        head = file.read(HEAD).decode(errors="replace").removeprefix("\ufeff")
    rows = python_csv.reader(io.StringIO(head, newline=""), delimiter=_DELIMITERS[kind])
    try:
        names = next((row for row in rows if row), None)
    except python_csv.Error as error:
        raise InvalidInputError(
            f"{path}, line 1: expected the names of the columns; found an error: {error}."
        ) from None
    return names


def csv_table(path: Path, kind: str, text_column: str, columns: Sequence[str] | None) -> Iterator[Table]:
    """The rows of a CSV or TSV file; all values are strings, and an empty field is an empty one."""
    names = csv_columns(path, kind)
    if names is None:
        yield _empty(text_column, columns)
        return
    wrong: list[Any] = []

    def note(row: Any) -> str:
        wrong.append(row)
        return "error"

    parse = csv.ParseOptions(delimiter=_DELIMITERS[kind], newlines_in_values=True, invalid_row_handler=note)
    types = dict.fromkeys(names, pa.string())
    convert = csv.ConvertOptions(column_types=types, strings_can_be_null=False, include_columns=columns)
    try:
        with _bytes(path) as file:
            block = csv.ReadOptions(use_threads=False, block_size=BLOCK)
            reader = csv.open_csv(file, read_options=block, parse_options=parse, convert_options=convert)
            yield Table(reader.schema, iter(reader))
    except pa.ArrowInvalid:
        if not wrong:
            raise
        row = wrong[0]
        where = "" if row.number is None else f", row {row.number}"
        raise InvalidInputError(
            f"{path}{where}: expected {row.expected_columns} fields, as in the header; found {row.actual_columns}. A "
            f"field that holds {_DELIMITERS[kind]!r} should be in double quotes."
        ) from None


def json_columns(path: Path) -> list[str] | None:
    """The keys of the first objects of a JSONL file; `None` if there are none."""
    for number, block in _blocks(path, HEAD):
        try:
            keys = dict.fromkeys(key for found in _values(block) for key, _ in found.items())
        except (ValueError, AttributeError, RecursionError):
            return _objects(path, number, block).schema.names or None  # has the words for what is wrong
        return list(keys) or None
    return None


def json_table(path: Path, text_column: str, columns: Sequence[str] | None) -> Table:
    """The objects of a JSONL file, which is read twice: first for the type of each column."""
    schema = _json_schema(path, columns)
    if schema is None:
        return _empty(text_column, columns)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    return Table(schema, _json_batches(path, schema))


def _json_batches(path: Path, schema: Any) -> Iterator[Any]:
    for number, block in _blocks(path):
        yield from _objects(path, number, block, schema).select(schema.names).to_batches()


def _json_schema(path: Path, columns: Sequence[str] | None) -> Any:
    """The type of each column, or of each of `columns`, as all lines have it; `None` if there are no lines."""
    found = pa.schema([])
    for number, block in _blocks(path):
        try:
            schema = _objects(path, number, block).schema
        except InvalidInputError:  # perhaps of a column that nobody needs
            if columns is None or (rest := _only(block, columns)) is None:
                raise
            schema = _objects(path, number, rest).schema
        wanted = [field for field in schema if columns is None or field.name in columns]
        plain = pa.schema([field.with_type(_without_times(field.type)) for field in wanted])
        try:
            found = pa.unify_schemas([found, plain], promote_options="permissive")
        except pa.ArrowException as error:
            raise InvalidInputError(
                f"{path}: expected values of one type for each key; found another from line {number} on: "
                f"{error!s:.200}. Convert them, or name other columns to keep."
            ) from None
    return pa.schema([field.with_type(_with_strings(field.type)) for field in found]) if len(found) else None


def _values(block: bytes) -> Iterator[Any]:
    """The values of lines of JSON, one by one."""
    return (python_json.loads(line) for line in block.splitlines() if line.strip())


def _only(block: bytes, columns: Sequence[str]) -> bytes | None:
    """The same objects with these keys alone, by a slower reader that does not mind the others; `None` if it does."""
    try:
        return b"".join(
            python_json.dumps({name: found[name] for name in columns if name in found}).encode() + b"\n"
            for found in _values(block)
        )
    except (ValueError, TypeError, RecursionError):
        return None


def _objects(path: Path, number: int, block: bytes, schema: Any = None) -> Any:
    """Lines of JSON objects as a table; `number` is that of the first line."""
    behavior = "infer" if schema is None else "ignore"
    try:
        return json.read_json(
            pa.BufferReader(block),
            read_options=json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=behavior),
        )
    except pa.ArrowInvalid as error:
        if not block.strip():
            return pa.table({})
        raise InvalidInputError(
            f"{path}, in the lines from {number} on: expected a JSON object a line, with values of one type for each "
            f"key; found an error: {error!s:.200}."
        ) from None


def _without_times(kind: Any) -> Any:
    """A type in which strings that look like a time are strings."""
    return _mapped(kind, lambda leaf: pa.string() if pa.types.is_timestamp(leaf) else leaf)


def _with_strings(kind: Any) -> Any:
    """A type in which what was null everywhere is a string, since not every reader of Parquet knows a type of nulls."""
    return _mapped(kind, lambda leaf: pa.string() if pa.types.is_null(leaf) else leaf)


def _mapped(kind: Any, change: Callable[[Any], Any]) -> Any:
    """A type with its leaves changed."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_mapped(field.type, change)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_mapped(kind.value_type, change)))
    return change(kind)
