"""What users hold data in, as columns that are read in order, a part at a time: by duck typing, nothing is imported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from m2v_core.errors import InvalidInputError

#: Rows that are turned into Python objects at a time.
ROWS = 4096


def as_column(value: Any, name: str) -> Any:
    """A column that has a length and can be sliced by rows.

    Lists and tuples, arrays (numpy's, JAX's, PyTorch's), pandas Series, pyarrow arrays and chunked arrays, columns of
    Hugging Face datasets: none of these is copied. Any other sequence, as a list.

    Args:
        value: The column.
        name: What errors call it.

    Raises:
        InvalidInputError: It is a single text, a whole table, or has no length.

    Example:
        >>> as_column((1, 2), "y")
        (1, 2)
    """
    found = type(value).__name__
    if isinstance(value, str | bytes):
        raise InvalidInputError(f"{name} should be a list or column; found a single {found}. Pass a list of it.")
    if _is_datasets_column(value):
        return _plain(value, name)
    names = _names_of(value)
    if names is not None:
        listed = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        raise InvalidInputError(
            f"{name} should be one column; found a {found} of {listed or 'no columns'}. Take a column of it: "
            f"data[{names[0] if names else 'text'!r}], say."
        )
    if isinstance(value, list | tuple) or hasattr(value, "to_pylist") or hasattr(value, "iloc"):
        return value
    if hasattr(value, "__array__"):
        value = np.asarray(value)
        if value.ndim:
            return value
    elif isinstance(value, Sequence):
        return list(value)
    raise InvalidInputError(
        f"{name} should be a list, an array or a column; found {found}, which has no length or no order. Make a list "
        f"of it: list(...). (Of a Hugging Face dataset: load it without streaming=True, and take a column.)"
    )


def in_parts(column: Any) -> Iterator[Sequence[Any]]:
    """The rows of what `as_column` gave, in order, as sequences of Python objects.

    Example:
        >>> list(in_parts(np.array(["a", "b"])))
        [['a', 'b']]
    """
    rows = getattr(column, "iloc", column)  # pandas: by place, whatever the index
    for start in range(0, len(column), ROWS):
        part = rows[start : start + ROWS]
        if hasattr(part, "to_pylist"):
            yield part.to_pylist()
        else:
            yield part.tolist() if hasattr(part, "tolist") else part


def shown(value: object) -> str:
    """A value for an error: short, and with its type.

    Example:
        >>> shown(2.5)
        '2.5 (float)'
    """
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"


def is_missing(value: object) -> bool:
    """Whether it is `None`, NaN, or what pandas has for those.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing("")
        (True, True, False)
    """
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _names_of(table: Any) -> list[Any] | None:
    """The column names of a table: datasets and pyarrow call them `column_names`, pandas and polars `columns`."""
    if isinstance(table, Mapping):
        return list(table)
    names = getattr(table, "column_names", getattr(table, "columns", None))
    return list(names) if names is not None and hasattr(table, "__len__") else None


def _is_datasets_column(value: Any) -> bool:
    return hasattr(value, "source") and hasattr(value, "column_name") and hasattr(value, "__len__")


def _plain(column: Any, name: str) -> Any:
    """A column of a Hugging Face dataset, or of a column of such, that gives Python objects, whatever its format."""
    if _is_datasets_column(column.source):
        return _plain(column.source, name)[column.column_name]
    if column.source.format["type"] == "custom":
        raise InvalidInputError(
            f"{name} should be a column of a Hugging Face dataset without a transform; found one with a transform. "
            f"Apply it first, dataset.map(transform, batched=True), or pass a list."
        )
    return column.source.with_format(None)[column.column_name]
