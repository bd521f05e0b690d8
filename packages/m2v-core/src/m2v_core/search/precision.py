"""Unit vectors as float32, float16, int8 or bits: how they are stored, and how they are scored.

The rows of an index are arrays by name, one row of each for each vector: `vectors` [n, D] in one of the dtypes; for
int8 and binary `scales` [n] float32, which bring a row of whole numbers to unit length; for binary also `bits` [n, B]
uint8, a bit for each dimension that is above zero, and zeros up to a multiple of 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.vectors import unit

#: Arrays of rows by name.
Arrays = Mapping[str, NDArray[Any]]

VECTORS, SCALES, BITS = "vectors", "scales", "bits"

#: dtype of an index -> the arrays of its rows, and the dtype of each.
STORED: Mapping[str, Mapping[str, str]] = {
    "float32": {VECTORS: "float32"},
    "float16": {VECTORS: "float16"},
    "int8": {VECTORS: "int8", SCALES: "float32"},
    "binary": {VECTORS: "int8", SCALES: "float32", BITS: "uint8"},
}

_LARGEST = 127
_WORD = 64  # bits
_ROWS = 4096  # that are scaled at a time
_MANY = 8  # queries for which bits become numbers
_WITHOUT_COPIES_OF_THE_SIGN = np.uint32(0x8FFFFFFF).astype(np.int32)


def widths(dtype: str, dim: int) -> dict[str, tuple[int, ...]]:
    """The shape of a row in each array.

    Example:
        >>> widths("binary", 100)
        {'vectors': (100,), 'scales': (), 'bits': (16,)}
    """
    shapes: dict[str, tuple[int, ...]] = {VECTORS: (dim,), SCALES: (), BITS: (-(-dim // _WORD) * _WORD // 8,)}
    return {name: shapes[name] for name in STORED[dtype]}


def packed(rows: NDArray[np.float32], dtype: str) -> dict[str, NDArray[Any]]:
    """Unit rows [n, D] as the arrays of a dtype. Rows of zeros stay zeros.

    Example:
        >>> packed(np.float32([[0.6, -0.8]]), "int8")["vectors"]
        array([[  95, -127]], dtype=int8)
    """
    if dtype in ("float32", "float16"):
        return {VECTORS: rows.astype(dtype)}
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    whole = np.rint(rows / np.where(largest > 0, largest, 1) * _LARGEST)
    lengths = np.linalg.norm(whole, axis=1)
    arrays = {VECTORS: whole.astype(np.int8), SCALES: np.divide(1, lengths, where=lengths > 0, out=0 * lengths)}
    if dtype == "binary":
        arrays[BITS] = sign_bits(rows)
    return arrays


def sign_bits(rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A bit for each number [n, D], whether it is above zero, as bytes [n, B], with zeros up to 64 bits.

    Example:
        >>> sign_bits(np.float32([[1, -1, 1]])).tolist()
        [[160, 0, 0, 0, 0, 0, 0, 0]]
    """
    bits = np.zeros((len(rows), widths("binary", rows.shape[1])[BITS][0]), np.uint8)
    bits[:, : -(-rows.shape[1] // 8)] = np.packbits(rows > 0, axis=1)
    return bits


def unpacked(arrays: Arrays) -> NDArray[np.float32]:
    """The rows [n, D] as float32; float32 arrays are not copied."""
    rows = widened(arrays[VECTORS])
    return rows * arrays[SCALES][:, None] if SCALES in arrays else rows


def widened(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers as float32. Finite float16 are exact, and ten times faster than by numpy, which takes them one by one.

    Sign, exponent and fraction of a float16 are moved to their places in a float32; the difference of the biases of
    the exponents, 127 - 15, is a factor.

    Example:
        >>> widened(np.float16([0.5, -6e-8, 0, 60000]))
        array([ 5.0000000e-01, -5.9604645e-08,  0.0000000e+00,  6.0000000e+04],
              dtype=float32)
    """
    if numbers.dtype != np.float16:
        return numbers.astype(np.float32, copy=False)
    bits = numbers.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= _WITHOUT_COPIES_OF_THE_SIGN
    moved = bits.view(np.float32)
    moved *= np.float32(2.0**112)
    return moved


def cosines(queries: NDArray[np.float32], arrays: Arrays, out: NDArray[np.float32]) -> None:
    """The cosine of each unit query [q, D] with each row, into [q, n]."""
    np.matmul(queries, widened(arrays[VECTORS]).T, out=out)
    if SCALES in arrays:
        out *= arrays[SCALES]


def agreements(queries: NDArray[np.float32], arrays: Arrays, out: NDArray[np.float32]) -> None:
    """The number of signs in which each query [q, D] agrees with each row, less a constant of the query, into [q, n].

    A few queries are compared by the bits that differ, many by a product with the bits as numbers, whose whole numbers
    are exact.
    """
    bits = arrays[BITS]
    if len(queries) >= _MANY:
        numbers = np.unpackbits(bits, axis=1, count=queries.shape[1]).astype(np.float32)
        np.matmul(np.where(queries > 0, np.float32(1), np.float32(-1)), numbers.T, out=out)
        return
    rows = np.ascontiguousarray(bits).view(np.uint64)
    for query, words in enumerate(sign_bits(queries).view(np.uint64)):
        differing = np.zeros(len(rows), np.uint16)
        for column, word in enumerate(words):
            differing += _count(rows[:, column] ^ word)
        np.negative(differing, out=out[query], dtype=np.float32)


def _count_by_table(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The number of ones in each word, for numpy 1.26."""
    return np.asarray(_TABLE[words.view(np.uint8)].reshape(*words.shape, 8).sum(axis=-1, dtype=np.uint8))


_TABLE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
_count: Callable[[NDArray[np.uint64]], NDArray[np.uint8]] = getattr(np, "bitwise_count", _count_by_table)


def as_unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Finite vectors [n, D] of any numbers as float32 of unit length; zeros stay zeros, and no square overflows.

    Example:
        >>> as_unit(np.array([[3e300, 4e300], [0, 0]]))
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    rows = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _ROWS):
        some = vectors[start : start + _ROWS]
        largest = np.abs(some).max(axis=1, keepdims=True, initial=0)
        rows[start : start + _ROWS] = unit(some / np.where(largest > 0, largest, 1))
    return rows
