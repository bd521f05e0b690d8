"""Which rows are for training, and which for validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from m2v_core.errors import InvalidInputError


def split_indices(
    n: int,
    test_size: Any,
    *,
    max_test_size: int = 10_000,
    strata: Integer[np.ndarray, " n"] | None = None,
    seed: int,
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " val"]]:
    """Rows for training and for validation, drawn at random.

    Args:
        n: How many rows there are.
        test_size: The share of them that is for validation (a `float` above 0 and below 1), or how many (an `int`).
        max_test_size: The most that a share comes to.
        strata: A class index of each row. Where each class that occurs has two rows, and there are no more such classes
            than rows for validation, each is split alone, in proportion, with a row on both sides at least. Else it is
            of no account.
        seed: Of the draw.

    Returns:
        Both ascending. Strata make validation smaller than asked for where it would take the last row of a class.

    Raises:
        InvalidInputError: `test_size` is out of range, or there are not two rows.

    Example:
        >>> train, val = split_indices(10, 0.2, strata=np.array([0] * 5 + [1] * 5), seed=0)
        >>> len(train), int((val < 5).sum())
        (8, 1)
    """
    n_val = _validation_rows(n, test_size, max_test_size)
    rng = np.random.default_rng(seed)
    if strata is not None:
        sizes = np.bincount(strata)
        present = np.flatnonzero(sizes)
        if sizes[present].min() >= 2 and len(present) <= n_val:
            order = np.lexsort((rng.random(n), strata))  # the rows of a class together, in random order
            ends = np.cumsum(sizes[present])
            starts = np.repeat(ends - sizes[present], sizes[present])
            chosen = np.arange(n) - starts < np.repeat(_shares(sizes[present], n_val), sizes[present])
            return np.sort(order[~chosen]), np.sort(order[chosen])
    order = rng.permutation(n)
    return np.sort(order[n_val:]), np.sort(order[:n_val])


def _validation_rows(n: int, test_size: Any, max_test_size: int) -> int:
    if n < 2:
        raise InvalidInputError(
            f"Expected two rows at least, for training and validation; found {n}. Add rows, or pass validation data."
        )
    if isinstance(test_size, int | np.integer) and not isinstance(test_size, bool) and 1 <= test_size < n:
        return int(test_size)
    if isinstance(test_size, float | np.floating) and 0 < test_size < 1:
        return min(max(1, min(round(n * float(test_size)), max_test_size)), n - 1)
    raise InvalidInputError(
        f"test_size should be a share above 0 and below 1, or a number of rows from 1 to {n - 1}; found {test_size!r}."
    )


def _shares(sizes: Int64[np.ndarray, " C"], total: int) -> Int64[np.ndarray, " C"]:
    """How many of each class are for validation: in proportion, by largest remainder, none and all of none."""
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
