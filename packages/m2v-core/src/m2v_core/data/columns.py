"""Files of texts and labels as streams of rows: lines, CSV, JSONL and Parquet of any size."""

from __future__ import annotations

import csv
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from m2v_core import checks
from m2v_core.checks import lone_surrogate
from m2v_core.errors import InvalidInputError, MissingPackageError
from m2v_core.storage.files import check_is_file

#: A text's class, or its classes.
Label = str | int | list[str] | list[int]

#: Rows of a Parquet file that are read at a time.
ROWS = 4096


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        number: Number of the line or row where it ends, from 1 on.
        values: Values of the columns that were asked for.
    """

    number: int
    values: tuple[Any, ...]


_Rows = Iterator[Row]


def read_columns(path: str | os.PathLike[str], names: Sequence[str] = (), *, hint: str = "") -> Iterator[Row]:
    r"""Columns of a file, row by row, with at most a line or a batch of rows in memory.

    The ending of the file's name is its format: `.txt` or no ending is one text a line; `.csv` and `.tsv` are tables
    with a header; `.jsonl` and `.ndjson` have a JSON object a line; `.parquet` is a table (needs pyarrow). All but
    Parquet may be compressed (`.csv.gz`). Text is UTF-8, and a byte-order mark is dropped. Blank lines of a table are
    skipped.

    Args:
        path: The file.
        names: Columns, or keys of the objects; none for a file of lines, whose rows have one value.
        hint: Remedy in the error for a missing column.

    Returns:
        The rows, with values in the order of `names`: strings from lines (without their ends) and CSV; from JSONL and
        Parquet also numbers, lists, `None` and so on.

    Raises:
        InvalidInputError: At once: there is no such file, its ending is unknown, or `names` are given for lines, or
            none for a table. While reading: the content is not of the format, or there is no such column; the error
            names file and line.
        MissingPackageError: A Parquet file needs pyarrow.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "days.csv"
        ...     _ = path.write_text("text,label\na good day,1\nanother,0\n")
        ...     [row.values for row in read_columns(path, ["label", "text"])]
        [('1', 'a good day'), ('0', 'another')]
    """
    path = checks.path("path", path)
    kind = kind_of(path)
    if kind not in TABLES:
        if names:
            raise InvalidInputError(
                f"Columns are for files that have them ({', '.join(TABLES)}); found {', '.join(map(repr, names))} for "
                f"{path}, which holds a text a line."
            )
        return (Row(number, (line.removesuffix("\n").removesuffix("\r"),)) for number, line in _lines(path))
    if not names:
        raise InvalidInputError(f"{path}: expected the names of the columns to read; found none. {hint}".strip())
    return TABLES[kind](path, names, hint)


def read_texts(path: str | os.PathLike[str], text: str | None = None, *, hint: str = "") -> Iterator[str]:
    """The texts of a file, including blank ones; `text` names their column in a file with columns.

    Raises:
        InvalidInputError: As `read_columns`; or a value is not a text.
        MissingPackageError: A Parquet file needs pyarrow.
    """
    rows, place = read_columns(path, [] if text is None else [text], hint=hint), place_of(path)
    return (as_text(value, place, number) for number, (value,) in rows)


def read_labelled(
    path: str | os.PathLike[str], text: str, label: str, *, separator: str | None = None, hint: str = ""
) -> Iterator[tuple[str, Label]]:
    """Texts and their labels, from two columns of a table.

    Args:
        path: The file; see `read_columns`.
        text: Column of the texts.
        label: Column of the labels.
        separator: Separator of the labels in a string that holds several, as in CSV. Spaces around labels and empty
            labels are dropped. Default: a string is one label.
        hint: Remedy in the error for a missing column.

    Raises:
        InvalidInputError: As `read_columns`; or a value is not a text, or not a label.
        MissingPackageError: A Parquet file needs pyarrow.
    """
    if separator == "":
        raise InvalidInputError("The separator of labels should be a character or more; found ''.")
    rows, place = read_columns(path, [text, label], hint=hint), place_of(path)

    def labels(value: object, number: int) -> Label:
        found = as_label(value, place, number)
        if separator is None or not isinstance(found, str):
            return found
        return [one for part in found.split(separator) if (one := part.strip())]

    return ((as_text(one, place, number), labels(other, number)) for number, (one, other) in rows)


def count_lines(path: str | os.PathLike[str]) -> int | None:
    """About how many rows a file has, for a progress bar: its lines, or the rows of a Parquet file.

    `None` for what is no regular file, and for compressed files.
    """
    path = checks.path("path", path)
    if not path.is_file() or path.suffix.lower() == ".gz":
        return None
    if path.suffix.lower() == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        with pa.OSFile(os.fsencode(path)) as source:  # of a `str` pyarrow takes only those that are UTF-8
            return int(parquet.read_metadata(source).num_rows)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def place_of(path: str | os.PathLike[str]) -> str:
    """Prefix of a row's number in errors, such as "days.csv, line"."""
    return f"{os.fspath(path)}, {'row' if Path(path).suffix.lower() == '.parquet' else 'line'}"


def as_text(value: object, place: str, number: int) -> str:
    """A value that should be a text, checked; errors give its `place` (see `place_of`) and `number`.

    Raises:
        InvalidInputError: The value is not a text, or has a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidInputError(f"{place} {number}: expected a text (str); found {type(value).__name__}.")
    if lone_surrogate(value) is not None:
        raise InvalidInputError(f"{place} {number}: expected valid Unicode; found a lone surrogate. Remove it.")
    return value


def as_label(value: object, place: str, number: int) -> Label:
    """A value that should be a label, checked: a string or a whole number, or a list of either.

    Raises:
        InvalidInputError: The value is something else; the error gives its `place` and `number`.

    Example:
        >>> as_label(["good", "short"], "days.jsonl, line", 1)
        ['good', 'short']
    """
    kinds = set(map(type, value)) if isinstance(value, list) else {type(value)}
    if kinds not in (set(), {str}, {int}):
        raise InvalidInputError(
            f"{place} {number}: expected a label (a string or a whole number), or a list of labels of one kind; found "
            f"{value!r:.100}."
        )
    found: Label = value  # type: ignore[assignment]
    return found


def kind_of(path: Path) -> str:
    """The format of a file by the ending of its name: one of `TABLES`, or "" or ".txt" for lines.

    Raises:
        InvalidInputError: There is no such file, or the ending is unknown.
    """
    check_is_file(path)
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    kind = inner.suffix.lower()
    if kind not in ("", ".txt", *TABLES) or (kind == ".parquet" and inner != path):
        raise InvalidInputError(
            f"{path}: the name of a file of texts should end in .txt (or nothing), {', '.join(TABLES)}, and .gz "
            f"after any but .parquet; found {''.join(path.suffixes)!r}. Rename or convert it."
        )
    return kind


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and lines of a text file, with their line feeds; no other character ends a line."""
    number = 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.decode("utf-8")
                yield number, text.removeprefix("\ufeff") if number == 1 else text
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{path}, line {number}: expected UTF-8 text; found other bytes ({error.reason}). Convert it, for instance "
            f"with iconv."
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidInputError(
            f"{path}: expected a whole gzip file; found, after line {number}: {error}. Copy or compress it again."
        ) from None


def _check_columns(place: str, names: Sequence[str], found: Iterable[object], hint: str) -> None:
    columns = list(found)
    for name in names:
        if name not in columns:
            raise InvalidInputError(
                f"{place}: expected the column {name!r}; found {', '.join(map(repr, columns)) or 'none'}. "
                f"{hint or 'Name one of these.'}"
            )


def _delimiter_hint(header: Sequence[str], delimiter: str) -> str:
    """Remedy for a header whose only column seems to be several, with another separator than `delimiter`."""
    other = next((one for one in "\t;|," if one != delimiter and len(header) == 1 and one in header[0]), None)
    if other is None:
        return ""
    remedy = "Give the file a name that ends in .tsv." if other == "\t" else f"Write it with {delimiter!r}."
    return f"The fields of the header seem to be separated by {other!r}, and not by {delimiter!r}. {remedy}"


def _csv(path: Path, names: Sequence[str], hint: str, delimiter: str = ",") -> _Rows:
    rows = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        _check_columns(f"{path}, line 1", names, header, _delimiter_hint(header, delimiter) or hint)
        indices = [header.index(name) for name in names]
        for row in rows:
            if row and len(row) != len(header):
                raise InvalidInputError(
                    f"{path}, line {rows.line_num}: expected {len(header)} fields, as in the header; found {len(row)}. "
                    f"A field that holds {delimiter!r} should be in double quotes."
                )
            if row:
                yield Row(rows.line_num, tuple(row[index] for index in indices))
    except csv.Error as error:
        raise InvalidInputError(
            f"{path}, line {rows.line_num}: expected fields separated by {delimiter!r}, in double quotes where they "
            f"hold quotes (doubled) or line ends; found an error: {error}. Mend the line, or write the texts as JSONL."
        ) from None


def _tsv(path: Path, names: Sequence[str], hint: str) -> _Rows:
    return _csv(path, names, hint, "\t")


def _jsonl(path: Path, names: Sequence[str], hint: str) -> _Rows:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(
                f"{path}, line {number}: expected a JSON object; found an error: {error}. Each line should hold one."
            ) from None
        if not isinstance(found, dict):
            raise InvalidInputError(
                f"{path}, line {number}: expected a JSON object; found {type(found).__name__}. Each line should be "
                f'like {{"{names[0]}": "a text"}}.'
            )
        _check_columns(f"{path}, line {number}", names, found, hint)
        yield Row(number, tuple(found[name] for name in names))


def _parquet(path: Path, names: Sequence[str], hint: str) -> _Rows:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingPackageError(
            f"{path}: reading Parquet needs pyarrow, which is not installed: pip install pyarrow"
        ) from None
    try:
        with pa.OSFile(os.fsencode(path)) as source, parquet.ParquetFile(source) as file:  # a `str` should be UTF-8
            _check_columns(str(path), names, file.schema_arrow.names, hint)
            batches = file.iter_batches(ROWS, columns=list(dict.fromkeys(names)))
            rows = chain.from_iterable(
                zip(*(batch.column(name).to_pylist() for name in names), strict=True) for batch in batches
            )
            for number, values in enumerate(rows, 1):
                yield Row(number, values)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{path}: expected a Parquet file; found one that pyarrow cannot read: {error}. Write or copy it again."
        ) from None


#: Readers of files with columns, by the ending of their names.
TABLES: dict[str, Callable[[Path, Sequence[str], str], _Rows]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
