from __future__ import annotations

import numpy as np
import pytest

from m2v_distill.fit.pca import apply_pca, apply_whitened_pca
from m2v_distill.vocabulary.weights import sif_weights, zipf_frequencies

TABLE = (np.random.default_rng(0).normal(size=(200, 12)) * np.arange(1, 13)).astype(np.float32)


def test_against_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is not installed")
    for dims in (1, 5, 12, 0.5, 0.9):
        pca = decomposition.PCA(n_components=dims, svd_solver="full")
        expected = pca.fit_transform(TABLE.astype(np.float64))
        ours = apply_pca(TABLE, dims)
        assert ours.shape == expected.shape
        np.testing.assert_allclose(np.abs(ours), np.abs(expected), atol=2e-3)


def test_against_a_singular_value_decomposition() -> None:
    centred = TABLE.astype(np.float64) - TABLE.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    ours = apply_pca(TABLE, "auto")
    np.testing.assert_allclose(np.abs(ours), np.abs(left * values), atol=2e-3)
    assert (ours[np.abs(ours).argmax(axis=0), np.arange(12)] > 0).all()
    # Not bit for bit: BLAS multiplies matrices of other shapes in another order.
    np.testing.assert_allclose(apply_pca(TABLE, 4), ours[:, :4], atol=1e-4)


def test_share_of_variance() -> None:
    variances = apply_pca(TABLE, "auto").astype(np.float64).var(axis=0)
    shares = np.cumsum(variances) / variances.sum()
    for share in (0.1, 0.5, 0.9, 0.99):
        kept = apply_pca(TABLE, share).shape[1]
        assert shares[kept - 1] >= share
        assert kept == 1 or shares[kept - 2] < share
    assert apply_pca(TABLE, 1.0).shape[1] == 12


def test_no_pca_and_the_input_is_left_alone() -> None:
    before = TABLE.copy()
    assert apply_pca(TABLE, None) is TABLE
    apply_pca(TABLE, 3)
    assert np.array_equal(TABLE, before)


def test_too_many_dimensions_are_reported() -> None:
    with pytest.warns(UserWarning, match="all 12 are kept"):
        assert apply_pca(TABLE, 99).shape == (200, 12)
    with pytest.warns(UserWarning, match="only 5 tokens"):
        assert apply_pca(TABLE[:5], 8).shape == (5, 12)
    with pytest.warns(UserWarning, match="only 12 tokens"):
        assert apply_pca(TABLE[:12], "auto") is not None


def test_equal_rows() -> None:
    assert not apply_pca(np.ones((20, 3), np.float32), 2).any()
    assert apply_pca(np.ones((20, 3), np.float32), 0.5).shape == (20, 3)


def test_weights_follow_the_formula() -> None:
    weights = sif_weights(zipf_frequencies(1000), 1e-3)
    ranks = np.arange(2, 1002)
    probability = (1 / ranks) / sum(1 / rank for rank in ranks)
    np.testing.assert_allclose(weights, 1e-3 / (1e-3 + probability))
    assert (np.diff(weights) > 0).all()


def moments(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return table.mean(axis=0, dtype=np.float64), np.cov(table.astype(np.float64).T)


@pytest.mark.parametrize("dims", [3, 12, 0.7, "auto"])
def test_whitened_pca_without_whitening(dims: int | float | str) -> None:
    centre, covariance = moments(TABLE)
    np.testing.assert_allclose(
        apply_whitened_pca(TABLE, centre, covariance, dims, 0.0), apply_pca(TABLE, dims), atol=2e-3
    )


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0])
def test_whitening(exponent: float) -> None:
    """The variance of a component is its own to the power that is left; components do not vary together."""
    centre, covariance = moments(TABLE)
    plain, found = (apply_whitened_pca(TABLE, centre, covariance, 8, power) for power in (0.0, exponent))
    variances = plain.var(axis=0, ddof=1)
    np.testing.assert_allclose(np.cov(found.T), np.diag(variances ** (1 - exponent)), atol=2e-3)
    np.testing.assert_allclose(found, plain * variances ** (-exponent / 2), rtol=1e-3, atol=1e-4)
    assert (found.max(axis=0) >= -found.min(axis=0)).all()


def test_whitening_by_moments_of_others() -> None:
    """Axes and scales are those of the moments, whatever the table."""
    found = apply_whitened_pca(TABLE, np.ones(12), np.diag(np.arange(12.0) ** 2), 2, 1.0)
    expected = (TABLE[:, [11, 10]] - 1) / [11, 10]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-5, atol=1e-6)


def test_components_without_variance_are_zero() -> None:
    flat = TABLE.copy()
    flat[:, 3:] = 0
    with np.errstate(all="raise"):
        found = apply_whitened_pca(flat, *moments(flat), 6, 1.0)
    assert found.shape == (200, 6)
    np.testing.assert_allclose(found[:, :3].var(axis=0, ddof=1), 1, rtol=1e-3)
    assert not found[:, 3:].any()
    assert not apply_whitened_pca(np.ones_like(TABLE), *moments(np.ones_like(TABLE)), 6, 1.0).any()


def test_what_cannot_be_whitened() -> None:
    assert apply_whitened_pca(TABLE, *moments(TABLE), None, 1.0) is TABLE
    with pytest.warns(UserWarning, match="12 dimensions: all 12 are kept"):
        assert apply_whitened_pca(TABLE, *moments(TABLE), 13, 1.0).shape == (200, 12)
    with pytest.warns(UserWarning, match="only 10 tokens"):
        assert apply_whitened_pca(TABLE[:10], *moments(TABLE), 11, 1.0).shape == (10, 12)
