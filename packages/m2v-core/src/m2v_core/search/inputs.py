"""What users give to an index: vectors, texts and ids, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.data.sources import as_array, as_texts, plain
from m2v_core.errors import InvalidInputError
from m2v_core.model import StaticModel
from m2v_core.search.entries import Id
from m2v_core.search.precision import as_unit

#: Texts that are embedded at a time.
_BATCH = 16_384


def as_model(model: Any) -> StaticModel:
    """A model, which is loaded if it is a folder or a name.

    Raises:
        InvalidInputError: It is something else.
        M2VError: It cannot be loaded; see `StaticModel.from_pretrained`.
    """
    if isinstance(model, str | os.PathLike):
        return StaticModel.from_pretrained(model)
    checks.expect(isinstance(model, StaticModel), "model", "a StaticModel, a folder or the name of a model", model)
    found: StaticModel = model
    return found


def unit_vectors(vectors: Any, dim: int | None) -> NDArray[np.float32]:
    """Vectors [n, D], or one [D], as [n, D] of unit length; zeros stay zeros.

    Args:
        vectors: An array of any library, or lists.
        dim: D, or `None` for any.

    Raises:
        InvalidInputError: They are not such an array, have another width, or hold NaN or infinities.

    Example:
        >>> unit_vectors([3, 4], 2)
        array([[0.6, 0.8]], dtype=float32)
    """
    try:
        array = as_array(vectors)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.shape == (0,):
        array = np.zeros((0, dim or 1))
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.shape[1] or array.dtype.kind not in "fiu":
        raise InvalidInputError(
            f"vectors should be an array [n, dimensions] of numbers; found shape {array.shape} of {array.dtype}."
        )
    if dim not in (None, array.shape[1]):
        raise InvalidInputError(
            f"vectors should have {dim} dimensions, like those of this index; found {array.shape[1]}. Make them with "
            f"the model of the index, or with one whose vectors can be compared with its own."
        )
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise InvalidInputError(f"vectors should be finite numbers; found NaN or infinity in row {row}. Mend it first.")
    return as_unit(array)


def is_one_vector(vectors: Any) -> bool:
    """Whether vectors are one [D], and not a list of them."""
    try:
        return as_array(vectors).ndim == 1 and len(vectors) > 0
    except ValueError:  # an error of `unit_vectors`
        return False


def batches(texts: Iterable[str] | None) -> Iterator[list[str]]:
    """Texts in lists; those of a generator as they come."""
    if texts is None:
        return
    rest = texts if isinstance(texts, Iterator) else iter(as_texts(texts))
    while batch := list(islice(rest, _BATCH)):
        yield batch


def default_ids(first: int, n: int) -> list[Id]:
    """The ids of n texts that come without."""
    return list(range(first, first + n))


def given_ids(ids: Any, n: int) -> list[Id]:
    """An id for each of n texts, as Python's own numbers and strings.

    Raises:
        InvalidInputError: There are more or fewer, or it is one id.
    """
    if isinstance(ids, str | int):
        raise InvalidInputError(f"ids should be a list with an id for each text; found {checks.shown(ids)}.")
    return exactly((plain(name) for name in ids), n, "ids")


def exactly(values: Iterable[Any], n: int, name: str) -> list[Any]:
    """A value for each of n texts.

    Raises:
        InvalidInputError: There are more or fewer.

    Example:
        >>> exactly(iter("ab"), 3, "ids")
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: ids should be 3, one for each text; found 2.
    """
    found = list(islice(values, n + 1))
    if len(found) != n:
        number = f"{n + 1} or more" if len(found) > n else str(len(found))
        raise InvalidInputError(f"{name} should be {n}, one for each text; found {number}.")
    return found
