"""Columns of texts in files that may be larger than memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsInt

from m2v_core import checks
from m2v_core.checks import lone_surrogate
from m2v_core.errors import InvalidInputError

#: Rows that are read at a time.
_ROWS = 16_384

#: The files of a column: one, or several one after the other.
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class FileColumn:
    """A column of texts in Parquet, Arrow, JSONL or CSV files, which training reads in parts. Needs pyarrow.

    Args:
        paths: A file, or several files one after the other, as `m2v embed` takes them.
        name: Name of the column.

    Example:
        >>> FileColumn("pairs.parquet", "question")
        FileColumn(paths='pairs.parquet', name='question')
    """

    paths: Paths
    name: str

    @property
    def files(self) -> list[Path]:
        """The files."""
        paths = [self.paths] if isinstance(self.paths, str | os.PathLike) else self.paths
        return [checks.path("paths", path) for path in paths]

    def take(self, rows: Iterable[SupportsInt]) -> list[Any]:
        """The values of some rows, whose numbers ascend."""
        found: list[Any] = []
        wanted, start = [int(row) for row in rows], 0
        for (part,) in parts_of([self]):
            here = [row - start for row in wanted[len(found) :] if row < start + len(part)]
            found += [part[row] for row in here]
            start += len(part)
        return found


def parts_of(columns: Sequence[FileColumn]) -> Iterator[tuple[list[Any], ...]]:
    """The values of columns of the same files, a part of the rows at a time.

    Raises:
        InvalidInputError: A file lacks a column, or is damaged.
        MissingPackageError: pyarrow is not installed.
    """
    from m2v_core.embed.read import columns_of, opened, regrouped

    names = list(dict.fromkeys(column.name for column in columns))
    for path in columns[0].files:
        found, _ = columns_of(path, names[0])
        for name in names:
            if found is not None and name not in found:
                raise InvalidInputError(
                    f"{path}: expected the column {name!r}; found {', '.join(map(repr, found)) or 'none'}. Name one of "
                    f"these."
                )
        with opened(path, names[0], names) as table:
            for batch in regrouped(table.batches, table.schema):
                values = {name: batch.column(name).to_pylist() for name in names}
                yield tuple(values[column.name] for column in columns)


def checked_columns(**columns: Any) -> list[FileColumn]:
    """Columns of pairs, which are all in the same files.

    Raises:
        InvalidInputError: One is no `FileColumn`, or in other files.
    """
    for name, column in columns.items():
        if not isinstance(column, FileColumn):
            raise InvalidInputError(
                f"{' and '.join(columns)} should all be columns of files (FileColumn), or all be lists; found both, "
                f"such as {type(column).__name__} for {name}."
            )
    found: list[FileColumn] = list(columns.values())
    if any(column.files != found[0].files for column in found):
        listed = ", ".join(f"{name} in {column.paths!r}" for name, column in zip(columns, found, strict=True))
        raise InvalidInputError(f"Columns of pairs should be in the same files; found {listed}.")
    return found


def row_texts(values: tuple[Any, ...], row: int) -> tuple[str, ...]:
    """The texts of a pair: the first, the second, and hard negatives, if there are any, one or a list.

    Raises:
        InvalidInputError: A value is not a text; the error gives the number of the row.
    """
    first, second, *rest = values
    more = rest[0] if rest and isinstance(rest[0], list) else rest
    texts = (first, second, *more)
    for text in texts:
        if not isinstance(text, str) or lone_surrogate(text) is not None:
            raise InvalidInputError(
                f"Files of pairs should hold texts (str) of valid Unicode; found {checks.shown(text)} in row "
                f"{row + 1}. Leave the row out."
            )
    return texts
