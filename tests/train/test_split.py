from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from m2v_core import InvalidInputError
from m2v_train.data.split import split_indices


@given(st.integers(2, 300), st.one_of(st.floats(0.01, 0.99), st.integers(1, 299)), st.integers(0, 9), st.booleans())
def test_splits(n: int, test_size: float | int, seed: int, stratified: bool) -> None:
    if isinstance(test_size, int) and test_size >= n:
        return
    strata = np.random.default_rng(seed).integers(0, 5, n) if stratified else None
    train, val = split_indices(n, test_size, strata=strata, seed=seed)
    assert sorted([*train, *val]) == list(range(n))
    assert all(np.all(np.diff(part) > 0) for part in (train, val))
    n_val = test_size if isinstance(test_size, int) else min(max(1, round(n * test_size)), n - 1)
    if strata is None or np.bincount(strata)[np.unique(strata)].min() < 2 or len(np.unique(strata)) > n_val:
        assert len(val) == n_val
    else:
        sizes = np.bincount(strata)
        drawn = np.bincount(strata[val], minlength=len(sizes))
        assert np.all(drawn[sizes > 0] >= 1)
        assert np.all(drawn[sizes > 0] < sizes[sizes > 0])
        assert len(val) == n_val or len(train) == np.count_nonzero(sizes)  # one row of each class is left


@given(st.lists(st.integers(10, 60), min_size=2, max_size=6), st.floats(0.15, 0.5))
def test_proportions_are_scikit_learns(sizes: list[int], test_size: float) -> None:
    """Both give each class its share, rounded up or down; ours by largest remainder, scikit-learn's ties at random."""
    strata = np.repeat(np.arange(len(sizes)), sizes)
    n_val = round(len(strata) * test_size)
    _, ours = split_indices(len(strata), n_val, strata=strata, seed=0)
    _, theirs = train_test_split(np.arange(len(strata)), test_size=n_val, stratify=strata, random_state=0)
    assert len(ours) == len(theirs)
    assert np.abs(np.bincount(strata[ours]) - np.bincount(strata[theirs])).max() <= 1


def test_a_split_depends_on_its_seed_alone() -> None:
    strata = np.arange(100) % 3
    first, again, other = (split_indices(100, 0.2, strata=strata, seed=seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    drawn = np.zeros(100)
    for seed in range(300):
        drawn[split_indices(100, 0.2, strata=strata, seed=seed)[1]] += 1
    assert drawn.min() > 30  # of 60 expected: no row is left out
    assert drawn.max() < 95


def test_the_size_of_a_split() -> None:
    assert len(split_indices(30_000, 0.5, seed=0)[1]) == 10_000
    assert len(split_indices(30_000, 15_000, seed=0)[1]) == 15_000
    assert len(split_indices(2, 0.01, seed=0)[1]) == 1
    rare = np.array([0] * 99 + [1])  # a class of one text: not stratified
    assert len(split_indices(100, 0.2, strata=rare, seed=0)[1]) == 20
    many = np.repeat(np.arange(50), 2)  # more classes than rows for validation: not stratified
    assert len(split_indices(100, 0.2, strata=many, seed=0)[1]) == 20
    gaps = np.array([1, 1, 1, 1, 7, 7])  # classes without rows are no classes
    assert sorted(gaps[split_indices(6, 2, strata=gaps, seed=0)[1]]) == [1, 7]


@pytest.mark.parametrize("test_size", [True, 0, 10, -1, 0.0, 1.0, 1.5, float("nan"), "0.1", None])
def test_bad_sizes(test_size: Any) -> None:
    with pytest.raises(InvalidInputError, match="number of rows from 1 to 9; found"):
        split_indices(10, test_size, seed=0)


def test_too_few_rows() -> None:
    with pytest.raises(InvalidInputError, match=r"two rows at least, .* found 1"):
        split_indices(1, 0.5, seed=0)
