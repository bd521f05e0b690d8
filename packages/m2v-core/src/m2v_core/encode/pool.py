"""From tokens to vectors: pure array functions, independent of the batch around a text.

Sums are element-wise and in a fixed order: runs of up to 32 tokens one after the other, then runs of up to 32 such
sums, and so on. So a text's vector has the same bits in every batch, order and thread, and on every processor: IEEE 754
rounds each step alike. Matrix products are not used, since BLAS adds in an order that depends on the shapes and on the
processor.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.ragged import Ragged
from m2v_core.vectors import as_float32, scaled, unit

_RUN = 32  # tokens summed one after the other
_BLOCK_BYTES = 3 * 2**18  # of rows gathered at a time, which should fit into a core's cache
_SCALED = 512  # vectors scaled at a time
_FEW = 8  # texts that are summed one by one

#: Tokens whose rows are gathered block by block, since all at once would take gigabytes for a text of millions.
MANY = 4096


def embed(
    table: NDArray[Any],
    tokens: Ragged,
    *,
    normalize: bool = False,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The mean of each text's token vectors, or that mean at unit length (L2); zeros for a text without tokens.

    Sums run in the dtype of the table.

    Args:
        table: [R, D] rows, float32 or float64.
        tokens: Rows of the tokens of each text, n texts.
        normalize: Whether vectors are scaled to unit length.
        out: [n, D] float32 array for the result. Default: a new one.

    Returns:
        [n, D] float32.

    Example:
        >>> embed(np.eye(2, dtype=np.float32), Ragged.of([[0, 1], []]))
        array([[0.5, 0.5],
               [0. , 0. ]], dtype=float32)
    """
    result = np.empty((len(tokens), table.shape[1]), np.float32) if out is None else out
    try:
        if len(result) > _FEW or len(tokens.values) > MANY:
            with np.errstate(over="raise", invalid="ignore"):
                _embed(table, tokens, normalize, result)
            return result
    except FloatingPointError:  # a sum or a square is beyond the range of its dtype: other texts must not suffer
        pass
    for text, ids in enumerate(tokens):
        result[text] = embed_one(table.take(ids, axis=0), normalize=normalize)
    return result


def _embed(table: NDArray[Any], tokens: Ragged, normalize: bool, result: NDArray[np.float32]) -> None:
    """Write the vectors of many texts into `result`."""
    lengths = tokens.lengths
    sums = result if table.dtype == np.float32 else np.empty(result.shape, table.dtype)
    _sums(table, tokens.values, tokens.offsets[:-1], lengths, out=sums)
    for start in range(0, len(sums), _SCALED):
        block = sums[start : start + _SCALED]
        if normalize:
            scales = np.sqrt(np.add.reduce(block * block, axis=1))
        else:
            scales = lengths[start : start + _SCALED].astype(block.dtype)
        scales[scales == 0] = 1
        np.divide(block, scales[:, None], out=result[start : start + _SCALED], casting="same_kind")


def embed_one(rows: NDArray[Any], *, normalize: bool = False) -> NDArray[np.float32]:
    """The result [D] of `embed`, bit for bit, for one text with the token vectors `rows` [n, D]."""
    if normalize:  # the default, and without the microsecond of a context
        total = _sum(rows)
        scale = math.sqrt(np.add.reduce(total * total))
        if not math.isfinite(scale):
            return _embed_large(rows, normalize)
        if scale:
            total /= scale
        single: NDArray[np.float32] = total.astype(np.float32, copy=False)
        return single
    try:
        with np.errstate(over="raise", invalid="ignore"):
            total = _sum(rows)
            if len(rows):
                total /= len(rows)
            return total.astype(np.float32, copy=False)
    except FloatingPointError:
        return _embed_large(rows, normalize)


def _embed_large(rows: NDArray[Any], normalize: bool) -> NDArray[np.float32]:
    """The same of numbers whose sum or square is beyond the range of their dtype."""
    with np.errstate(over="ignore", invalid="ignore"):
        flat, (largest,) = scaled(rows.astype(np.float64).reshape(1, -1))
        mean = flat.reshape(rows.shape).sum(axis=0) / len(rows)
        return unit(mean[None])[0].astype(np.float32) if normalize else as_float32(mean * largest)


def sequences(table: NDArray[Any], tokens: Ragged) -> list[NDArray[np.float32]]:
    """The token vectors of each text, [tokens, D] float32; parameters as in `embed`."""
    found = (table.take(ids, axis=0) for ids in tokens)
    return [rows if rows.dtype == np.float32 else as_float32(rows) for rows in found]


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
    runs, positions = _run_sums(table, ids, np.repeat(starts, n_runs) + done, run_lengths)
    runs.take(positions.take(first_runs), axis=0, out=out, mode="clip")
    several = np.flatnonzero(n_runs > 1)
    if len(several):
        sums = np.empty((len(several), table.shape[1]), table.dtype)
        _sums(runs, positions, first_runs.take(several), n_runs.take(several), out=sums)
        out[several] = sums


def _run_sums(
    table: NDArray[Any], ids: NDArray[np.int64], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """`_sums` for lengths of up to `_RUN`, in another order, and the position of each sum in it.

    Runs of the same length are next to each other, so that whole blocks of rows are added.
    """
    dim = table.shape[1]
    block_rows = max(_BLOCK_BYTES // (dim * table.itemsize), _RUN)
    order = np.argsort(lengths.astype(np.uint8), kind="stable")
    starts = starts.take(order)
    bounds = np.cumsum(np.bincount(lengths, minlength=1)).tolist()
    sums = np.empty((len(lengths), dim), table.dtype)  # in that order
    sums[: bounds[0]] = 0
    buffer = np.empty(min(int(lengths.sum()), block_rows) * dim, table.dtype)
    for length, (first, last) in enumerate(pairwise(bounds), 1):
        tokens, step = np.arange(length)[:, None], block_rows // length
        for start in range(first, last, step):
            stop = min(start + step, last)
            block = ids.take(starts[start:stop] + tokens)  # [length, texts]
            rows = buffer[: block.size * dim].reshape(length, stop - start, dim)
            table.take(block, axis=0, out=rows, mode="clip")
            _sum_of_rows(rows.reshape(length, -1), out=sums[start:stop].reshape(-1))
    positions = np.empty_like(order)
    positions[order] = np.arange(len(order))
    return sums, positions


def _sum_of_rows(rows: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """[m]: the sum of rows [n, m], one after the other.

    numpy would sum rows of a single number in pairs, as one array.
    """
    if rows.shape[1] == 1 and len(rows):
        rows = np.add.accumulate(rows, axis=0)[-1:]
    return np.add.reduce(rows, axis=0, out=out)
