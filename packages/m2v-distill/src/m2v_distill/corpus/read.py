"""The texts of a corpus as a stream, from lines, tables or memory, however large the files are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path

import numpy as np

from m2v_core.data.columns import TABLES, as_text, kind_of, place_of, read_columns
from m2v_core.errors import InvalidInputError

#: A file, files, or the texts themselves.
Corpus = str | os.PathLike[str] | Iterable[str] | Iterable[os.PathLike[str]]

#: Slots of the table in which `distinct` remembers texts: 16 MiB.
SLOTS = 1 << 21

_FORMS = "texts (str), the path of a file, or paths (os.PathLike) of files"
_HINT = "Name the one that holds the texts: text_column=, or --text-column."


def read_texts(corpus: Corpus, *, text_column: str | None = None) -> Iterator[str]:
    """The texts of a corpus as a stream: only a line of a file, or a batch of rows, is in memory.

    The ending of a file's name gives its format: `.txt`, or no ending, one text a line; `.csv` and `.tsv` a table with
    a header; `.jsonl` and `.ndjson` one object a line; `.parquet` a table (needs pyarrow). All but the last may be
    compressed (`.csv.gz`). Text is UTF-8, and a byte-order mark is dropped. Blank and missing (null) texts are skipped.
    All others come as they are, without the line end.

    Args:
        corpus: A `str` or path is a file; an iterable of paths (not `str`) are files, one after the other; an iterable
            of `str` are the texts themselves.
        text_column: Column, or key of each object, with the text. Default: "text".

    Raises:
        InvalidInputError: At once: there is no such file, its ending is unknown, or `text_column` is given for files
            without columns. While reading: the file is not of its format, has no such column, or holds values other
            than texts; the error names file and line.
        MissingPackageError: A Parquet file needs pyarrow.

    Example:
        >>> list(read_texts(["a good day", " ", "another"]))
        ['a good day', 'another']
    """
    if isinstance(corpus, str | os.PathLike):
        if not Path(corpus).exists():
            raise InvalidInputError(
                f"corpus should be {_FORMS}; found {os.fspath(corpus)!r}, and there is no such file. For a single "
                f"text, pass a list."
            )
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
    """Texts without repeats, in constant memory.

    A table with `SLOTS` slots holds 64-bit hashes; the lowest bits of a text's hash give its slot. A text is dropped if
    its hash is in its slot; otherwise it is yielded, and its hash replaces the one in the slot. So a text is lost only
    if two hashes are equal (with 100 million texts, a probability below 1 in 3,000). A repeat is dropped as long as the
    slot still has its hash: after n other texts it comes again with probability 1 - exp(-n / SLOTS).

    Example:
        >>> list(distinct(["a", "b", "a", "", "b", ""]))
        ['a', 'b', '']
    """
    seen = np.zeros(SLOTS, np.uint64)
    for text in texts:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        known = int.from_bytes(digest, "little") or 1  # 0 marks an empty slot
        slot = known % SLOTS
        if seen[slot] != known:
            seen[slot] = known
            yield text


def _path(number: int, item: object) -> Path:
    if not isinstance(item, os.PathLike):
        raise InvalidInputError(
            f"corpus should be {_FORMS}; found paths and, as element {number}, a {type(item).__name__}. "
            f"Make all of them paths: pathlib.Path(...)."
        )
    return Path(item)


def _texts(found: Iterable[tuple[int, object]], place: str) -> Iterator[str]:
    """The texts among numbered values, checked and without blank ones; `place` names their source in errors."""
    for number, value in found:
        if (text := as_text(value, place, number)).strip():
            yield text


def _from_files(paths: Sequence[Path], text_column: str | None) -> Iterator[str]:
    kinds = [kind_of(path) for path in paths]
    if text_column is not None and not set(kinds) & set(TABLES):
        raise InvalidInputError(
            f"text_column is for files with columns ({', '.join(TABLES)}); found {text_column!r} for "
            f"{', '.join(path.name for path in paths)}, which hold a text a line."
        )
    column = "text" if text_column is None else text_column

    def texts() -> Iterator[str]:
        for path, kind in zip(paths, kinds, strict=True):
            rows = read_columns(path, [column] if kind in TABLES else [], hint=_HINT)
            yield from _texts(((number, "" if value is None else value) for number, (value,) in rows), place_of(path))

    return texts()
