"""Smaller tables: fewer dimensions, fewer rows, float16, or int8 with a scale per row."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.cluster import clustered
from m2v_core.encode.rows import token_rows
from m2v_core.errors import InvalidInputError
from m2v_core.storage.format import EMBEDDING_DTYPES, StoredModel
from m2v_core.vectors import as_float32


def quantized(
    stored: StoredModel,
    *,
    vocabulary_quantization: int | None = None,
    quantize_to: str | None = None,
    dimensionality: int | None = None,
) -> StoredModel:
    """A smaller copy of a stored model; the model itself does not change.

    First dimensions are removed, then the vocabulary is clustered, then the dtype changes. The clusters are those of
    the tokens' vectors, after weighting, so the old weights go into the new ones; see `m2v_core.cluster.clustered`.

    Rows with values that a float dtype cannot hold (float16: above 65,504) are divided by a power of two, which is
    multiplied into `weights` likewise, and a log line says so.

    int8 stores `round(row / scale)` with `scale = max|row| / 127` for each row. The scale is multiplied into
    `weights`, so every reader that knows `weights` computes the same vectors.

    Ranges of 8-bit vectors stay only if nothing but the dtype changes.

    Args:
        stored: The model.
        vocabulary_quantization: Number of clusters of the vocabulary.
        quantize_to: dtype of the table.
        dimensionality: Number of dimensions to keep, the first ones.

    Raises:
        InvalidInputError: The dtype is unknown, the model has fewer dimensions or not more tokens than asked for, or
            its vocabulary is clustered already.
        MissingPackageError: Clusters need scikit-learn.
    """
    embeddings, weights, mapping = stored.embeddings, stored.weights, stored.mapping
    if dimensionality is not None:
        checks.whole("dimensionality", dimensionality, 1, embeddings.shape[1])
        embeddings = np.ascontiguousarray(embeddings[:, :dimensionality])
    dtype = embeddings.dtype if quantize_to is None else np.dtype(checked_dtype(quantize_to))
    if vocabulary_quantization is not None:
        if mapping is not None:
            raise InvalidInputError(
                f"The vocabulary of this model has {len(embeddings)} clusters already. For another number, start from "
                f"the model without clusters."
            )
        rows = token_rows(embeddings, np.arange(len(embeddings)), weights, None)
        embeddings, weights, mapping = clustered(rows, vocabulary_quantization)
    if embeddings.dtype == np.int8 and dtype != np.int8 and weights is not None and mapping is None:
        with np.errstate(invalid="ignore"):  # weights that are infinite in the file
            embeddings, weights = embeddings * weights[:, None].astype(np.float64), None
    scales: NDArray[np.float32] | None = None
    if dtype == np.int8 and embeddings.dtype != np.int8:
        embeddings, scales = int8_rows(embeddings)
    elif dtype != embeddings.dtype:
        embeddings, scales = float_rows(embeddings, dtype)
    if scales is not None:
        factors = scales if mapping is None else scales[mapping]
        weights = factors if weights is None else as_float32(weights.astype(np.float64) * factors)
    same = dimensionality is None and vocabulary_quantization is None  # but for rounding
    ranges = stored.ranges if same else None
    return replace(stored, embeddings=embeddings, weights=weights, mapping=mapping, ranges=ranges)


def int8_rows(embeddings: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rows [R, D] as int8 and their scales [R] float32: `row ≈ int8 * scale`, with an error of at most half a scale.

    Example:
        >>> rows, scales = int8_rows(np.array([[1.0, -2.0], [0.0, 0.0]]))
        >>> rows
        array([[  64, -127],
               [   0,    0]], dtype=int8)
        >>> scales[0] * 127
        np.float32(2.0)
    """
    with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite, int8 has nothing
        peaks = np.minimum(np.abs(embeddings).max(axis=1), np.finfo(np.float32).max).astype(np.float32)
        scales = np.where(peaks > 0, peaks / np.float32(127), np.float32(1))
        return np.clip(np.rint(embeddings / scales[:, None]), -127, 127).astype(np.int8), scales


def float_rows(embeddings: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Rows [R, D] in a float dtype, and their scales [R], powers of two: `row ≈ result * scale`; `None` for ones.

    Infinity and NaN stay.

    Raises:
        InvalidInputError: A value is too large for a scale, which is float32.

    Example:
        >>> rows, scales = float_rows(np.array([[131072.0, -1.0], [3.0, 4.0]]), np.dtype(np.float16))
        >>> rows, scales
        (array([[ 1.638e+04, -1.250e-01],
               [ 3.000e+00,  4.000e+00]], dtype=float16), array([8., 1.], dtype=float32))
    """
    largest = float(np.finfo(dtype).max)
    if embeddings.dtype.kind != "f" or float(np.finfo(embeddings.dtype).max) <= largest:
        return embeddings.astype(dtype, copy=False), None
    with np.errstate(over="ignore"):
        result = embeddings.astype(dtype)
    too_large = np.flatnonzero((np.isinf(result) & np.isfinite(embeddings)).any(axis=1))
    if not len(too_large):
        return result, None
    rows = embeddings[too_large]
    peaks = np.abs(np.where(np.isfinite(rows), rows, 0)).max(axis=1)
    powers = np.ldexp(1.0, np.frexp(peaks)[1] - np.frexp(largest)[1] + 1)
    if powers.max() > np.finfo(np.float32).max:
        raise InvalidInputError(
            f"The table should have values that {dtype.name} with a scale of float32 can hold; found {peaks.max():.3g}."
        )
    result[too_large] = rows / powers[:, None]
    scales = np.ones(len(result), np.float32)
    scales[too_large] = powers
    logging.getLogger("m2v_core").warning(
        "%d rows have values above %.6g, the largest of %s: their scales are kept in the weights",
        len(too_large),
        largest,
        dtype.name,
    )
    return result, scales


def checked_dtype(name: str) -> str:
    """The name of a dtype, if the format has it for embeddings; enum members with such a value are accepted too.

    Raises:
        InvalidInputError: The format does not have this dtype.
    """
    value = getattr(name, "value", name)
    checks.one_of("quantize_to", value, EMBEDDING_DTYPES.values())
    return str(value)
