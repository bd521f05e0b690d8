"""Documents that a command reads: rows of tables, lines, or whole texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from m2v_core.errors import InvalidInputError, spelt


class Document(NamedTuple):
    """A document of a file.

    Attributes:
        file: The file, as it was named, with escapes for bytes that are no UTF-8.
        line: Number of its line or row, from 1 on; 0 for the whole text of a file.
        text: The text.
        id: The value of the id column; without one the file, and after a colon the line if there is one.
    """

    file: str
    line: int
    text: str
    id: int | str


def read_documents(
    path: Path, *, text_column: str | None = None, id_column: str | None = None, lines: bool = False
) -> Iterator[Document]:
    """The rows of a table, the lines of a text file, or all of its text as one; blank lines and texts are skipped.

    Args:
        path: A table by its ending, or a text with any other.
        text_column: Column of the texts of a table. Default: "text".
        id_column: Column of the ids of a table. Default: none.
        lines: Whether each line of a text file is a document.

    Raises:
        InvalidInputError: There is no such file or column, the file is not of its format, a text is none, or an id is
            neither a text nor a whole number.
        MissingPackageError: A Parquet file needs pyarrow.
    """
    from m2v_core.data.columns import TABLES, as_text, place_of, read_columns
    from m2v_core.storage.files import read_user_text

    shown = spelt(str(path))  # an index holds no name that is no Unicode
    bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if bare.suffix.lower() in TABLES:
        columns = [text_column or "text", *([] if id_column is None else [id_column])]
        hint = f"Name the column of the texts with --text-column{'' if id_column is None else ', of ids --id-column'}."
        for row in read_columns(path, columns, hint=hint):
            text, *ids = row.values
            place = f"{place_of(path)} {row.number}"
            name = _id(ids[0], place) if ids else f"{shown}:{row.number}"
            yield Document(shown, row.number, as_text(text, place_of(path), row.number), name)
        return
    if id_column is not None:
        raise InvalidInputError(
            f"--id-column is for files with columns ({', '.join(TABLES)}); found {id_column!r} for {path}. Leave it "
            f"out, or convert the file."
        )
    text = read_user_text(path)
    if lines:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield Document(shown, number, line, f"{shown}:{number}")
    elif text.strip():
        yield Document(shown, 0, text, shown)


def _id(value: Any, place: str) -> int | str:
    if isinstance(value, str) or type(value) is int:
        return value
    raise InvalidInputError(
        f"{place}: expected an id (a text or a whole number); found {value!r:.100}. Name another column: --id-column."
    )
