"""Near-duplicates among texts: each text is compared with all that are kept before it, exactly."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m2v_core import checks
from m2v_core.blas import blas_threads
from m2v_core.data.sources import as_texts
from m2v_core.errors import InvalidInputError
from m2v_core.model import StaticModel
from m2v_core.search.inputs import as_model
from m2v_core.search.precision import as_unit
from m2v_core.vectors import as_array

#: Texts that are compared at a time, and numbers in a block of cosines.
_TEXTS, _COSINES = 1024, 1 << 22

#: What a cosine of equal vectors may lack of 1 by rounding.
_ROUNDING = 1e-6


class Duplicates(NamedTuple):
    """The texts to keep, and what the others repeat.

    Attributes:
        kept: [m] int64, positions of the texts that are no near-duplicates of a text kept before them.
        originals: [n] int64, for each text the position of the kept text that is most similar; its own if it is kept.
        scores: [n] float32, the cosine with that text; 1 if it is kept.
    """

    kept: NDArray[np.int64]
    originals: NDArray[np.int64]
    scores: NDArray[np.float32]


def duplicates(
    texts: Iterable[str] | None = None,
    threshold: float = 0.9,
    *,
    model: StaticModel | str | os.PathLike[str] | None = None,
    vectors: ArrayLike | None = None,
    threads: int | None = None,
) -> Duplicates:
    """Find near-duplicates, in the order of the texts: the first of some similar texts is kept.

    A text is a near-duplicate if the cosine with a text that was kept before it is the threshold or more. A text
    without a token that the model knows is nobody's. To keep texts out of one set that are in another, put the other
    set first. Time grows with the number of texts times that of kept texts; memory is that of the vectors in
    float32, and 50 MB.

    Args:
        texts: Any iterable of texts.
        threshold: The least cosine of near-duplicates, above 0 and at most 1.
        model: The model that embeds the texts, or its folder or name.
        vectors: [n, D] vectors in place of texts and model.
        threads: Number of threads; see `Index.search`.

    Raises:
        InvalidInputError: An option is out of range, or there is neither model and texts nor vectors.
        MissingPackageError: threadpoolctl is not installed, which `threads` needs.

    Example:
        >>> found = duplicates(["good day", "day good", "day", "never seen"], model=tiny_model())
        >>> found.kept.tolist(), found.originals.tolist()
        ([0, 2, 3], [0, 0, 2, 3])
    """
    checks.number("threshold", threshold, above=0, most=1)
    if (texts is None or model is None) == (vectors is None):
        raise InvalidInputError("Expected texts and a model, or vectors; found neither, or both.")
    rows = as_unit(
        _vectors(vectors) if model is None else as_model(model).encode_document(as_texts(texts), threads=threads)
    )
    with blas_threads(threads):
        return _duplicates(rows, threshold - _ROUNDING)


def _duplicates(rows: NDArray[np.float32], least: float) -> Duplicates:
    """The duplicates among unit rows [n, D], which it moves."""
    originals, scores = np.arange(len(rows)), np.ones(len(rows), np.float32)
    kept = np.zeros(0, np.int64)  # their rows are moved to the front of `rows`
    for start in range(0, len(rows), _TEXTS):
        block = rows[start : start + _TEXTS].copy()
        best, nearest = _nearest(block, rows[: len(kept)])
        best, inside, is_kept = _within(block, best, least)
        is_old = ~is_kept & (inside < 0)
        here = slice(start, start + len(block))
        originals[here] = np.where(is_kept, originals[here], start + inside)
        originals[here][is_old] = kept[nearest[is_old]]
        scores[here] = np.where(is_kept, 1, np.minimum(best, 1))
        rows[len(kept) : len(kept) + int(is_kept.sum())] = block[is_kept]
        kept = np.concatenate((kept, start + np.flatnonzero(is_kept)))
    return Duplicates(kept, originals, scores)


def _vectors(vectors: Any) -> NDArray[np.float32]:
    array = as_array("vectors", vectors)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InvalidInputError(
            f"vectors should be an array [n, dimensions] of finite numbers; found shape {array.shape} of {array.dtype}."
        )
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def _nearest(block: NDArray[np.float32], kept: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each row of a block, the highest cosine with kept rows, and which one."""
    best, nearest = np.full(len(block), -np.inf, np.float32), np.zeros(len(block), np.int64)
    step = _COSINES // len(block)
    for start in range(0, len(kept), step):
        cosines = block @ kept[start : start + step].T
        position = cosines.argmax(axis=1)
        found = cosines[np.arange(len(block)), position]
        better = found > best
        best[better], nearest[better] = found[better], start + position[better]
    return best, nearest


def _within(
    block: NDArray[np.float32], best: NDArray[np.float32], least: float
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """Compare the rows of a block with those kept before them in it.

    Returns:
        The highest cosines; the row of the block that has it, or -1; and whether each row is kept.
    """
    cosines, inside, is_kept = block @ block.T, np.full(len(block), -1), best < least
    similar = np.tril(cosines >= least, -1).any(axis=1)
    for row in np.flatnonzero(similar):
        earlier = np.where(is_kept[:row], cosines[row, :row], -np.inf)
        position = int(earlier.argmax())
        if earlier[position] >= least and earlier[position] > best[row]:
            best[row], inside[row], is_kept[row] = earlier[position], position, False
    return best, inside, is_kept
