"""Clusters of token vectors: a table with one row for each direction, which many tokens share.

This is the only module that uses scikit-learn, which `m2v-core[quantization]` installs; it is imported when needed.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError, MissingPackageError
from m2v_core.vectors import unit

_SEED = 42


def clustered(
    rows: NDArray[Any], n_clusters: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Cluster rows by direction, and project each row on the direction of its cluster.

    The rows are scaled to unit length and clustered by k-means (Lloyd, Least Squares Quantization in PCM, 1982), so
    that their lengths do not matter; the directions are those of the cluster centres. A row becomes its projection on
    its direction, the nearest vector of that direction; zeros stay zeros. The seed is fixed: the same rows give the
    same clusters, except for rows between two centres if another processor or number of threads rounds differently.

    Args:
        rows: [V, D] finite floats.
        n_clusters: R, from 1 to V - 1.

    Returns:
        directions [R, D] of unit length (or zero), weights [V] and mapping [V]: row i is approximately
        `directions[mapping[i]] * weights[i]`.

    Raises:
        InvalidInputError: `n_clusters` is out of range, or a row is not finite.
        MissingPackageError: scikit-learn is not installed.

    Example:
        >>> rows = np.array([[2, 0], [5, 0], [0, 1]])
        >>> directions, weights, mapping = clustered(rows, 2)
        >>> (directions[mapping] * weights[:, None]).tolist()
        [[2.0, 0.0], [5.0, 0.0], [0.0, 1.0]]
    """
    check_clusters(n_clusters, len(rows))
    rows = rows.astype(np.float32, copy=False)
    if not np.isfinite(rows).all():
        raise InvalidInputError("Clusters need a table of finite numbers; found infinite ones, or NaN.")
    try:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    except ModuleNotFoundError:
        raise MissingPackageError(
            "Clustering a vocabulary needs scikit-learn, which is not installed: pip install 'm2v-core[quantization]'"
        ) from None
    # Random initial centres: with thousands of clusters, k-means++ takes more than ten times as long for little gain.
    units, kmeans = unit(rows), KMeans(n_clusters, init="random", n_init=1, random_state=_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # if there are fewer different rows than clusters
        kmeans.fit(units)
    # Predicted again: for equal rows, the centre of the fit's label may have moved away.
    directions, mapping = unit(kmeans.cluster_centers_), kmeans.predict(units).astype(np.int32, copy=False)
    return directions, np.einsum("vd,vd->v", rows, directions[mapping]), mapping


def check_clusters(value: object, n_rows: int | None = None) -> None:
    """Raise `InvalidInputError` unless `value` is `None`, or a number of clusters for a table of `n_rows` rows."""
    fits = value is None or (type(value) is int and value >= 1 and (n_rows is None or value < n_rows))
    fewer = "" if n_rows is None else f", and fewer than the {n_rows} tokens"
    checks.expect(fits, "vocabulary_quantization", f"a whole number of clusters, 1 or more{fewer}", value)
