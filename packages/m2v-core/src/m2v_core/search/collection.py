"""The rows of an index: vectors, ids, metadata and words, of which some may have been removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.ragged import Ragged
from m2v_core.search.entries import Entries, Id
from m2v_core.search.lexical import Lexical
from m2v_core.search.table import Table

#: Which entries may be hits: keys of their metadata, with the value or a list of the values that they may have; or a
#: function of id and metadata.
Filter: TypeAlias = "Mapping[str, Any] | Callable[[Id, Any], bool]"


class Collection:
    """Rows, in the order in which they were added. A removed row stays in its place, and is found no more.

    Args:
        table: Vectors, or `None` before the first if their width is not known.
        entries: Ids and metadata.
        lexical: Words, or `None`.
        zero_rows: Rows without a vector.
    """

    def __init__(
        self,
        table: Table | None,
        entries: Entries,
        lexical: Lexical | None,
        zero_rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.table, self.entries, self.lexical = table, entries, lexical
        self.is_there = np.ones(len(entries), bool)
        self.has_vector = np.ones(len(entries), bool)
        if zero_rows is not None:
            self.has_vector[zero_rows] = False

    def __len__(self) -> int:
        """The number of rows, removed ones included."""
        return len(self.is_there)

    def append(self, ids: Sequence[Id], metadata: Sequence[Any], table: Table, documents: Ragged) -> None:
        """Add rows, all or none.

        Raises:
            InvalidInputError: An id is no whole number or text, or is there already; metadata is not JSON.
        """
        self.entries.append(ids, metadata)
        if self.table is None:
            self.table = table
        else:
            self.table.extend(table)
        if self.lexical is not None:
            self.lexical.append(documents)
        self.is_there = np.concatenate((self.is_there, np.ones(len(table), bool)))
        self.has_vector = np.concatenate((self.has_vector, table.is_known()))

    def remove(self, ids: Sequence[Id]) -> None:
        """Remove rows by their ids, all or none.

        Raises:
            InvalidInputError: There is no such id.
        """
        rows = [self.row(name) for name in ids]
        self.entries.forget(dict.fromkeys(ids))
        self.is_there[rows] = False
        if self.lexical is not None:
            self.lexical.reset()

    def row(self, name: Id) -> int:
        """The row of an id.

        Raises:
            InvalidInputError: There is no such id.
        """
        row = self.entries.row(name)
        if row is None:
            raise InvalidInputError(f"Expected an id of the index; found {checks.shown(name)}, which it does not have.")
        return row

    def left(self) -> NDArray[np.int64] | None:
        """The rows that were not removed; `None` for all."""
        return None if self.is_there.all() else np.flatnonzero(self.is_there)

    def may_be_dense(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """[n] whether a row that is allowed is there and has a vector; `None` for all."""
        mask = self.is_there & self.has_vector
        mask = mask if allowed is None else mask & allowed
        return None if mask.all() else mask

    def allowed(self, filter: Filter | None) -> NDArray[np.bool_] | None:
        """[n] whether the entry of a row passes a filter; `None` for all.

        Raises:
            InvalidInputError: The filter is neither a mapping nor a function.
        """
        if filter is None:
            return None
        if isinstance(filter, Mapping):
            passes = _with_values(filter)
        elif callable(filter):
            passes = filter
        else:
            raise InvalidInputError(
                f"filter should be a mapping from keys of the metadata to values, or a function of id and metadata; "
                f"found {checks.shown(filter)}."
            )
        there = zip(self.is_there.tolist(), self.entries.decoded(), strict=True)
        return np.fromiter((is_there and bool(passes(*entry)) for is_there, entry in there), bool, len(self))

    def bm25(self, query: str) -> NDArray[np.float32]:
        """BM25 of each row [n] with a query; 0 for removed rows, and without a word in common."""
        assert self.lexical is not None  # noqa: S101 - checked by the caller
        return self.lexical.query(query, self.left(), len(self))

    def cosines(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The cosines of a query [D] of unit length, or of zeros, with some rows."""
        return np.zeros(len(rows), np.float32) if self.table is None else self.table.cosines(query, rows)


def _with_values(wanted: Mapping[str, Any]) -> Callable[[Id, Any], bool]:
    """Whether metadata has one of the values of each key."""
    values = {key: list(value) if isinstance(value, list | tuple | set) else [value] for key, value in wanted.items()}

    def passes(_: Id, metadata: Any) -> bool:
        return isinstance(metadata, dict) and all(
            key in metadata and metadata[key] in allowed for key, allowed in values.items()
        )

    return passes
