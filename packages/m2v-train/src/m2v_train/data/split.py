"""Split of rows into training and validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from m2v_core.errors import InvalidInputError
from m2v_train.config import check_test_size

#: Maximum number of validation rows that a fraction gives.
MAX_FRACTION = 10_000


def split_indices(
    n: int,
    test_size: Any,
    *,
    strata: Integer[np.ndarray, " n"] | None = None,
    seed: int,
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " val"]]:
    """Split rows at random into training and validation.

    Args:
        n: Number of rows.
        test_size: Fraction of the rows for validation (a `float` above 0 and below 1, for 10,000 rows at most), or
            their number (an `int`).
        strata: Class index of each row. If every class that occurs has two rows or more, and there are no more classes
            than validation rows, each class is split in proportion, with at least one row on both sides. Otherwise
            strata are ignored.
        seed: Seed of the random draw.

    Returns:
        Indices of the training rows and of the validation rows, both ascending. With strata, fewer rows than asked for
        are validation rows if more would take the last training row of a class.

    Raises:
        InvalidInputError: `test_size` is out of range, or there are fewer than two rows.

    Example:
        >>> train, val = split_indices(10, 0.2, strata=np.array([0] * 5 + [1] * 5), seed=0)
        >>> len(train), int((val < 5).sum())
        (8, 1)
    """
    n_val = validation_size(n, test_size)
    rng = np.random.default_rng(seed)
    if strata is not None:
        sizes = np.bincount(strata)
        present = np.flatnonzero(sizes)
        if sizes[present].min() >= 2 and len(present) <= n_val:
            order = np.lexsort((rng.random(n), strata))  # the rows of a class together, in random order
            ends = np.cumsum(sizes[present])
            starts = np.repeat(ends - sizes[present], sizes[present])
            chosen = np.arange(n) - starts < np.repeat(_validation_counts(sizes[present], n_val), sizes[present])
            return np.sort(order[~chosen]), np.sort(order[chosen])
    order = rng.permutation(n)
    return np.sort(order[n_val:]), np.sort(order[:n_val])


def validation_size(n: int, test_size: Any) -> int:
    """Number of validation rows; see `split_indices`."""
    if n < 2:
        raise InvalidInputError(
            f"Expected two rows at least, for training and validation; found {n}. Add rows, or pass validation data."
        )
    check_test_size(test_size, n)
    if isinstance(test_size, float | np.floating):
        return min(max(1, min(round(n * float(test_size)), MAX_FRACTION)), n - 1)
    return int(test_size)


def _validation_counts(sizes: Int64[np.ndarray, " C"], total: int) -> Int64[np.ndarray, " C"]:
    """Number of validation rows per class: in proportion, by largest remainder, at least 1, never a whole class."""
    quotas = sizes * (total / sizes.sum())
    counts: Int64[np.ndarray, " C"] = np.clip(np.floor(quotas).astype(np.int64), 1, sizes - 1)
    while left := total - int(counts.sum()):
        step = 1 if left > 0 else -1
        free = np.flatnonzero(counts < sizes - 1 if step > 0 else counts > 1)
        if not len(free):
            break
        owed = (quotas - counts)[free] * step
        counts[free[np.argsort(-owed, kind="stable")[: abs(left)]]] += step
    return counts
