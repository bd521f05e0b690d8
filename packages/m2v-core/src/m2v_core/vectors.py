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
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1))


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
