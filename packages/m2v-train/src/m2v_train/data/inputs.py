"""What users hold, as checked arrays, before any training starts."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64, Integer

from m2v_core import StaticModel
from m2v_core.data.sources import as_array, as_column, in_parts, is_missing, plain_rows, shown
from m2v_core.errors import BadTextError, InvalidInputError
from m2v_core.model import UNSET
from m2v_train.data.labels import Labels, as_labels, class_weights
from m2v_train.data.ragged import lengths_of, take_rows
from m2v_train.data.split import split_indices

__all__ = [
    "Labels",
    "TokenTexts",
    "as_labels",
    "as_texts",
    "as_vectors",
    "check_aligned",
    "check_has_tokens",
    "class_weights",
    "split_indices",
]

#: Texts that are tokenised at a time.
_TEXTS = 16_384


def as_texts(X: Any, name: str) -> Sequence[str]:
    """Texts, checked: each is a `str` and valid Unicode, and there is one at least.

    Args:
        X: A list or tuple, an array or a tensor, a pandas Series, a pyarrow array, a column of a Hugging Face dataset
            (which is not loaded into memory), or another sequence.
        name: What errors call it.

    Returns:
        A sequence that can be sliced: `X` itself where it is a list or tuple of `str`, or such a column; else a list.

    Raises:
        InvalidInputError: It is something else, or an element is not a text; the error says which.

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


def _check_texts(texts: Sequence[Any], name: str, start: int) -> None:
    """Raise unless all are valid texts; the first has the index `start`."""
    for index, text in enumerate(texts, start):
        if not isinstance(text, str):
            found = f"{shown(text)}, a missing value" if is_missing(text) else shown(text)
            raise InvalidInputError(
                f"{name} should hold texts (str); found {found} at index {index}. Leave it out, or make it a text."
            )
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InvalidInputError(
                    f"{name} should hold valid Unicode; text {index} has a lone surrogate, {text[error.start]!r}, at "
                    f"character {error.start}. Decode it with errors='replace', or remove it."
                ) from None


def as_vectors(y: Any, name: str) -> Float32[np.ndarray, "n k"]:
    """Targets of regression and similarity: n vectors of k numbers.

    Args:
        y: An array [n, k], a list of lists, a column of vectors (see `as_texts`); or n numbers, which are vectors of
            one.
        name: What errors call it.

    Raises:
        InvalidInputError: There is none, they have different lengths or none, or hold something else than finite
            float32 numbers; the error says which.

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
            raise _ragged(name, parts[0].shape[1:], vectors.shape[1:], start)
        start += len(vectors)
        parts.append(vectors)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _vectors(rows: Any, name: str, start: int) -> Float32[np.ndarray, "rows k"]:
    """Some rows as vectors; the first has the index `start`."""
    try:
        array = as_array(rows)
    except ValueError:  # they have different lengths
        raise _bad_row(rows, name, start) from None
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2) or not array.shape[-1]:
        raise _bad_row(rows, name, start)
    with np.errstate(over="ignore"):  # found below
        vectors = array.astype(np.float32, copy=False).reshape(len(array), -1)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise InvalidInputError(
            f"{name} should hold finite float32 numbers; found {shown(rows[bad[0]])} at index {start + int(bad[0])}"
            f"{f', and {len(bad) - 1} more such' if len(bad) > 1 else ''}. Leave such rows out."
        )
    return vectors


def _bad_row(rows: Any, name: str, start: int) -> InvalidInputError:
    """The error for rows that are no vectors of one length, naming the first such."""
    first: tuple[int, ...] | None = None
    for index, row in enumerate(rows, start):
        try:
            array = as_array(row)
        except ValueError:
            array = np.empty(0, object)
        if array.dtype.kind not in "iuf" or array.ndim > 1 or not array.size:
            break
        if first is not None and array.shape != first:
            return _ragged(name, first, array.shape, index)
        first = array.shape
    return InvalidInputError(f"{name} should hold vectors of numbers, or numbers; found {shown(row)} at index {index}.")


def _ragged(name: str, first: tuple[int, ...], shape: tuple[int, ...], index: int) -> InvalidInputError:
    length, found = (f"{shape[0]} numbers" if shape else "a single number" for shape in (first, shape))
    return InvalidInputError(
        f"{name} should hold vectors of one length; found {length} at index 0 and {found} at index {index}."
    )


def check_aligned(**columns: Sized) -> None:
    """Raise unless all columns, by name, have the same length.

    Raises:
        InvalidInputError: They have not; the error has all lengths.

    Example:
        >>> check_aligned(X=["a", "b"], y=np.zeros((2, 3)))
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} in {name}" for name, length in lengths.items())
        raise InvalidInputError(f"{' and '.join(lengths)} should have the same number of rows; found {found}.")


def check_has_tokens(
    lengths: Int64[np.ndarray, " n"],
    texts: str,
    *,
    remedy: str = "Pass texts in a language and script of its vocabulary, or start from another model.",
) -> None:
    """Raise unless one of n texts, of which `lengths` tokens count, has a token.

    Raises:
        InvalidInputError: None has; the error calls them `texts`.

    Example:
        >>> check_has_tokens(np.array([0, 2]), "texts in X")
    """
    if not lengths.any():
        raise InvalidInputError(
            f"None of the {len(lengths)} {texts} has a token that the model knows: they are empty, or in words or a "
            f"script that its vocabulary lacks. {remedy}"
        )


@dataclass(frozen=True)
class TokenTexts:
    """The token ids of n texts, as `StaticModel.token_ids` has them: no padding, no Python objects.

    Attributes:
        ids: Of all texts, one after the other.
        ends: Where each text ends in `ids`.

    Example:
        >>> texts = TokenTexts.of(tiny_model(), ["good day", "", "day"])
        >>> texts.ids.tolist(), texts.ends.tolist(), texts.lengths.tolist()
        ([1, 2, 2], [2, 2, 3], [2, 0, 1])
    """

    ids: Int32[np.ndarray, " total"]
    ends: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, model: StaticModel, texts: Sequence[str], *, max_length: Any = UNSET) -> TokenTexts:
        """Tokenise texts, some at a time.

        Args:
            model: Its tokenizer is used.
            texts: See `as_texts`.
            max_length: Tokens of a text that count; `None` for all. Default: the model's.
        """
        ids: list[Int32[np.ndarray, " part"]] = []
        ends = np.zeros(len(texts), np.int64)
        total = 0
        for start in range(0, len(texts), _TEXTS):
            try:
                part, offsets = model.token_ids(texts[start : start + _TEXTS], max_length=max_length)
            except BadTextError as error:
                raise error.moved(start) from None
            ids.append(part.astype(np.int32))
            ends[start : start + _TEXTS] = offsets[1:] + total
            total += len(part)
        return cls(np.concatenate(ids) if ids else np.zeros(0, np.int32), ends)

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.ends)

    @property
    def lengths(self) -> Int64[np.ndarray, " n"]:
        """How many ids each text has."""
        return lengths_of(self.ends)

    def take(self, indices: Integer[np.ndarray, " m"]) -> TokenTexts:
        """Some texts, in the order given.

        Example:
            >>> TokenTexts.of(tiny_model(), ["good day", "day"]).take(np.array([1, 1])).ids.tolist()
            [2, 2]
        """
        return TokenTexts(*take_rows(self.ids, self.ends, indices))
