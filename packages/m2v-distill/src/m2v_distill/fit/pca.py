"""Principal component analysis of the token table."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from m2v_distill.config import PCADims


def apply_pca(table: Float32[ndarray, "V H"], pca_dims: PCADims) -> Float32[ndarray, "V D"]:
    """Rotate rows to their principal components, the largest first, and keep some.

    Components are the eigenvectors of the covariance of the rows (Pearson 1901; Bishop, Pattern Recognition and
    Machine Learning, 12.1), found in float64 of a float32 covariance. The sign of each is such that its largest score
    in absolute value is positive.

    Args:
        table: Token vectors.
        pca_dims: An int keeps that many components; a float the fewest that explain that share of variance; "auto"
            keeps all; `None` returns the table as it is.

    Warns:
        UserWarning: More components are asked for than the rows have dimensions (all are kept), or than there are
            rows (the table is returned as it is).

    Example:
        >>> table = np.array([[0, 0], [1, 0], [5, 0]], np.float32)
        >>> apply_pca(table, 1).round(2).ravel().tolist()
        [-2.0, -1.0, 3.0]
    """
    keep = _possible(pca_dims, table)
    if keep is None:
        return table
    centred = table - table.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / max(len(table) - 1, 1)
    return _signed(centred @ principal_axes(covariance, keep)[1].astype(np.float32))


def principal_axes(
    covariance: Float64[ndarray, "H H"], pca_dims: int | float
) -> tuple[Float64[ndarray, " D"], Float64[ndarray, "H D"]]:
    """Variances and directions of the largest principal components; see `apply_pca` for how many."""
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = np.clip(variances[::-1], 0, None), axes[:, ::-1]
    if isinstance(pca_dims, float):
        shares = np.cumsum(variances) / max(float(variances.sum()), np.finfo(np.float64).tiny)
        keep = min(int(np.searchsorted(shares, pca_dims)) + 1, len(variances))
    else:
        keep = pca_dims
    return variances[:keep], axes[:, :keep]


def apply_whitened_pca(
    table: Float32[ndarray, "V H"],
    centre: Float64[ndarray, " H"],
    covariance: Float64[ndarray, "H H"],
    pca_dims: PCADims,
    exponent: float,
) -> Float32[ndarray, "V D"]:
    """Rotate rows to the principal components of given moments, each divided by a power of its standard deviation.

    Whitening in part: an exponent of 1 makes all components count alike, 0 none more than in plain PCA (Su et al.,
    Whitening Sentence Representations, 2021, is 1). Components without variance, next to the largest, become 0.

    Args:
        table: Token vectors.
        centre: Taken from every row.
        covariance: Of the vectors whose components count.
        pca_dims: As in `apply_pca`; `None` does nothing at all.
        exponent: From 0 to 1.

    Warns:
        UserWarning: As `apply_pca`.

    Example:
        >>> table = np.array([[2, 0], [-2, 0], [0, 1], [0, -1]], np.float32)
        >>> apply_whitened_pca(table, np.zeros(2), np.diag([4.0, 1.0]), 2, 1.0).tolist()
        [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    """
    keep = _possible(pca_dims, table)
    if keep is None:
        return table
    variances, axes = principal_axes(covariance, keep)
    real = variances > 1e-9 * variances[0]
    scales = np.where(real, np.where(real, variances, 1.0) ** (-exponent / 2), 0.0)
    return _signed((table - centre.astype(np.float32)) @ (axes * scales).astype(np.float32))


def _possible(pca_dims: PCADims, table: Float32[ndarray, "V H"]) -> int | float | None:
    """What to keep of a table's dimensions: "auto" is all; `None` where there is to be no PCA."""
    n_tokens, width = table.shape
    if pca_dims is None or isinstance(pca_dims, float):
        return pca_dims
    keep = width if pca_dims == "auto" else pca_dims
    if keep > width:
        warnings.warn(
            f"pca_dims is {keep}, but the teacher has {width} dimensions: all {width} are kept.", stacklevel=3
        )
        keep = width
    if keep >= n_tokens:
        warnings.warn(f"pca_dims is {keep}, but there are only {n_tokens} tokens: no PCA is done.", stacklevel=3)
        return None
    return keep


def _signed(scores: Float32[ndarray, "V D"]) -> Float32[ndarray, "V D"]:
    scores *= np.where(scores.max(axis=0) >= -scores.min(axis=0), np.float32(1), np.float32(-1))
    return scores
