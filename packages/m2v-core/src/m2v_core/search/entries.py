"""Ids and metadata of the rows of an index, as lines of JSON that are read when they are asked for."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError, ModelFormatError

#: Name of an entry.
Id: TypeAlias = "int | str"

#: The largest id that is a whole number: it fits into 64 bits.
MOST = (1 << 63) - 1


class Lines(NamedTuple):
    """Lines of text, one after the other.

    Attributes:
        data: [bytes] uint8, the UTF-8 of all lines, each with its line feed.
        ends: [n] int64, where each line ends.
        where: Name of the file in errors.
    """

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]
    where: str = "entries"

    def line(self, number: int) -> bytes:
        """The line of a number from 0 on."""
        start = int(self.ends[number - 1]) if number else 0
        return self.data[start : int(self.ends[number])].tobytes()


class Entries:
    """Ids and metadata in the order of the rows of an index.

    Args:
        lines: Lines of entries that exist already; each is read, and checked, when it is asked for.

    Example:
        >>> entries = Entries()
        >>> entries.append([7, "b"], [None, {"page": 3}])
        >>> len(entries), entries[1], entries.row("b")
        (2, ('b', {'page': 3}), 1)
    """

    def __init__(self, lines: Lines | None = None) -> None:
        self._parts = [lines] if lines is not None and len(lines.ends) else []
        self._starts = [0][: len(self._parts)]
        self._length = len(lines.ends) if lines is not None else 0
        self._rows: dict[Id, int] | None = None if self._parts else {}
        self._decoded: list[tuple[Id, Any]] = []

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> tuple[Id, Any]:
        """Id and metadata of a row.

        Raises:
            ModelFormatError: The line in the file is damaged.
        """
        part = bisect_right(self._starts, row) - 1
        return _decoded(self._parts[part], row - self._starts[part])

    def __iter__(self) -> Iterator[tuple[Id, Any]]:
        for part in self._parts:
            for number in range(len(part.ends)):
                yield _decoded(part, number)

    def row(self, name: Any) -> int | None:
        """The row of an id; `None` if there is no such id."""
        rows = self._by_id()
        return rows.get(name) if type(name) in (int, str) else None

    def append(self, ids: Sequence[Id], metadata: Sequence[Any]) -> None:
        """Add entries, all or none.

        Raises:
            InvalidInputError: An id is no whole number or text, or there is one like it; metadata is not JSON.
        """
        new: dict[Id, int] = {}
        known = self._by_id() if ids else new
        for number, name in enumerate(ids):
            _check_id(name)
            if name in known or name in new:
                raise InvalidInputError(
                    f"Each id should be given once; found {name!r} again. Choose another, or remove([{name!r}]) first."
                )
            new[name] = self._length + number
        lines = [_encoded(name, about) for name, about in zip(ids, metadata, strict=True)]
        if lines:
            ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)))
            self._parts.append(Lines(np.frombuffer(b"".join(lines), np.uint8), ends))
            self._starts.append(self._length)
        self._length += len(lines)
        known.update(new)

    def forget(self, ids: Iterable[Id]) -> None:
        """Let ids be used again; their rows stay."""
        rows = self._by_id()
        for name in ids:
            del rows[name]

    def decoded(self) -> Sequence[tuple[Id, Any]]:
        """All entries; they are kept for the next call."""
        if len(self._decoded) < self._length:
            self._decoded = list(self)
        return self._decoded

    def lines(self, rows: NDArray[np.int64] | None = None) -> Iterator[bytes | memoryview]:
        """The lines of all rows in large pieces, or those of some rows one by one."""
        if rows is None:
            yield from (part.data.data for part in self._parts)
            return
        for row in rows.tolist():
            part = bisect_right(self._starts, row) - 1
            yield self._parts[part].line(row - self._starts[part])

    def lengths(self) -> NDArray[np.int64]:
        """[n] the number of bytes of each line."""
        ends = [np.diff(part.ends, prepend=0) for part in self._parts]
        return np.concatenate(ends) if ends else np.zeros(0, np.int64)

    def _by_id(self) -> dict[Id, int]:
        """Rows by id, of all lines of a file when it is first needed."""
        if self._rows is None:
            rows = {name: row for row, (name, _) in enumerate(self)}
            if len(rows) < self._length:
                raise ModelFormatError(
                    f"{self._parts[0].where}: expected each id once; found {len(rows)} ids in {self._length} lines. "
                    f"Make the index again."
                )
            self._rows = rows
        return self._rows


def _check_id(name: Any) -> None:
    if type(name) is str or (type(name) is int and -MOST <= name <= MOST):
        return
    raise InvalidInputError(
        f"An id should be a text (str) or a whole number (int) of 64 bits; found {checks.shown(name)} "
        f"({type(name).__name__}). Convert it."
    )


def _encoded(name: Id, about: Any) -> bytes:
    try:
        return json.dumps([name, about], ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:  # of Unicode too
        raise InvalidInputError(
            f"The metadata of {name!r:.100} should be what JSON can hold (numbers, valid texts, lists, dictionaries, "
            f"true, false and null); found an error: {error}."
        ) from None


def _decoded(lines: Lines, number: int) -> tuple[Id, Any]:
    try:
        name, about = json.loads(lines.line(number), parse_constant=_refused)
        _check_id(name)
    except (ValueError, TypeError, RecursionError):  # InvalidInputError is a ValueError
        raise ModelFormatError(
            f"{lines.where}, line {number + 1}: expected a JSON array of an id and its metadata; found something else. "
            f"Make the index again."
        ) from None
    return name, about


def _refused(constant: str) -> Any:
    raise ValueError(constant)  # NaN and infinities, which other programs do not read
