"""The form in which `encode` returns vectors: their first dimensions, and numbers of fewer bits.

A vector depends on nothing but itself and the options. So the ranges of 8-bit numbers are never those of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.vectors import as_ranges, unit

#: Names of the forms -> the dtype of their arrays.
PRECISIONS: Mapping[str, type[np.generic]] = {
    "float32": np.float32,
    "float16": np.float16,
    "int8": np.int8,
    "uint8": np.uint8,
    "binary": np.int8,
    "ubinary": np.uint8,
}

#: Those that need the range of each dimension.
SCALED = ("int8", "uint8")

#: Those with a bit for each dimension.
PACKED = ("binary", "ubinary")


@dataclass(frozen=True, kw_only=True)
class Output:
    """The form of vectors.

    Attributes:
        dim: Number of dimensions that are kept, the first ones.
        normalize: Whether vectors are scaled to unit length after that.
        precision: One of `PRECISIONS`.
        ranges: [2, dim] float32, the least and the greatest value of each dimension, for `SCALED`.
    """

    dim: int
    normalize: bool = False
    precision: str = "float32"
    ranges: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        checks.one_of("precision", self.precision, PRECISIONS)
        if self.ranges is not None:
            checks.expect(self.precision in SCALED, "ranges", f"None for the precision {self.precision}", "an array")
        elif self.precision in SCALED:
            raise InvalidInputError(
                f"The precision {self.precision} needs the range of each dimension, so that a vector does not depend "
                f"on the other texts. Store it in the model once, with texts of the kind that it will embed: "
                f"model = model.calibrate(texts). Or pass ranges=, a [2, {self.dim}] array of the least and the "
                f"greatest values; those of the model count only for all of its dimensions and its own normalize."
            )

    @property
    def width(self) -> int:
        """Number of columns."""
        return -(-self.dim // 8) if self.precision in PACKED else self.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the array."""
        return np.dtype(PRECISIONS[self.precision])

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """The vectors [n, D] in this form, [n, width].

        Example:
            >>> Output(dim=2, normalize=True)(np.array([[3, 4, 12]], np.float32))
            array([[0.6, 0.8]], dtype=float32)
        """
        kept = np.ascontiguousarray(vectors[:, : self.dim])
        return as_precision(unit(kept) if self.normalize else kept, self.precision, self.ranges)


def as_precision(
    vectors: NDArray[np.float32], precision: str, ranges: NDArray[np.float32] | None = None
) -> NDArray[Any]:
    """Vectors [n, D] as numbers of another precision, with the bytes of sentence-transformers' `quantize_embeddings`.

    int8 and uint8 count the 256 equal steps from the least to the greatest value of `ranges`. binary and ubinary hold
    a bit for each dimension, 1 if it is above 0, eight to a byte, the first one highest; binary is ubinary - 128.

    Example:
        >>> as_precision(np.array([[0.1, -1, 0, 2]], np.float32), "ubinary")
        array([[144]], dtype=uint8)
        >>> as_precision(np.array([[0.1, 9]], np.float32), "int8", np.array([[-1, -1], [1, 1]], np.float32))
        array([[ 12, 127]], dtype=int8)
    """
    if precision in PACKED:
        bits = np.packbits(vectors > 0, axis=-1)
        return (bits ^ np.uint8(128)).view(np.int8) if precision == "binary" else bits
    if ranges is not None:
        lowest, step = ranges[0], (ranges[1] - ranges[0]) / np.float32(255)
        steps = np.clip(np.floor((vectors - lowest) / np.where(step > 0, step, np.float32(1))), 0, 255)
        return np.asarray(steps - 128, np.int8) if precision == "int8" else np.asarray(steps, np.uint8)
    return vectors.astype(PRECISIONS[precision], copy=False)


def ranges_of(batches: Iterable[NDArray[np.float32]], dim: int) -> NDArray[np.float32]:
    """One range for all dimensions, [2, dim]: up to the largest magnitude in batches of vectors [n, dim], and down.

    A range for each dimension would stretch those that vary little, and shift those with a mean: angles would change.

    Raises:
        InvalidInputError: There are no vectors but zeros.

    Example:
        >>> ranges_of([np.array([[1, 2], [-3, 0]], np.float32)], 2)
        array([[-3., -3.],
               [ 3.,  3.]], dtype=float32)
    """
    peak = max((float(np.abs(vectors).max()) for vectors in batches), default=0.0)
    if not 0 < peak < np.inf:
        raise InvalidInputError(
            f"Expected texts like those that will be embedded, with vectors of finite numbers; found {peak} as the "
            f"largest magnitude of a number."
        )
    return np.repeat(np.array([[-peak], [peak]], np.float32), dim, axis=1)


def checked_ranges(ranges: ArrayLike, dim: int) -> NDArray[np.float32]:
    """The least and the greatest value of each dimension, [2, dim] float32.

    Raises:
        InvalidInputError: The array has another shape, a value that is not finite, or a least above a greatest one.
    """
    checked = as_ranges(ranges, dim)
    if checked is None:
        raise InvalidInputError(
            f"ranges should be the least and the greatest value of each dimension, a [2, {dim}] array of finite "
            f"numbers; found {checks.shown(ranges)}."
        )
    return checked
