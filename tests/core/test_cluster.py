from __future__ import annotations

import sys

import numpy as np
import pytest

from m2v_core.cluster import check_clusters, clustered
from m2v_core.errors import InvalidInputError, MissingPackageError


@pytest.fixture
def _sklearn() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'm2v-core[quantization]'")


needs_sklearn = pytest.mark.usefixtures("_sklearn")


def random_rows(n: int = 300, dim: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, dim)) * rng.exponential(size=(n, 1)) * 10).astype(np.float32)


@needs_sklearn
@pytest.mark.parametrize("n_clusters", [1, 2, 40, 299])
def test_a_row_becomes_its_projection(n_clusters: int) -> None:
    rows = random_rows()
    before = rows.copy()
    directions, weights, mapping = clustered(rows, n_clusters)
    assert (directions.shape, weights.shape, mapping.shape) == ((n_clusters, 5), (300,), (300,))
    assert (directions.dtype, weights.dtype, mapping.dtype) == (np.float32, np.float32, np.int32)
    assert set(mapping) <= set(range(n_clusters))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-5)
    kept = directions[mapping] * weights[:, None]
    across = ((rows - kept) * directions[mapping]).sum(axis=1)
    np.testing.assert_allclose(across, 0, atol=1e-4)
    np.testing.assert_array_equal(rows, before)


@needs_sklearn
def test_more_clusters_come_nearer() -> None:
    rows = random_rows()
    left = []
    for n_clusters in (1, 10, 50, 200):
        directions, weights, mapping = clustered(rows, n_clusters)
        left.append(np.linalg.norm(rows - directions[mapping] * weights[:, None]))
    assert left == sorted(left, reverse=True)
    assert left[0] <= np.linalg.norm(rows)


@needs_sklearn
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_scales_neither_make_clusters_nor_get_lost(dtype: str) -> None:
    """Rows of four directions in thirty clusters."""
    rng = np.random.default_rng(1)
    lengths = 10 ** rng.uniform(-2, 2, 60)
    which = rng.integers(0, 4, 60)
    rows = (np.eye(4)[which] * lengths[:, None]).astype(dtype)
    directions, weights, mapping = clustered(rows, 30)
    off = np.abs(directions[mapping] * weights[:, None] - rows) / lengths[:, None]
    assert off.max() <= 1e-6


@needs_sklearn
def test_zeros_stay_zeros() -> None:
    rows = random_rows()
    rows[[0, 7, 50]] = 0
    _, weights, _ = clustered(rows, 10)
    assert np.flatnonzero(weights == 0).tolist() == [0, 7, 50]
    assert not clustered(np.zeros((4, 2), np.float32), 2)[1].any()


@needs_sklearn
def test_the_same_rows_give_the_same_clusters() -> None:
    for one, other in zip(clustered(random_rows(), 20), clustered(random_rows(), 20), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("n_clusters", [0, -1, 4, 5, 2.0, True, "2"])
def test_numbers_of_clusters_out_of_range(n_clusters: object) -> None:
    with pytest.raises(InvalidInputError, match="1 or more, and fewer than the 4 tokens; found"):
        clustered(np.eye(4), n_clusters)


def test_no_limit_that_is_not_known() -> None:
    check_clusters(None)
    check_clusters(10**9)
    with pytest.raises(InvalidInputError, match="1 or more; found 0"):
        check_clusters(0)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_rows_that_are_not_finite(value: float) -> None:
    rows = np.eye(4)
    rows[1, 2] = value
    with pytest.raises(InvalidInputError, match="finite"):
        clustered(rows, 2)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)  # what makes an import fail
    with pytest.raises(MissingPackageError, match=r"pip install 'm2v-core\[quantization\]'"):
        clustered(np.eye(4), 2)
