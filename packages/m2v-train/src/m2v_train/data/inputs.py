"""Texts and vectors that users pass, checked before training starts."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from m2v_core.checks import lone_surrogate
from m2v_core.data.sources import as_array, as_column, in_parts, is_missing, plain_rows, shown
from m2v_core.errors import InvalidInputError


def as_texts(X: Any, name: str) -> Sequence[str]:
    """Check that a column holds texts: at least one, each a `str` of valid Unicode.

    Args:
        X: A list or tuple, an array or a tensor, a pandas Series, a pyarrow array, a column of a Hugging Face dataset
            (which is not loaded into memory), or another sequence.
        name: Name of the column in errors.

    Returns:
        A sequence that can be sliced: `X` itself if it is a list or tuple of `str`, or a dataset's column; else a list.

    Raises:
        InvalidInputError: `X` is no such column, or an element is not a text.

    Example:
        >>> as_texts(np.array(["a fine day", ""]), "X")
        ['a fine day', '']
    """
    column = as_column(X, name)
    if not len(column):
        raise InvalidInputError(f"{name} should hold at least one text; found none.")
    if isinstance(column, list | tuple):
        column = plain_rows(column)
    lazy = isinstance(column, Sequence)
    kept: list[Sequence[str]] = []
    start = 0
    for part in in_parts(column):
        _check_texts(part, name, start)
        start += len(part)
        if not lazy:
            kept.append(part)
    return column if lazy else list(chain.from_iterable(kept))


def as_text_lists(X: Any, name: str) -> tuple[Sequence[str], Int64[np.ndarray, " n"]]:
    """Check a column of texts, or of lists of texts of any length.

    Args:
        X: A column of texts (see `as_texts`), or a column of lists of them.
        name: Name of the column in errors.

    Returns:
        The texts of all rows, one row after the other, and the number of each row's texts.

    Raises:
        InvalidInputError: `X` is no such column, holds no text at all, or an element is not a text.

    Example:
        >>> texts, counts = as_text_lists([["a fine day", "rain"], [], ["snow"]], "negatives")
        >>> texts, counts.tolist()
        (['a fine day', 'rain', 'snow'], [2, 0, 1])
        >>> as_text_lists(["a fine day"], "negatives")[1].tolist()
        [1]
    """
    column = as_column(X, name)
    first = next(iter(next(iter(in_parts(column)), [])), None)
    if first is None or not isinstance(first, list | tuple | np.ndarray):
        texts = as_texts(X, name)
        return texts, np.ones(len(texts), np.int64)
    flat: list[str] = []
    counts = []
    for index, row in enumerate(plain_rows(list(chain.from_iterable(in_parts(column))))):
        if not isinstance(row, list | tuple):
            raise InvalidInputError(
                f"{name} should hold a list of texts in each row, as in the first; found {shown(row)} at index "
                f"{index}. Make it a list."
            )
        _check_texts(row, f"{name}[{index}]", 0)
        flat.extend(row)
        counts.append(len(row))
    if not flat:
        raise InvalidInputError(f"{name} should hold at least one text; found empty lists alone. Leave {name} out.")
    return flat, np.array(counts, np.int64)


def _check_texts(texts: Sequence[Any], name: str, start: int) -> None:
    """Raise an error unless all are valid texts; `start` is the index of the first."""
    for index, text in enumerate(texts, start):
        if not isinstance(text, str):
            found = f"{shown(text)}, a missing value" if is_missing(text) else shown(text)
            raise InvalidInputError(
                f"{name} should hold texts (str); found {found} at index {index}. Leave it out, or make it a text."
            )
        if (position := lone_surrogate(text)) is not None:
            raise InvalidInputError(
                f"{name} should hold valid Unicode; text {index} has a lone surrogate, {text[position]!r}, at "
                f"character {position}. Decode it with errors='replace', or remove it."
            )


def as_vectors(y: Any, name: str) -> Float32[np.ndarray, "n k"]:
    """Convert a column of target vectors to an array.

    Args:
        y: An array [n, k], a list of lists, a column of vectors (see `as_texts`); or n numbers, which become vectors
            of length 1.
        name: Name of the column in errors.

    Raises:
        InvalidInputError: There is no vector, they have different lengths or length 0, or a value is not a finite
            float32 number.

    Example:
        >>> as_vectors([0.5, 2], "y").tolist()
        [[0.5], [2.0]]
    """
    column = as_column(y, name)
    if not len(column):
        raise InvalidInputError(f"{name} should hold at least one vector; found none.")
    parts: list[Float32[np.ndarray, "rows k"]] = []
    start = 0
    whole = isinstance(column, np.ndarray) and column.dtype.kind in "iuf"
    for part in [column] if whole else in_parts(column):
        vectors = _vectors(part, name, start)
        if parts and vectors.shape[1] != parts[0].shape[1]:
            raise _unequal(name, parts[0].shape[1:], vectors.shape[1:], start)
        start += len(vectors)
        parts.append(vectors)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _vectors(rows: Any, name: str, start: int) -> Float32[np.ndarray, "rows k"]:
    """Convert rows to vectors; `start` is the index of the first."""
    try:
        array = as_array(rows)
    except ValueError:  # they have different lengths
        raise _bad_row(rows, name, start) from None
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2) or not array.shape[-1]:
        raise _bad_row(rows, name, start)
    with np.errstate(over="ignore"):  # the check below finds infinities
        vectors = array.astype(np.float32, copy=False).reshape(len(array), -1)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise InvalidInputError(
            f"{name} should hold finite float32 numbers; found {shown(rows[bad[0]])} at index {start + int(bad[0])}"
            f"{f', and {len(bad) - 1} more such' if len(bad) > 1 else ''}. Leave such rows out."
        )
    return vectors


def _bad_row(rows: Any, name: str, start: int) -> InvalidInputError:
    """Make the error that names the first row that is not a vector of the common length."""
    first: tuple[int, ...] | None = None
    for index, row in enumerate(rows, start):
        try:
            array = as_array(row)
        except ValueError:
            array = np.empty(0, object)
        if array.dtype.kind not in "iuf" or array.ndim > 1 or not array.size:
            break
        if first is not None and array.shape != first:
            return _unequal(name, first, array.shape, index)
        first = array.shape
    return InvalidInputError(f"{name} should hold vectors of numbers, or numbers; found {shown(row)} at index {index}.")


def _unequal(name: str, first: tuple[int, ...], shape: tuple[int, ...], index: int) -> InvalidInputError:
    length, found = (f"{shape[0]} numbers" if shape else "a single number" for shape in (first, shape))
    return InvalidInputError(
        f"{name} should hold vectors of one length; found {length} at index 0 and {found} at index {index}."
    )


def check_aligned(**columns: Sized) -> None:
    """Raise an error unless all columns have the same length.

    Raises:
        InvalidInputError: The lengths differ.

    Example:
        >>> check_aligned(X=["a", "b"], y=np.zeros((2, 3)))
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} in {name}" for name, length in lengths.items())
        raise InvalidInputError(f"{' and '.join(lengths)} should have the same number of rows; found {found}.")


def both_given(first: Any, second: Any, *, names: tuple[str, str]) -> bool:
    """Whether two optional columns are given.

    Raises:
        InvalidInputError: One of them is given without the other.

    Example:
        >>> both_given(None, None, names=("X_val", "y_val"))
        False
    """
    if (first is None) != (second is None):
        missing, given = names if first is None else names[::-1]
        raise InvalidInputError(f"{names[0]} and {names[1]} belong together; found {given} without {missing}.")
    return first is not None
