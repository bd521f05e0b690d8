"""Batches of few shapes for sequences of many lengths; each shape is a program that has to be compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int32
from numpy import ndarray

#: Cost of a program in positions that could be computed instead: this number, or this fraction of all if that is more.
PROGRAM, PROGRAM_FRACTION = 2048, 1 / 64

#: Smallest number of tiles of a program, about, so that the empty rows of the last one hardly matter.
TILES = 32

#: Positions of a tile below which `TILES` does not make it smaller.
SMALL = 1024

#: Largest number of rows of a tile for each 1024 positions.
ROWS_PER_1024 = 256


@dataclass(frozen=True)
class Batch:
    """Some sequences that are computed at once.

    Attributes:
        rows: Indices of the sequences.
        height: Rows of the arrays, at least len(rows).
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
    """Batches of sequences of similar length, short ones first; all batches of a width have one height.

    Neighbouring lengths share a width where padding costs less than another program: of all ways to divide the sorted
    lengths into groups, the one with the lowest cost in positions and programs is taken. A batch has one tile for each
    copy of the weights. Tiles do not depend on the number of copies, so every layout computes the same shapes. Only the
    last batch of a width has empty rows.

    Args:
        lengths: Lengths of the sequences, each 1 or more.
        batch_tokens: Approximate largest number of positions of a tile.
        copies: Number of copies of the weights, each of which computes one tile of a batch.
        longest: Largest width; `None` for no limit.

    Example:
        >>> [(batch.rows.tolist(), batch.height, batch.width) for batch in plan(np.array([3, 2, 2]), batch_tokens=8)]
        [([1, 2], 2, 3), ([0], 2, 3)]
    """
    order = np.argsort(lengths, kind="stable")
    padded_lengths = [bucket_length(int(length)) for length in lengths[order]]
    widths, counts = np.unique(np.minimum(padded_lengths, longest or 1 << 62), return_counts=True)
    stops = [0, *map(int, np.cumsum(counts))]
    price = max(PROGRAM, PROGRAM_FRACTION * float(lengths.sum()))
    # The lowest cost of the sequences before each stop, and the start of the last group then.
    best: list[tuple[float, int]] = [(0.0, 0)]
    for last, width in enumerate(map(int, widths)):
        ways = []
        for first in range(last + 1):
            count = stops[last + 1] - stops[first]
            tile = tile_rows(count, width, batch_tokens)
            ways.append((best[first][0] + -(-count // tile) * tile * width + price, first))
        best.append(min(ways))
    batches: list[Batch] = []
    last = len(widths)
    while last:
        first, width = best[last][1], int(widths[last - 1])
        rows = order[stops[first] : stops[last]]
        height = tile_rows(len(rows), width, batch_tokens) * copies
        group = [Batch(rows[i : i + height], height, width) for i in range(0, len(rows), height)]
        batches, last = group + batches, first
    return batches


def tile_rows(count: int, width: int, batch_tokens: int) -> int:
    """The rows of a tile, a power of two, for a number of sequences of a width.

    Example:
        >>> tile_rows(30000, 3, 1024), tile_rows(30000, 3, 32768), tile_rows(10**6, 3, 32768), tile_rows(9, 3, 1024)
        (256, 512, 8192, 16)
    """
    most, least = batch_rows(width, batch_tokens), batch_rows(width, min(batch_tokens, SMALL))
    if count <= least:
        return 1 << (count - 1).bit_length()
    return min(most, max(least, (1 << (count // TILES).bit_length()) // 2))


def batch_rows(width: int, batch_tokens: int) -> int:
    """The largest number of rows of a tile of a width, a power of two.

    Example:
        >>> batch_rows(3, 1024), batch_rows(20, 1024), batch_rows(4000, 1024)
        (256, 32, 1)
    """
    rows = min(batch_tokens // width, batch_tokens * ROWS_PER_1024 // 1024)
    return 1 << max(0, rows.bit_length() - 1)


def padded(
    batch: Batch, sequences: Sequence[Sequence[int]], pad_id: int
) -> tuple[Int32[ndarray, "B L"], Bool[ndarray, "B L"]]:
    """The ids and mask of a batch; empty rows repeat the first one."""
    ids = np.full((batch.height, batch.width), pad_id, np.int32)
    mask = np.zeros(ids.shape, bool)
    for number, row in enumerate(batch.rows):
        sequence = sequences[row]
        ids[number, : len(sequence)] = sequence
        mask[number, : len(sequence)] = True
    filled = len(batch.rows)
    ids[filled:], mask[filled:] = ids[0], mask[0]
    return ids, mask
