from __future__ import annotations

import numpy as np
import pytest

from m2v_distill.pca import apply_pca
from m2v_distill.weighting import sif_weights

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
    np.testing.assert_array_equal(apply_pca(TABLE, 4), ours[:, :4])


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
    weights = sif_weights(1000, 1e-3)
    ranks = np.arange(2, 1002)
    probability = (1 / ranks) / sum(1 / rank for rank in ranks)
    np.testing.assert_allclose(weights, 1e-3 / (1e-3 + probability))
    assert (np.diff(weights) > 0).all()
