"""Similarities of vectors, by the names that sentence-transformers has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.storage.format import SIMILARITIES
from m2v_core.vectors import as_array, as_float32, unit

#: Numbers held at a time in a block of differences, or of products in float64.
_BLOCK = 2**22


def similarity(first: ArrayLike, second: ArrayLike, name: str = "cosine") -> NDArray[np.float32]:
    """The similarity of each vector to each of the others.

    Args:
        first: [n, D] vectors, or one [D].
        second: [m, D] vectors, or one [D].
        name: cosine (0 if a vector is zeros), dot (the dot product), or euclidean or manhattan: minus the distance.

    Returns:
        [n, m] float32; the higher, the more similar.

    Raises:
        InvalidInputError: The name is unknown, or the arrays do not have these shapes.

    Example:
        >>> similarity([[1, 0], [0, 0]], [[1, 0], [3, 4]])
        array([[1. , 0.6],
               [0. , 0. ]], dtype=float32)
        >>> similarity([1, 0], [[1, 0], [4, 4]], "euclidean")
        array([[ 0., -5.]], dtype=float32)
    """
    checks.one_of("similarity_fn_name", name, SIMILARITIES)
    left, right = (np.atleast_2d(_checked(vectors)) for vectors in (first, second))
    if left.shape[1] != right.shape[1]:
        raise InvalidInputError(f"Expected vectors of equal dimensions; found {left.shape[1]} and {right.shape[1]}.")
    if name == "cosine":
        left, right = unit(left), unit(right)
    if name in ("cosine", "dot"):
        return _products(left, right)
    result = np.empty((len(left), len(right)), np.float32)
    step = max(1, _BLOCK // max(1, len(right) * (left.shape[1] if name == "manhattan" else 1)))
    for start in range(0, len(left), step):
        rows = left[start : start + step]
        result[start : start + step] = 0 - (
            _manhattan(rows, right) if name == "manhattan" else as_float32(_euclidean(rows, right))
        )
    return result


def similarity_pairwise(first: ArrayLike, second: ArrayLike, name: str = "cosine") -> NDArray[np.float32] | np.float32:
    """The similarity of each vector to that in the same row of the other array; see `similarity`.

    Args:
        first: [n, D] vectors, or one [D].
        second: The same shape.
        name: As in `similarity`.

    Returns:
        [n] float32; a number for one pair.

    Raises:
        InvalidInputError: The name is unknown, or the arrays do not have these shapes.

    Example:
        >>> similarity_pairwise([[1, 0], [0, 0]], [[3, 4], [1, 0]])
        array([0.6, 0. ], dtype=float32)
    """
    checks.one_of("similarity_fn_name", name, SIMILARITIES)
    left, right = _checked(first), _checked(second)
    if left.shape != right.shape:
        raise InvalidInputError(
            f"Expected two arrays of one shape; found {left.shape} and {right.shape}. similarity compares each vector "
            f"with each of the others."
        )
    one, (left, right) = left.ndim == 1, (np.atleast_2d(left), np.atleast_2d(right))
    if name == "cosine":
        left, right = unit(left), unit(right)
    pairs = _of_rows(left, right, name)
    return np.float32(pairs[0]) if one else pairs


def _checked(vectors: ArrayLike) -> NDArray[Any]:
    """[n, D] or [D], in float32 or float64."""
    array = as_array("vectors", vectors)
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise InvalidInputError(
            f"Expected vectors, [n, dimensions] or one [dimensions], of numbers; found an array of shape {array.shape} "
            f"and dtype {array.dtype}."
        )
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def _products(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float32]:
    """Dot products [n, m]."""
    return _as_wide_as_needed(lambda left, right: left @ right.T, left, right)


def _of_rows(left: NDArray[Any], right: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The similarities [n] of vectors in the same rows."""
    if name in ("cosine", "dot"):
        return _as_wide_as_needed(lambda left, right: (left * right).sum(axis=1), left, right)
    order = 1 if name == "manhattan" else 2
    return _as_wide_as_needed(lambda left, right: 0 - np.linalg.norm(left - right, ord=order, axis=1), left, right)


def _as_wide_as_needed(
    function: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]], left: NDArray[Any], right: NDArray[Any]
) -> NDArray[np.float32]:
    """A function of two arrays as float32, computed in float64 where it is beyond the range of float32 on the way."""
    try:
        with np.errstate(over="raise", invalid="ignore"):
            return np.asarray(function(left, right), np.float32)
    except FloatingPointError:
        with np.errstate(over="ignore", invalid="ignore"):
            return as_float32(function(left.astype(np.float64), right.astype(np.float64)))


def _euclidean(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """Distances [n, m]. In float64: a small distance is the difference of large squares."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1) - 2 * (left @ right.T)
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _manhattan(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float32]:
    """Distances [n, m]."""
    return _as_wide_as_needed(lambda left, right: np.abs(left[:, None] - right).sum(axis=2), left, right)
