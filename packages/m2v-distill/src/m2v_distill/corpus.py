"""A corpus: texts out of lines, tables or memory, one after the other, however large the files."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path

import numpy as np

from m2v_core.errors import InvalidInputError, MissingPackageError

#: One file, files, or the texts themselves.
Corpus = str | os.PathLike[str] | Iterable[str] | Iterable[os.PathLike[str]]

#: Slots of the table by which `distinct` knows a text again: 16 MiB.
SLOTS = 1 << 21

#: Rows of a Parquet file that are read at a time.
ROWS = 4096

_FORMS = "texts (str), the path of a file, or paths (os.PathLike) of files"
_SURROGATE = re.compile("[\ud800-\udfff]")

#: What a reader finds in a file: the number of a line or row, and what should be a text.
_Found = Iterator[tuple[int, object]]


def read_texts(corpus: Corpus, *, text_column: str | None = None) -> Iterator[str]:
    """The texts of a corpus, as a stream: of a file no more than a line, or a batch of rows, is held.

    A file's name says what it is: `.txt`, or no ending, a text a line; `.csv` and `.tsv` a table with a header;
    `.jsonl` and `.ndjson` an object a line; `.parquet` a table (needs pyarrow). All but the last may be compressed
    (`.csv.gz`). Text is UTF-8, and a byte-order mark is dropped. Blank texts are skipped, and so are missing ones
    (null); all others come as they are, without the end of their line.

    Args:
        corpus: One `str` or path is a file; an iterable of paths (not `str`) are files, one after the other; an
            iterable of `str` are the texts themselves.
        text_column: The column, or key of each object, that holds the text. Default: "text".

    Raises:
        InvalidInputError: At once: there is no such file, its ending is unknown, or `text_column` is given for files
            without columns. While reading: the file is not what its name says, has no such column, or holds something
            else than texts; the error names file and line.
        MissingPackageError: A Parquet file needs pyarrow.

    Example:
        >>> list(read_texts(["a good day", " ", "another"]))
        ['a good day', 'another']
    """
    if isinstance(corpus, str | os.PathLike):
        return _from_files([Path(corpus)], text_column)
    if not isinstance(corpus, Iterable):
        raise InvalidInputError(f"corpus should be {_FORMS}; found {type(corpus).__name__}.")
    items: Iterator[object] = iter(corpus)
    first = list(islice(items, 1))
    items = chain(first, items)
    if first and isinstance(first[0], os.PathLike):
        return _from_files([_path(number, item) for number, item in enumerate(items, 1)], text_column)
    if text_column is not None:
        raise InvalidInputError(f"text_column is for files with columns; found {text_column!r} for texts.")
    return _texts(enumerate(items, 1), "corpus, element")


def distinct(texts: Iterable[str]) -> Iterator[str]:
    """Texts without repeats, in memory that does not grow.

    A table with `SLOTS` places holds 64-bit hashes, each text's at the place that its lowest bits name. A text is
    dropped if its hash is there; else it comes out, and its hash takes the place. So no text is lost but by two equal
    hashes (in 100 million texts with a chance below 1 in 3,000), and a repeat is dropped while the place still holds
    its hash. One far away may come out again: after n other texts with the probability 1 - exp(-n / SLOTS).

    Example:
        >>> list(distinct(["a", "b", "a", "", "b", ""]))
        ['a', 'b', '']
    """
    seen = np.zeros(SLOTS, np.uint64)
    for text in texts:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        known = int.from_bytes(digest, "little") or 1  # 0 stands for an empty place
        place = known % SLOTS
        if seen[place] != known:
            seen[place] = known
            yield text


def _path(number: int, item: object) -> Path:
    if not isinstance(item, os.PathLike):
        raise InvalidInputError(
            f"corpus should be {_FORMS}; found paths and, as element {number}, a {type(item).__name__}. "
            f"Make all of them paths: pathlib.Path(...)."
        )
    return Path(item)


def _texts(found: Iterable[tuple[int, object]], place: str) -> Iterator[str]:
    """What was found, checked; `place` and a number say where."""
    for number, text in found:
        if not isinstance(text, str):
            raise InvalidInputError(f"{place} {number}: expected a text (str); found {type(text).__name__}.")
        if not text.isascii() and _SURROGATE.search(text):
            raise InvalidInputError(f"{place} {number}: expected valid Unicode; found a lone surrogate. Remove it.")
        if text.strip():
            yield text


def _from_files(paths: Sequence[Path], text_column: str | None) -> Iterator[str]:
    endings = [_ending(path) for path in paths]
    if text_column is not None and set(endings) <= {"", ".txt"}:
        raise InvalidInputError(
            f"text_column is for files with columns ({', '.join(_COLUMNS)}); found {text_column!r} for "
            f"{', '.join(path.name for path in paths)}, which hold a text a line."
        )

    def texts() -> Iterator[str]:
        for path, ending in zip(paths, endings, strict=True):
            if ending in _COLUMNS:
                found = _COLUMNS[ending](path, "text" if text_column is None else text_column)
            else:
                found = ((number, line.removesuffix("\n").removesuffix("\r")) for number, line in _lines(path))
            yield from _texts(found, f"{path}, {'row' if ending == '.parquet' else 'line'}")

    return texts()


def _ending(path: Path) -> str:
    if not path.exists() or path.is_dir():
        raise InvalidInputError(
            f"corpus should be {_FORMS}; found {str(path)!r}, "
            f"{'which is a folder' if path.is_dir() else 'and there is no such file'}. For a single text, pass a list."
        )
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    ending = inner.suffix.lower()
    if ending not in ("", ".txt", *_COLUMNS) or (ending == ".parquet" and inner != path):
        raise InvalidInputError(
            f"{path}: the name of a file of texts should end in .txt (or nothing), {', '.join(_COLUMNS)}, and .gz "
            f"after any but .parquet; found {''.join(path.suffixes)!r}. Rename or convert it."
        )
    return ending


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and lines of a text file, with what ends them; only a line feed does."""
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


def _no_column(where: str, column: str, found: Iterable[object]) -> InvalidInputError:
    return InvalidInputError(
        f"{where}: expected the column {column!r}; found {', '.join(map(repr, found)) or 'none'}. Name the one that "
        f"holds the texts: text_column=, or --text-column."
    )


def _csv(path: Path, column: str, delimiter: str = ",") -> _Found:
    rows = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        if column not in header:
            raise _no_column(f"{path}, line 1", column, header)
        place = header.index(column)
        for row in rows:
            if row and len(row) != len(header):
                raise InvalidInputError(
                    f"{path}, line {rows.line_num}: expected {len(header)} fields, as in the header; found {len(row)}. "
                    f"A field that holds {delimiter!r} should be in double quotes."
                )
            yield rows.line_num, row[place] if row else ""
    except csv.Error as error:
        raise InvalidInputError(
            f"{path}, line {rows.line_num}: expected fields separated by {delimiter!r}, in double quotes where they "
            f"hold quotes (doubled) or line ends; found an error: {error}. Mend the line, or write the texts as JSONL."
        ) from None


def _tsv(path: Path, column: str) -> _Found:
    return _csv(path, column, "\t")


def _jsonl(path: Path, column: str) -> _Found:
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
                f'like {{"{column}": "a text"}}.'
            )
        if column not in found:
            raise _no_column(f"{path}, line {number}", column, found)
        yield number, "" if found[column] is None else found[column]


def _parquet(path: Path, column: str) -> _Found:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingPackageError(
            f"{path}: reading Parquet needs pyarrow, which is not installed: pip install pyarrow"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise _no_column(str(path), column, file.schema_arrow.names)
            batches = file.iter_batches(ROWS, columns=[column])
            rows = chain.from_iterable(batch.column(0).to_pylist() for batch in batches)
            for number, value in enumerate(rows, 1):
                yield number, "" if value is None else value
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{path}: expected a Parquet file; found one that pyarrow cannot read: {error}. Write or copy it again."
        ) from None


#: Kinds of files with columns, by the end of their names.
_COLUMNS: dict[str, Callable[[Path, str], _Found]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
