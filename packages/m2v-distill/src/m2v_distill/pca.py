"""Principal component analysis of the token table."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float32
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
    if pca_dims is None:
        return table
    n_tokens, width = table.shape
    if pca_dims == "auto":
        pca_dims = width
    if isinstance(pca_dims, int) and pca_dims > width:
        warnings.warn(
            f"pca_dims is {pca_dims}, but the teacher has {width} dimensions: all {width} are kept.", stacklevel=2
        )
        pca_dims = width
    if isinstance(pca_dims, int) and pca_dims >= n_tokens:
        warnings.warn(f"pca_dims is {pca_dims}, but there are only {n_tokens} tokens: no PCA is done.", stacklevel=2)
        return table
    centred = table - table.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / max(n_tokens - 1, 1)
    variances, components = np.linalg.eigh(covariance)
    variances, components = np.clip(variances[::-1], 0, None), components[:, ::-1]
    if isinstance(pca_dims, float):
        shares = np.cumsum(variances) / max(float(variances.sum()), np.finfo(np.float64).tiny)
        keep = min(int(np.searchsorted(shares, pca_dims)) + 1, width)
    else:
        keep = pca_dims
    scores: ndarray = centred @ components[:, :keep].astype(np.float32)
    scores *= np.where(scores.max(axis=0) >= -scores.min(axis=0), np.float32(1), np.float32(-1))
    return scores
