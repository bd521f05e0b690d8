"""Columns of users' data, of many libraries: recognised by duck typing, without imports, and read a part at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from m2v_core.errors import InvalidInputError

#: Rows that are turned into Python objects at a time.
ROWS = 4096

#: Types of rows that need no conversion.
_OWN = frozenset((str, int, float, bool, list, tuple, set, frozenset, type(None)))


def as_column(value: Any, name: str) -> Any:
    """A column that has a length and can be sliced by rows.

    It may be a list, a tuple, an array of numpy, JAX or PyTorch, a pandas Series, a pyarrow array or chunked array, or
    a column of a Hugging Face dataset; these are not copied if numpy can read them. Any other sequence becomes a list.

    Args:
        value: The column.
        name: Name of the argument in errors.

    Raises:
        InvalidInputError: The argument is a single text, a whole table, or has no length.

    Example:
        >>> as_column((1, 2), "y")
        (1, 2)
    """
    column = _known_column(value, name)
    if column is None and _is_datasets_column(value):
        raise InvalidInputError(
            f"{name} should be a column of a Hugging Face dataset without a transform; found one with a transform. "
            f"Apply it first by dataset.map(transform, batched=True), or pass a list."
        )
    if column is None and isinstance(value, Sequence):
        column = list(value)
    if column is None:
        raise InvalidInputError(
            f"{name} should be a list, an array or a column; found {type(value).__name__}, which has no length or no "
            f"order. Make a list of it: list(...). (If it is a Hugging Face dataset, load it without streaming=True "
            f"and take a column.)"
        )
    return column


def rows_of(value: Any, name: str) -> list[Any]:
    """All rows of a column (see `as_column`), or of any other iterable, as Python objects.

    Raises:
        InvalidInputError: The argument is a single text, a whole table, or not iterable.

    Example:
        >>> rows_of(np.array([[1, 2], [3, 4]]), "y"), rows_of(iter([np.int64(3)]), "y")
        ([[1, 2], [3, 4]], [3])
    """
    column = _known_column(value, name)
    if column is None:
        is_loose = isinstance(value, Iterable) and not hasattr(value, "__array__")
        column = list(value) if is_loose else as_column(value, name)
    rows: list[Any] = plain_rows(list(chain.from_iterable(in_parts(column))))
    return rows


def as_texts(sentences: Any) -> list[str]:
    """One text or many as a list; see `rows_of`. The elements are not checked.

    Raises:
        InvalidInputError: The argument is neither a text nor an iterable.

    Example:
        >>> from m2v_core.data.sources import as_texts
        >>> as_texts("good day"), as_texts(iter(["good", "day"]))
        (['good day'], ['good', 'day'])
    """
    if isinstance(sentences, str):
        return [sentences]
    if isinstance(sentences, bytes | Mapping) or not isinstance(sentences, Iterable):
        raise InvalidInputError(f"Expected a text (str) or an iterable of texts; found {type(sentences).__name__}.")
    return rows_of(sentences, "The input")


def in_parts(column: Any) -> Iterator[Sequence[Any]]:
    """The rows of a column, as `as_column` returns it, in order, as sequences of Python objects.

    Example:
        >>> list(in_parts(np.array(["a", "b"])))
        [['a', 'b']]
    """
    rows = getattr(column, "iloc", column)  # pandas: by position, not by index
    for start in range(0, len(column), ROWS):
        yield plain(rows[start : start + ROWS])


def plain(value: Any) -> Any:
    """An array, a tensor or a scalar, of any library, as Python's own lists, strings and numbers.

    Example:
        >>> from m2v_core.data import sources
        >>> [sources.plain(value) for value in (np.array([1, 2]), np.float32(0.5), "a")]
        [[1, 2], 0.5, 'a']
    """
    if isinstance(value, str):
        return str.__str__(value)  # a member of an enum becomes its value
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    for name in ("tolist", "to_pylist", "as_py"):  # numpy, JAX, PyTorch and pandas; pyarrow's arrays; its scalars
        if hasattr(value, name):
            return getattr(value, name)()
    return value


def plain_rows(rows: Any) -> Any:
    """Rows as Python's own objects, each converted by `plain`; `rows` itself if all are.

    Example:
        >>> plain_rows([np.array([1]), [2], "c"])
        [[1], [2], 'c']
    """
    return rows if set(map(type, rows)) <= _OWN else [plain(row) for row in rows]


def as_array(value: Any) -> np.ndarray:
    """A value as a numpy array; bfloat16 and tensors that numpy cannot read (on a GPU, with gradients) too.

    Raises:
        ValueError: Rows have different lengths.

    Example:
        >>> as_array([[1, 2]])
        array([[1, 2]])
    """
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError):
        return np.asarray(plain_rows(plain(value)))
    return np.asarray(array.tolist()) if array.dtype.kind == "V" else array


def shown(value: object) -> str:
    """A value for an error: short, and with its type.

    Example:
        >>> shown(2.5)
        '2.5 (float)'
    """
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"


def is_missing(value: object) -> bool:
    """Whether a value is `None`, NaN, or one of pandas' missing values.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing("")
        (True, True, False)
    """
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _known_column(value: Any, name: str) -> Any:
    """A list, an array or an object of a known library as a column; `None` for anything else.

    Raises:
        InvalidInputError: The argument is a single text or a whole table.
    """
    found = type(value).__name__
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str | bytes):
        raise InvalidInputError(f"{name} should be a list or column; found a single {found}. Pass a list of it.")
    if _is_datasets_column(value):
        return _unformatted(value)
    names = _names_of(value)
    if names is not None:
        listed = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        raise InvalidInputError(
            f"{name} should be one column; found a {found} of {listed or 'no columns'}. Take a column of it: "
            f"data[{names[0] if names else 'text'!r}], for example."
        )
    if hasattr(value, "to_pylist") or hasattr(value, "iloc"):
        return value
    if hasattr(value, "__array__"):
        array = as_array(value)
        return array if array.ndim else None
    return None


def _names_of(table: Any) -> list[Any] | None:
    """The column names of a table: datasets and pyarrow call them `column_names`, pandas and polars `columns`."""
    if isinstance(table, Mapping):
        return list(table)
    names = getattr(table, "column_names", getattr(table, "columns", None))
    return list(names) if names is not None and hasattr(table, "__len__") else None


def _is_datasets_column(value: Any) -> bool:
    return hasattr(value, "source") and hasattr(value, "column_name") and hasattr(value, "__len__")


def _unformatted(column: Any) -> Any:
    """A column of a Hugging Face dataset, or of such a column, that returns Python objects in any format.

    `None` for a column with a transform.
    """
    if _is_datasets_column(column.source):
        source = _unformatted(column.source)
    else:
        has_transform = column.source.format["type"] == "custom"
        source = None if has_transform else column.source.with_format(None)
    return None if source is None else source[column.column_name]
