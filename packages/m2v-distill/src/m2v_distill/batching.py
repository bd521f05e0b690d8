"""Sequences of many lengths in batches of few shapes: each shape is a program that must be compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int32
from numpy import ndarray

#: A length gets a program of its own if it fills this many batches; else its sequences are padded to the next one.
WORTH_COMPILING = 4

#: No batch has more rows than this for each 1024 positions.
ROWS_PER_1024 = 256


@dataclass(frozen=True)
class Batch:
    """Attributes:
    rows: Numbers of its sequences.
    height: Rows of the arrays, len(rows) or more.
    width: Columns of the arrays.
    """

    rows: Int[ndarray, " n"]
    height: int
    width: int


def bucket_length(length: int) -> int:
    """The padded length of a sequence: itself up to 8, then steps of an eighth of the next power of two.

    Example:
        >>> [bucket_length(n) for n in (3, 8, 9, 17, 100, 512)]
        [3, 8, 10, 20, 112, 512]
    """
    step = 1 << max(0, (length - 1).bit_length() - 3)
    return -(-length // step) * step


def plan(lengths: Int[ndarray, " N"], *, batch_tokens: int, copies: int = 1, longest: int | None = None) -> list[Batch]:
    """Batches of sequences of like length, short ones first; all batches of a width have one height.

    A width that does not fill `WORTH_COMPILING` batches, and what is left of a width after its last full batch, waits
    for the next width; only the last batch of all may have empty rows.

    Args:
        lengths: Of the sequences, each 1 or more.
        batch_tokens: Positions that one copy of the weights computes at once, about.
        copies: Among which the rows of a batch are split.
        longest: No width is above it.

    Example:
        >>> [(batch.rows.tolist(), batch.height, batch.width) for batch in plan(np.array([3, 2, 2]), batch_tokens=8)]
        [([1, 2], 2, 3), ([0], 2, 3)]
    """
    order = np.argsort(lengths, kind="stable")
    widths = np.array([bucket_length(int(length)) for length in lengths[order]], np.int64)
    if longest is not None:
        widths = np.minimum(widths, longest)
    batches = []
    start = 0  # of those who wait
    for width in np.unique(widths):
        stop = int(np.searchsorted(widths, width, side="right"))
        height = batch_rows(int(width), batch_tokens) * copies
        last = stop == len(order)
        if last:
            height = min(height, copies * (1 << (-(-(stop - start) // copies) - 1).bit_length()))
        if last or stop - start >= WORTH_COMPILING * height:
            end = stop if last else stop - (stop - start) % height
            batches += [Batch(order[i : min(i + height, end)], height, int(width)) for i in range(start, end, height)]
            start = end
    return batches


def batch_rows(width: int, batch_tokens: int) -> int:
    """Rows of a batch of a width: a power of two.

    Example:
        >>> batch_rows(3, 1024), batch_rows(20, 1024), batch_rows(4000, 1024)
        (256, 32, 1)
    """
    rows = min(batch_tokens // width, batch_tokens * ROWS_PER_1024 // 1024)
    return 1 << max(0, rows.bit_length() - 1)


def padded(
    batch: Batch, sequences: Sequence[Sequence[int]], pad_id: int
) -> tuple[Int32[ndarray, "B L"], Bool[ndarray, "B L"]]:
    """Ids and mask of a batch; rows that are left over repeat the first one."""
    ids = np.full((batch.height, batch.width), pad_id, np.int32)
    mask = np.zeros(ids.shape, bool)
    for place, row in enumerate(batch.rows):
        sequence = sequences[row]
        ids[place, : len(sequence)] = sequence
        mask[place, : len(sequence)] = True
    filled = len(batch.rows)
    ids[filled:], mask[filled:] = ids[0], mask[0]
    return ids, mask


def waste(batches: Sequence[Batch], lengths: Int[ndarray, " N"]) -> float:
    """The share of positions that compute nothing of use."""
    return 1 - float(lengths.sum()) / max(1, sum(batch.height * batch.width for batch in batches))
