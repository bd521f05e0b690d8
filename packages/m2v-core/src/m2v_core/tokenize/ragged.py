"""Lists of ids for many texts as two flat arrays: all ids, and how many each text has. Pure functions on those."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def merged(mask: NDArray[np.bool_], chosen: tuple[Ids, Ids], others: tuple[Ids, Ids]) -> tuple[Ids, Ids]:
    """Ids and lengths of two groups of texts as one: where `mask` is true comes the next of `chosen`.

    Example:
        >>> mask = np.array([False, True])
        >>> merged(mask, (np.array([7, 8]), np.array([2])), (np.array([5]), np.array([1])))
        (array([5, 7, 8]), array([1, 2]))
    """
    lengths = np.empty(len(mask), np.int64)
    lengths[mask], lengths[~mask] = chosen[1], others[1]
    ids = np.empty(int(lengths.sum()), np.int64)
    of_chosen = np.repeat(mask, lengths)
    ids[of_chosen], ids[~of_chosen] = chosen[0], others[0]
    return ids, lengths


def without(unwanted: int | None, ids: Ids, lengths: Ids) -> tuple[Ids, Ids]:
    """Ids and lengths with one id left out.

    Example:
        >>> without(0, np.array([3, 0, 4]), np.array([2, 1]))
        (array([3, 4]), array([1, 1]))
    """
    if unwanted is None:
        return ids, lengths
    kept = ids != unwanted
    if kept.all():
        return ids, lengths
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return ids[kept], np.bincount(owner[kept], minlength=len(lengths))


def cut(ids: Ids, lengths: Ids, max_length: int | None) -> tuple[Ids, Ids]:
    """At most `max_length` ids of each text, and offsets [n + 1] in place of lengths.

    Example:
        >>> cut(np.array([3, 4, 5]), np.array([2, 1]), 1)
        (array([3, 5]), array([0, 1, 2]))
    """
    if max_length is not None and len(lengths) and lengths.max() > max_length:
        starts = np.cumsum(lengths) - lengths
        place = np.arange(len(ids)) - np.repeat(starts, lengths)
        ids, lengths = ids[place < max_length], np.minimum(lengths, max_length)
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return ids, offsets
