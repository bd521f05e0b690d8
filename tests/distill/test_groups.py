from __future__ import annotations

from dataclasses import replace
from itertools import chain, product

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from m2v_distill.fit.design import Design
from m2v_distill.fit.groups import (
    CORPUS_STEP,
    CORPUS_STRENGTH,
    GROUP_SIZE,
    beside,
    fit_corpus,
    fit_groups,
    group_sequences,
    mean_rows,
    standard,
    token_groups,
    token_moments,
    weighted_rows,
)
from m2v_distill.fit.ridge import fitted_scale, ridge

MESH = Mesh(np.array(jax.devices()[:1]), ("columns",))
RANDOM = np.random.default_rng(0)


@given(n_tokens=st.integers(2, 60), size=st.integers(1, 20), rounds=st.integers(1, 5), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_groups(n_tokens: int, size: int, rounds: int, seed: int) -> None:
    tokens = np.arange(n_tokens) * 3 + 1
    groups = token_groups(tokens, size=size, rounds=rounds, at_least=0, seed=seed)
    assert groups == token_groups(tokens, size=size, rounds=rounds, at_least=0, seed=seed)
    assert {len(group) for group in groups[:-1]} <= set(range(1, size + 1))
    a_round = len(groups) // rounds
    assert a_round >= 2  # else there is but one text
    for start in range(0, len(groups), a_round):
        assert sorted(chain(*groups[start : start + a_round])) == tokens.tolist()


def test_groups_of_other_seeds() -> None:
    tokens = np.arange(100)
    seeds = [token_groups(tokens, rounds=3, seed=seed) for seed in range(3)]
    assert len({str(groups) for groups in seeds}) == 3
    assert seeds[0] == token_groups(tokens, rounds=3)
    assert len(seeds[0]) == 4108  # GROUPS, or what whole rounds of 13 make of it
    assert len(token_groups(np.arange(10_000), rounds=5)) == 10_000 // GROUP_SIZE * 5
    assert {len(group) for group in seeds[0]} == {GROUP_SIZE, 100 % GROUP_SIZE}
    assert len({str(groups[:13]) for groups in (seeds[0], seeds[0][13:], seeds[0][26:])}) == 3  # each round is another


@pytest.mark.parametrize("n_tokens", [0, 1])
def test_too_few_tokens_for_groups(n_tokens: int) -> None:
    assert token_groups(np.arange(n_tokens), rounds=3) == []


@given(
    pieces=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=6), min_size=2, max_size=30),
    longest=st.integers(1, 20) | st.none(),
)
def test_joined(pieces: list[list[int]], longest: int | None) -> None:
    groups = token_groups(np.arange(len(pieces)), size=5, rounds=2, at_least=0)
    kept, sequences = group_sequences(groups, pieces, longest)
    for group, ids in zip(kept, sequences, strict=True):
        assert group
        assert ids == [piece for token in group for piece in pieces[token]]
        assert longest is None or len(ids) <= longest
    remaining = iter(kept)
    for group in groups:  # as many tokens of each as fit
        fitting = [
            n for n in range(1, len(group) + 1) if sum(len(pieces[token]) for token in group[:n]) <= (longest or 99)
        ]
        if fitting:
            assert next(remaining) == group[: fitting[-1]]
    assert next(remaining, None) is None


def test_mean_rows() -> None:
    table = RANDOM.normal(size=(9, 3)).astype(np.float32)
    pieces = [[], [2], [0, 8, 8], [], [1, 2, 3, 4], []]
    expected = [table[ids].mean(axis=0) if ids else np.zeros(3) for ids in pieces]
    np.testing.assert_allclose(mean_rows(table, pieces), expected, atol=1e-6)
    assert not mean_rows(table, [[], []]).any()


def test_standard() -> None:
    features = (RANDOM.normal(size=(50, 4)) * [1, 2, 3, 4] + 5).astype(np.float32)
    found = standard(features)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    assert found.std() == pytest.approx(1, rel=1e-5)
    ratios = (features - features.mean(axis=0)) / found
    np.testing.assert_allclose(ratios, ratios[0, 0], rtol=1e-2)  # one divisor for all
    assert not standard(np.full((5, 2), 3, np.float32)).any()


def linear_world(seed: int) -> tuple[Design, np.ndarray, np.ndarray]:
    """Groups of 200 tokens, vectors that are the mean of hidden rows, and those rows."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(200, 6)).astype(np.float32)
    groups = token_groups(np.arange(200), size=4, rounds=12, at_least=0, seed=seed)
    targets = np.stack([truth[group].mean(axis=0) for group in groups])
    return Design.of(groups, n_tokens=200, mesh=MESH), targets, truth


def test_groups_tell_what_features_do_not() -> None:
    """The table that made the vectors is found again, up to a constant row, from features that know little of it."""
    design, targets, truth = linear_world(0)
    features = [truth[:, :2] + RANDOM.normal(size=(200, 2)).astype(np.float32), np.zeros((200, 3), np.float32)]
    table = fit_groups(design, targets, features)
    np.testing.assert_allclose(table - table.mean(axis=0), truth - truth.mean(axis=0), atol=0.15)


def test_a_corpus_corrects_half_of_its_prior() -> None:
    design, targets, truth = linear_world(1)
    noise = RANDOM.normal(size=truth.shape).astype(np.float32)
    prior = 3 * truth + noise
    cross = design.cross([targets], 6)
    scaled = fitted_scale(design, cross, prior) * prior
    whole = ridge(design, cross, scaled, CORPUS_STRENGTH)
    np.testing.assert_allclose(whole - whole.mean(axis=0), truth - truth.mean(axis=0), atol=0.15)
    table = fit_corpus(design, iter([targets[:70], targets[70:]]), prior)
    np.testing.assert_allclose(table, scaled + CORPUS_STEP * (whole - scaled), atol=1e-3)
    assert 0 < CORPUS_STEP < 1


def test_the_priors_scale_is_fitted() -> None:
    """Tokens that no text has come along."""
    design, targets, truth = linear_world(2)
    wider = replace(design, n_tokens=201)
    prior = np.concatenate([7 * truth, np.ones((1, 6), np.float32)])
    table = fit_corpus(wider, iter([targets]), prior)
    np.testing.assert_allclose(table[200], 1 / 7, rtol=1e-3)
    np.testing.assert_allclose(table[:200], truth, atol=2e-3)


@given(seed=st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_moments_of_weighted_rows(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = random.normal(size=(15, 3)).astype(np.float32)
    frequencies, weights = random.random(15) * 9, random.random(15)
    rows = weighted_rows(table, frequencies, weights)
    centre, covariance = token_moments(rows, frequencies)
    mean, total = np.zeros(3), 0.0
    for row, p, w in zip(table.astype(np.float64), frequencies, weights, strict=True):
        mean += p * w * row
        total += p * w
    mean /= total
    expected, total = np.zeros((3, 3)), 0.0
    for row, p, w in zip(table.astype(np.float64), frequencies, weights, strict=True):
        for i, j in product(range(3), repeat=2):
            expected[i, j] += p * w * w * (row[i] - mean[i]) * (row[j] - mean[j])
        total += p
    np.testing.assert_allclose(rows, (table - mean) * weights[:, None], atol=1e-5)
    np.testing.assert_allclose(centre, 0, atol=1e-5)
    np.testing.assert_allclose(covariance, expected / total, atol=1e-5)
    shifted = token_moments(rows + np.float32(3), frequencies)
    np.testing.assert_allclose(shifted[0], 3, atol=1e-5)
    np.testing.assert_allclose(shifted[1], covariance, atol=1e-5)


def test_tables_side_by_side() -> None:
    """Texts of drawn tokens vary a quarter as much in the second table as in the first, whatever its scale."""
    table, other = (RANDOM.normal(size=(40, width)).astype(np.float32) for width in (3, 5))
    frequencies = RANDOM.random(40)
    both = beside(table, 70 * other + 1, frequencies, 0.5)
    assert np.array_equal(both[:, :3], table)
    variances = np.diag(token_moments(both, frequencies)[1])
    assert variances[3:].sum() == pytest.approx(variances[:3].sum() / 4, rel=1e-4)
    again = beside(table, other, frequencies, 0.5)
    np.testing.assert_allclose(both[:, 3:] - both[0, 3:], again[:, 3:] - again[0, 3:], atol=1e-4)
    assert not beside(table, np.zeros((40, 2), np.float32), frequencies, 0.5)[:, 3:].any()
