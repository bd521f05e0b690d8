"""From tokens to vectors: pure array functions, independent of the batch around a text.

Sums are element-wise and in a fixed order: runs of up to 32 tokens one after the other, then runs of up to 32 such
sums, and so on. So a text's vector has the same bits whatever the batch, the order or the thread it is computed in, and
on every processor: IEEE 754 rounds each step alike. Products of matrices have no place here, since BLAS adds in an
order that depends on their shapes and on the processor.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RUN = 32  # tokens summed one after the other
_BLOCK_BYTES = 3 * 2**18  # of rows gathered at a time: they should fit into a core's cache
_SCALED = 512  # vectors scaled at a time
_FEW = 8  # texts that are summed one by one


def embed(
    table: NDArray[Any],
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    *,
    normalize: bool = False,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The mean of each text's token vectors, or that mean at unit length (L2); zeros for a text without tokens.

    Sums run in the dtype of the table.

    Args:
        table: [R, D] rows, float32 or float64.
        ids: [total] rows of all texts' tokens.
        offsets: [n + 1]; text i has `ids[offsets[i]:offsets[i + 1]]`.
        normalize: Whether vectors are scaled to unit length.
        out: [n, D] float32 where the result goes; by default a new array.

    Returns:
        [n, D] float32.

    Example:
        >>> embed(np.eye(2, dtype=np.float32), np.array([0, 1]), np.array([0, 2, 2]))
        array([[0.5, 0.5],
               [0. , 0. ]], dtype=float32)
    """
    result = np.empty((len(offsets) - 1, table.shape[1]), np.float32) if out is None else out
    if len(result) <= _FEW:
        for place, (start, stop) in enumerate(pairwise(offsets.tolist())):
            result[place] = embed_one(table.take(ids[start:stop], axis=0), normalize=normalize)
        return result
    lengths = np.diff(offsets)
    sums = result if table.dtype == np.float32 else np.empty(result.shape, table.dtype)
    _sums(table, ids, offsets[:-1], lengths, out=sums)
    for start in range(0, len(sums), _SCALED):
        block = sums[start : start + _SCALED]
        if normalize:
            scales = np.sqrt(np.add.reduce(block * block, axis=1))
        else:
            scales = lengths[start : start + _SCALED].astype(block.dtype)
        scales[scales == 0] = 1
        np.divide(block, scales[:, None], out=result[start : start + _SCALED], casting="same_kind")
    return result


def embed_one(rows: NDArray[Any], *, normalize: bool = False) -> NDArray[np.float32]:
    """What `embed` computes, bit for bit, for one text whose token vectors are `rows` [n, D]: [D] float32."""
    total = _sum(rows)
    scale = math.sqrt(np.add.reduce(total * total)) if normalize else len(rows)
    if scale:
        total /= scale
    single: NDArray[np.float32] = total.astype(np.float32, copy=False)
    return single


def sequences(table: NDArray[Any], ids: NDArray[np.int64], offsets: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    """The token vectors of each text, [tokens, D] float32; parameters as in `embed`."""
    rows = (table.take(ids[start:stop], axis=0) for start, stop in pairwise(offsets.tolist()))
    return [one.astype(np.float32, copy=False) for one in rows]


def _sum(rows: NDArray[Any]) -> NDArray[Any]:
    """[D]: the sum of rows [n, D], in the order of `_sums`."""
    while len(rows) > _RUN:
        rows = np.stack([_sum_of_rows(rows[start : start + _RUN]) for start in range(0, len(rows), _RUN)])
    return _sum_of_rows(rows)


def _sums(
    table: NDArray[Any],
    ids: NDArray[np.int64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    out: NDArray[Any],
) -> None:
    """Into `out` [n, D]: the sums of `table[ids[start:start + length]]`."""
    n_runs = np.maximum(-(-lengths // _RUN), 1)
    first_runs = np.cumsum(n_runs) - n_runs
    done = _RUN * (np.arange(n_runs.sum()) - np.repeat(first_runs, n_runs))  # tokens before the run in its text
    run_lengths = np.minimum(np.repeat(lengths, n_runs) - done, _RUN)
    runs, places = _run_sums(table, ids, np.repeat(starts, n_runs) + done, run_lengths)
    runs.take(places.take(first_runs), axis=0, out=out, mode="clip")
    several = np.flatnonzero(n_runs > 1)
    if len(several):
        sums = np.empty((len(several), table.shape[1]), table.dtype)
        _sums(runs, places, first_runs.take(several), n_runs.take(several), out=sums)
        out[several] = sums


def _run_sums(
    table: NDArray[Any], ids: NDArray[np.int64], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """`_sums` for lengths of up to `_RUN`, in another order, and the place of each sum in it.

    Texts of the same length are together, so that whole blocks of rows are added.
    """
    dim = table.shape[1]
    block_rows = max(_BLOCK_BYTES // (dim * table.itemsize), _RUN)
    order = np.argsort(lengths.astype(np.uint8), kind="stable")
    starts = starts.take(order)
    bounds = np.cumsum(np.bincount(lengths, minlength=1)).tolist()
    sums = np.empty((len(lengths), dim), table.dtype)  # in that order
    sums[: bounds[0]] = 0
    room = np.empty(min(int(lengths.sum()), block_rows) * dim, table.dtype)
    for length, (first, last) in enumerate(pairwise(bounds), 1):
        tokens, step = np.arange(length)[:, None], block_rows // length
        for start in range(first, last, step):
            stop = min(start + step, last)
            block = ids.take(starts[start:stop] + tokens)  # [length, texts]
            rows = room[: block.size * dim].reshape(length, stop - start, dim)
            table.take(block, axis=0, out=rows, mode="clip")
            _sum_of_rows(rows.reshape(length, -1), out=sums[start:stop].reshape(-1))
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return sums, places


def _sum_of_rows(rows: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """[m]: the sum of rows [n, m], one after the other.

    Rows of a single number would be one array to numpy, which it sums in pairs.
    """
    if rows.shape[1] == 1 and len(rows):
        rows = np.add.accumulate(rows, axis=0)[-1:]
    return np.add.reduce(rows, axis=0, out=out)
