"""Principal component analysis of the token table."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

#: Number of dimensions, fraction of the variance, all dimensions rotated ("auto"), or no PCA.
PCADims = int | float | Literal["auto"] | None


def apply_pca(table: Float32[ndarray, "V H"], pca_dims: PCADims) -> Float32[ndarray, "V D"]:
    """Rotate rows to their principal components, the largest first, and keep some of them.

    Components are the eigenvectors of the covariance of the rows (Pearson 1901; Bishop, Pattern Recognition and
    Machine Learning, 12.1), computed in float64 from a float32 covariance. The sign of each is such that its largest
    absolute score is positive.

    Args:
        table: Token vectors.
        pca_dims: An int keeps that many components, a float the fewest that explain that fraction of the variance,
            "auto" all; `None` returns the table as it is.

    Warns:
        UserWarning: More components are requested than the rows have dimensions (all are kept), or than there are rows
            (the table is returned as it is).

    Example:
        >>> table = np.array([[0, 0], [1, 0], [5, 0]], np.float32)
        >>> apply_pca(table, 1).round(2).ravel().tolist()
        [-2.0, -1.0, 3.0]
    """
    keep = dims_to_keep(pca_dims, table)
    if keep is None:
        return table
    centred = table - table.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / max(len(table) - 1, 1)
    return _signed(centred @ principal_axes(covariance, keep)[1].astype(np.float32))


def principal_axes(
    covariance: Float64[ndarray, "H H"], pca_dims: int | float
) -> tuple[Float64[ndarray, " D"], Float64[ndarray, "H D"]]:
    """The variances and directions of the largest principal components; `pca_dims` as in `apply_pca`."""
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = np.clip(variances[::-1], 0, None), axes[:, ::-1]
    if isinstance(pca_dims, float):
        explained = np.cumsum(variances) / max(float(variances.sum()), np.finfo(np.float64).tiny)
        keep = min(int(np.searchsorted(explained, pca_dims)) + 1, len(variances))
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

    This is partial whitening: with exponent 0 it is plain PCA, with exponent 1 all components have the same variance
    (Su et al., Whitening Sentence Representations, 2021). Components whose variance is negligible become 0.

    Args:
        table: Token vectors.
        centre: Mean that is subtracted from each row.
        covariance: Covariance whose principal components are used.
        pca_dims: As in `apply_pca`; `None` returns the table as it is.
        exponent: Power of the standard deviation, from 0 to 1.

    Warns:
        UserWarning: As in `apply_pca`.

    Example:
        >>> table = np.array([[2, 0], [-2, 0], [0, 1], [0, -1]], np.float32)
        >>> apply_whitened_pca(table, np.zeros(2), np.diag([4.0, 1.0]), 2, 1.0).tolist()
        [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    """
    keep = dims_to_keep(pca_dims, table)
    if keep is None:
        return table
    variances, axes = principal_axes(covariance, keep)
    real = variances > 1e-9 * variances[0]
    scales = np.where(real, np.where(real, variances, 1.0) ** (-exponent / 2), 0.0)
    return _signed((table - centre.astype(np.float32)) @ (axes * scales).astype(np.float32))


def dims_to_keep(pca_dims: PCADims, table: Float32[ndarray, "V H"]) -> int | float | None:
    """The components to keep of a table, `pca_dims` if that many are possible; `None` for no PCA.

    Warns:
        UserWarning: As in `apply_pca`.
    """
    n_tokens, n_dims = table.shape
    if pca_dims is None or isinstance(pca_dims, float):
        return pca_dims
    keep = n_dims if pca_dims == "auto" else pca_dims
    if keep > n_dims:
        warnings.warn(
            f"pca_dims is {keep}, but the teacher has {n_dims} dimensions: all {n_dims} are kept.", stacklevel=3
        )
        keep = n_dims
    if keep >= n_tokens:
        warnings.warn(f"pca_dims is {keep}, but there are only {n_tokens} tokens: no PCA is done.", stacklevel=3)
        return None
    return keep


def _signed(scores: Float32[ndarray, "V D"]) -> Float32[ndarray, "V D"]:
    scores *= np.where(scores.max(axis=0) >= -scores.min(axis=0), np.float32(1), np.float32(-1))
    return scores
