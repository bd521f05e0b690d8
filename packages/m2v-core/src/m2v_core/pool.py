"""From token ids to vectors: pure array functions, independent of the batch around a text."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def token_rows(
    table: NDArray[Any], ids: NDArray[np.int64], weights: NDArray[Any] | None, mapping: NDArray[Any] | None
) -> NDArray[Any]:
    """The vectors of tokens: `table[mapping[id]] * weights[id]`.

    Args:
        table: [R, D], any of the dtypes of the format.
        ids: [n] token ids.
        weights: [V] or `None` for ones.
        mapping: [V] or `None` for the identity.

    Returns:
        [n, D]: float64 for a float64 table, the table's own float dtype without weights, else float32.

    Example:
        >>> token_rows(np.eye(2, dtype=np.float32), np.array([1, 1]), np.array([1.0, 3.0]), None)
        array([[0., 3.],
               [0., 3.]], dtype=float32)
    """
    rows: NDArray[Any] = table[ids if mapping is None else mapping[ids]]
    if weights is not None:
        dtype = np.dtype(np.float64 if table.dtype == np.float64 else np.float32)
        scaled: NDArray[Any] = rows.astype(dtype)
        scaled *= weights[ids].astype(dtype)[:, None]
        return scaled
    return rows.astype(np.float32) if rows.dtype == np.int8 else rows


def segment_mean(
    table: NDArray[Any],
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    weights: NDArray[Any] | None = None,
    mapping: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """The mean of each text's token vectors; zeros for a text without tokens.

    Sums run in float32 (float64 for a float64 table), token by token, so a vector depends on its own text alone.

    Args:
        table: [R, D] embeddings.
        ids: [total] token ids of all texts.
        offsets: [n + 1]; text i has `ids[offsets[i]:offsets[i + 1]]`.
        weights: [V] factors of the tokens, or `None`.
        mapping: [V] rows of the tokens, or `None`.

    Returns:
        [n, D] float32.

    Example:
        >>> segment_mean(np.eye(2, dtype=np.float32), np.array([0, 1]), np.array([0, 2, 2]))
        array([[0.5, 0.5],
               [0. , 0. ]], dtype=float32)
    """
    sum_dtype = np.float64 if table.dtype == np.float64 else np.float32
    means = np.zeros((len(offsets) - 1, table.shape[1]), np.float32)
    bounds = offsets.tolist()
    for index, (start, stop) in enumerate(pairwise(bounds)):
        if stop > start:
            rows = token_rows(table, ids[start:stop], weights, mapping)
            means[index] = np.add.reduce(rows, axis=0, dtype=sum_dtype) / (stop - start)
    return means


def normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors [n, D] scaled to unit length (L2); zero vectors stay zero.

    Example:
        >>> normalized(np.array([[3, 4], [0, 0]], np.float32))
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.zeros_like(vectors)
    np.divide(vectors, norms, out=unit, where=norms > 0)
    return unit
