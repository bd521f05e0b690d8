"""Files that a command writes, in the form that the end of their name says."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from m2v_core.errors import InvalidInputError, MissingPackageError
from m2v_core.redact import escaped, printable
from m2v_core.storage.atomic import check_output, replaced_file

#: Takes the next rows of an output.
Write = Callable[[Any], None]


def check_ending(path: Path | None, endings: Sequence[str]) -> None:
    """Raise unless a file of this name can be written and has a known ending, before any work.

    Raises:
        InvalidInputError: Another ending, or nothing can be written there.
        MissingPackageError: Parquet needs pyarrow.
    """
    if path is None:
        return
    check_output(path)
    special = path.exists() and not path.is_file()  # a FIFO or a device, whose name says nothing
    if path.suffix.lower() not in endings and not special:
        raise InvalidInputError(
            f"The name of --out should end in one of {', '.join(endings)}; found {path.name!r}. Choose another name."
        )
    if path.suffix.lower() == ".parquet":
        _parquet()


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingPackageError(
            "Writing Parquet needs pyarrow, which is not installed: pip install pyarrow"
        ) from None
    return pa, parquet


@contextmanager
def vector_output(path: Path | None, dim: int, dtype: str) -> Iterator[Write]:
    """Take vectors [n, dim] of a dtype: JSON arrays on stdout, or a file that is there when the block ends."""
    kind = "" if path is None else path.suffix.lower()
    if path is None or kind == ".jsonl":
        with _text(path) as file:
            yield lambda vectors: file.writelines(json.dumps(vector) + "\n" for vector in vectors.tolist())
    elif kind == ".csv":
        with _text(path) as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow([f"d{i}" for i in range(dim)])
            yield lambda vectors: table.writerows(map(str, vector) for vector in vectors)  # the shortest decimals
    elif kind == ".parquet":
        pa, _ = _parquet()
        schema = pa.schema([("vector", pa.list_(pa.from_numpy_dtype(dtype), dim))])
        with _parquet_rows(path, schema) as write:
            yield lambda vectors: write([pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim)])
    else:
        import numpy as np

        kept: list[Any] = []
        with replaced_file(path, "wb") as file:
            yield kept.append
            rows = np.concatenate(kept) if kept else np.zeros((0, dim), dtype)
            # As np.save, whose error on a full disk says neither that nor the file.
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(rows))
            file.write(rows.reshape(-1).view(np.uint8).data)


@contextmanager
def label_output(path: Path | None, names: Sequence[str] | None, *, objects: bool = False) -> Iterator[Write]:
    """Take rows of `(label, probabilities)`; the latter are `None`, or a number for each of `names`.

    stdout and `.txt` get a line for each: the label as one printable line, a JSON array of labels, or with
    probabilities a JSON object. `.jsonl`, and stdout if `objects` is set, get JSON objects; `.csv` and `.parquet` the
    column `label` and, with probabilities, one for each name.
    """
    kind = (".jsonl" if objects else "") if path is None else path.suffix.lower()
    if kind == ".csv":
        with _text(path) as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["label", *(names or ())])
            yield lambda rows: table.writerows([_field(label, file), *(values or ())] for label, values in rows)
    elif kind == ".parquet":
        pa, _ = _parquet()
        held: list[Any] = []
        yield held.extend
        columns = {"label": pa.array([label for label, _ in held])}
        for index, name in enumerate(names or ()):
            columns[name] = pa.array([values[index] for _, values in held], pa.float32())
        assert path is not None  # noqa: S101 - for the type checker
        table = pa.table(columns)
        with _parquet_rows(path, table.schema) as write:
            write([column.combine_chunks() for column in table.columns])
    else:
        with _text(path) as file:

            def line(label: Any, values: Sequence[float] | None) -> str:
                if values is not None:
                    probabilities = dict(zip(names or (), values, strict=True))
                    return json_line({"label": label, "probabilities": probabilities}, file)
                return json_line({"label": label}, file) if kind == ".jsonl" else _plain(label, file)

            yield lambda rows: file.writelines(f"{line(*row)}\n" for row in rows)


def _field(label: Any, file: Any) -> str:
    return json_line(label, file) if isinstance(label, list) else str(label)


def _plain(label: Any, file: Any) -> str:
    return json_line(label, file) if isinstance(label, list) else printable(str(label))


@contextmanager
def _text(path: Path | None) -> Iterator[Any]:
    """stdout, or a text file that is there when the block ends."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with replaced_file(path) as file:
        yield file


@contextmanager
def _parquet_rows(path: Path, schema: Any) -> Iterator[Callable[[list[Any]], None]]:
    pa, parquet = _parquet()
    with replaced_file(path, "wb") as file, parquet.ParquetWriter(file, schema) as writer:
        yield lambda columns: writer.write_batch(pa.record_batch(columns, schema=schema))


def json_line(value: object, out: Any) -> str:
    r"""A value as JSON, with the escapes of JSON for what the encoding of `out` lacks, and what could steer a terminal.

    Example:
        >>> import io
        >>> json_line("é", io.TextIOWrapper(io.BytesIO(), "ascii"))
        '"\\u00e9"'
        >>> json_line("calm" + chr(0x9B) + "31m", sys.stdout)
        '"calm\\u009b31m"'
    """
    line = escaped(json.dumps(value, ensure_ascii=False), lambda sign: json.dumps(sign)[1:-1])
    try:
        line.encode(getattr(out, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return line


def shown_table(facts: Mapping[str, object]) -> str:
    """Names and values as two columns; `-` stands for `None`.

    Example:
        >>> print(shown_table({"tokens": 3, "language": None}))
        tokens    3
        language  -
    """
    width = max(map(len, facts))
    rows = []
    for name, value in facts.items():
        text = "-" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        rows.append(f"{name:<{width}}  {printable(text)}")
    return "\n".join(rows)
