"""Samples of pairs of texts, with any number of hard negatives each."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from m2v_core.ragged import Ragged, concatenated
from m2v_train.data.samples import Samples

#: Number of a hard negative that a pair does not have.
NONE = -1


def pair_samples(texts: Ragged, counts: Int64[np.ndarray, " n"], *, width: int) -> Samples:
    """Samples of pairs; their targets number the texts, with the same number for the same tokens.

    Args:
        texts: Token ids of all first texts, then of all second ones, then of the hard negatives of each pair in turn.
        counts: Number of hard negatives of each pair.
        width: Number of texts per sample. Pairs with fewer get an empty text in their place, whose number is -1.

    Example:
        >>> texts = Ragged.of([[1], [2], [3], [4], [3]])
        >>> samples = pair_samples(texts, np.array([0, 1]), width=3)
        >>> samples.targets.tolist()
        [[0, 2, -1], [1, 3, 2]]
    """
    n = len(counts)
    numbers: dict[bytes, int] = {}
    known = (
        numbers.setdefault(texts.values[start:stop].tobytes(), len(numbers))
        for start, stop in pairwise(texts.offsets.tolist())
    )
    number_of = np.fromiter(known, np.int32, len(texts))
    members = np.full((n, width), len(texts))
    members[:, 0], members[:, 1] = np.arange(n), n + np.arange(n)
    is_there = np.arange(width - 2) < counts[:, None]
    members[:, 2:][is_there] = np.arange(2 * n, len(texts))
    if not is_there.all():
        texts = concatenated([texts, Ragged.of([[]], texts.values.dtype)])
        number_of = np.append(number_of, np.int32(NONE))
    return Samples(texts, members, number_of[members], np.arange(n))
