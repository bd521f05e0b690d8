"""Functions of vectors, as plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m2v_core.errors import InvalidInputError


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows [n, D] scaled to unit length; a row of zeros stays zeros. The dtype stays, as a float.

    Example:
        >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    result, norms = _divided(rows)
    too_large = np.isinf(norms)
    if too_large.any():  # their squares are beyond the range of the dtype
        result[too_large] = _divided(scaled(rows[too_large])[0])[0]
    return result


def _divided(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows [n, D] divided by their norms, and those [n]."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(norms > 0, norms, 1), norms[:, 0]


def scaled(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows [n, D] divided by their largest numbers, and those [n, 1]; 1 for rows without a finite number above 0.

    Example:
        >>> scaled(np.array([[-4.0, 2.0], [0.0, 0.0]]))[1].tolist()
        [[4.0], [1.0]]
    """
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    largest = np.where((largest > 0) & np.isfinite(largest), largest, 1).astype(rows.dtype, copy=False)
    return rows / largest, largest


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers as float32; finite ones beyond its range become its largest.

    Example:
        >>> as_float32(np.array([-1e300, 0.5])).tolist()
        [-3.4028234663852886e+38, 0.5]
    """
    most = np.finfo(np.float32).max
    return np.where(np.isinf(values), values, np.clip(values, -most, most)).astype(np.float32)


def as_array(name: str, values: ArrayLike) -> NDArray[Any]:
    """An array of what users give as one.

    Raises:
        InvalidInputError: Its rows have different lengths.

    Example:
        >>> as_array("vectors", [[1, 2], [3]])
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: vectors should be an array; found rows of different lengths.
    """
    try:
        return np.asarray(values)
    except ValueError:
        raise InvalidInputError(f"{name} should be an array; found rows of different lengths.") from None


def as_ranges(values: ArrayLike, dim: int) -> NDArray[np.float32] | None:
    """The least and the greatest value of each dimension, [2, dim] float32, or `None` if the values are not that.

    Example:
        >>> as_ranges([[-1], [1]], 1)
        array([[-1.],
               [ 1.]], dtype=float32)
        >>> as_ranges([[1], [-1]], 1)
    """
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        return None
    if array.shape != (2, dim) or array.dtype.kind not in "fiu":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        ranges = array.astype(np.float32)
        spans = ranges[1] - ranges[0]
    return ranges if np.isfinite(spans).all() and (spans >= 0).all() else None
