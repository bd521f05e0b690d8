"""Tables of any size as streams of Arrow batches: Parquet, Arrow, JSONL, CSV, and lines of text.

`m2v_core.data.columns` reads single columns of such files as Python's values; here all columns keep their types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from m2v_core.embed.arrow import os_file, pa, parquet
from m2v_core.embed.text_tables import (
    COMPRESSIONS,
    Table,
    csv_columns,
    csv_table,
    json_columns,
    json_table,
    lines_table,
)
from m2v_core.errors import InvalidInputError
from m2v_core.storage.files import check_is_file

#: Rows of a batch that the model gets, and of a group of rows in a shard.
ROWS = 16_384

#: Bytes of a batch: it ends before, where texts are long. What is in memory at a time is a few times as much.
BYTES = 64 * 2**20

#: Rows of a Parquet file that are decoded at a time.
_DECODED = 2048

TABLES = (".parquet", ".arrow", ".feather", ".jsonl", ".ndjson", ".csv", ".tsv")
_BINARY = (".parquet", ".arrow", ".feather")


def kind_of(path: Path) -> str:
    """The format of a file by the ending of its name: one of `TABLES`, or "" or ".txt" for lines.

    Raises:
        InvalidInputError: There is no such file, or the ending is unknown.
    """
    check_is_file(path)
    inner = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    kind = inner.suffix.lower()
    if kind not in ("", ".txt", *TABLES) or (kind in _BINARY and inner != path):
        raise InvalidInputError(
            f"{path}: the name of an input should end in {', '.join(TABLES)}, .txt or nothing for a text a line, and "
            f"{' or '.join(COMPRESSIONS)} after any but {', '.join(_BINARY)}; found {''.join(path.suffixes)!r}. Rename "
            f"or convert it."
        )
    return kind


def stem_of(path: Path) -> str:
    """The name of a file without the endings that say its format.

    Example:
        >>> stem_of(Path("lake/day-1.5.jsonl.gz"))
        'day-1.5'
    """
    inner = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return (inner.with_suffix("") if inner.suffix.lower() in (".txt", *TABLES) else inner).name


def columns_of(path: Path, text_column: str) -> tuple[list[str] | None, int | None]:
    """Names of the columns of a file (`None` for JSONL and CSV without a row), and its rows if its head counts them.

    Raises:
        InvalidInputError: There is no such file, or it is not of its format.
    """
    kind = kind_of(path)
    with _as_input_errors(path):
        if kind == ".parquet":
            with os_file(path) as source, parquet.ParquetFile(source) as file:
                return file.schema_arrow.names, file.metadata.num_rows
        if kind in _BINARY:
            with _arrow_reader(path) as reader:
                return reader.schema.names, None
        if kind in (".csv", ".tsv"):
            return csv_columns(path, kind), None
        if kind in (".jsonl", ".ndjson"):
            return json_columns(path), None
        return [text_column], None


@contextmanager
def opened(path: Path, text_column: str, columns: Sequence[str] | None = None) -> Iterator[Table]:
    """The rows of a file as a stream, in batches of whatever size.

    Columns of Parquet and Arrow keep their types. Those of CSV are strings. Of JSONL each column has one type, that of
    all of its values, for which the file is read twice; a string stays a string, whatever it looks like, and a key
    that an object lacks is null. Lines are one column, `text_column`.

    Args:
        path: The file.
        text_column: Name of the column of a file of lines.
        columns: Names of the columns to read. Default: all.

    Raises:
        InvalidInputError: The file is not of its format; the error names it and, where it is known, the line.
    """
    kind = kind_of(path)
    with _as_input_errors(path):
        if kind == ".parquet":
            with os_file(path) as source, parquet.ParquetFile(source, buffer_size=2**20) as file:
                schema = file.schema_arrow
                names = schema.names if columns is None else list(columns)
                batches = file.iter_batches(_DECODED, columns=names, use_threads=False)
                yield Table(_chosen(schema, names), (batch.select(names) for batch in batches))
        elif kind in _BINARY:
            with _arrow_reader(path) as reader:
                schema = reader.schema
                names = schema.names if columns is None else list(columns)
                yield Table(_chosen(schema, names), (batch.select(names) for batch in _arrow_batches(reader)))
        elif kind in (".csv", ".tsv"):
            yield from csv_table(path, kind, text_column, columns)
        elif kind in (".jsonl", ".ndjson"):
            yield json_table(path, text_column, columns)
        else:
            yield lines_table(path, text_column)


def regrouped(batches: Iterable[Any], schema: Any) -> Iterator[Any]:
    """Batches as tables of `ROWS` rows, or fewer where these would be more than `BYTES`; a single row may be more.

    Where one ends depends on the rows alone, if the sizes of the batches do.
    """
    held: list[Any] = []
    rows = size = 0
    for batch in batches:
        for part in _parts(batch):
            rest = part
            while rest.num_rows:
                if held and (rows == ROWS or size + rest.nbytes > BYTES):
                    yield pa.Table.from_batches(held, schema)
                    held, rows, size = [], 0, 0
                taken, rest = rest.slice(0, ROWS - rows), rest.slice(ROWS - rows)
                held.append(taken)
                rows, size = rows + taken.num_rows, size + taken.nbytes
    if held:
        yield pa.Table.from_batches(held, schema)


def _parts(batch: Any) -> Iterator[Any]:
    """A batch in parts of at most `BYTES`, or of one row."""
    if batch.nbytes <= BYTES or batch.num_rows < 2:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _parts(batch.slice(0, half))
    yield from _parts(batch.slice(half))


@contextmanager
def _as_input_errors(path: Path) -> Iterator[None]:
    """Errors of pyarrow as errors that name the file; those of the system stay."""
    try:
        yield
    except InvalidInputError:
        raise
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{path}: expected a file of the format that its name says; found one that pyarrow cannot read: "
            f"{error!s:.200}. Write or copy it again."
        ) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise InvalidInputError(
            f"{path}: expected a whole file of the format that its name says; found a damaged one: {error!s:.200}. "
            f"Write or copy it again."
        ) from None


def _chosen(schema: Any, names: Sequence[str]) -> Any:
    return pa.schema([schema.field(name) for name in names])


@contextmanager
def _arrow_reader(path: Path) -> Iterator[Any]:
    """A reader of Arrow's file or stream format; the first bytes tell which."""
    with os_file(path) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file) as reader:
            yield reader


def _arrow_batches(reader: Any) -> Iterator[Any]:
    """The batches of a file, checked: pyarrow believes the offsets of a damaged one, and reads what they point at."""
    is_file = hasattr(reader, "num_record_batches")
    for batch in (reader.get_batch(number) for number in range(reader.num_record_batches)) if is_file else reader:
        batch.validate(full=True)
        yield batch
