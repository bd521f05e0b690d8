"""Clusters of token vectors: a table with a row for each direction, shared by many tokens.

The only module that uses scikit-learn, which comes with `m2v-core[quantization]` and is imported when it is needed.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import InvalidInputError, MissingPackageError
from m2v_core.vectors import unit

_SEED = 42


def clustered(
    rows: NDArray[Any], n_clusters: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Directions that rows share, and for each row its direction and its length along it.

    The directions are those of the means of k-means clusters (Lloyd, Least Squares Quantization in PCM, 1982) of the
    rows at unit length, so that a row's scale does not decide whose neighbour it is. A row becomes its projection on
    the direction of its cluster, which is the nearest that this direction has to it; zeros stay zeros. The seed is
    fixed: the same rows give the same clusters, but for rows between two centres where another processor or number of
    threads rounds otherwise.

    Args:
        rows: [V, D] finite floats.
        n_clusters: R, from 1 to V - 1.

    Returns:
        directions [R, D] of unit length (or zero), weights [V] and mapping [V]. Row i is about
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
    # Random rows to start from: with thousands of clusters, k-means++ takes more than ten times as long for little.
    units, kmeans = unit(rows), KMeans(n_clusters, init="random", n_init=1, random_state=_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different rows than clusters
        kmeans.fit(units)
    # Asked again: where rows are equal, the centre that a label of the fit names may have moved away.
    directions, mapping = unit(kmeans.cluster_centers_), kmeans.predict(units).astype(np.int32, copy=False)
    return directions, np.einsum("vd,vd->v", rows, directions[mapping]), mapping


def check_clusters(value: object, n_rows: int | None = None) -> None:
    """Raise `InvalidInputError` unless `value` is `None`, or a number of clusters that makes sense for `n_rows`."""
    if value is None or (type(value) is int and value >= 1 and (n_rows is None or value < n_rows)):
        return
    fewer = "" if n_rows is None else f", and fewer than the {n_rows} tokens"
    raise InvalidInputError(
        f"vocabulary_quantization should be a whole number of clusters, 1 or more{fewer}; found {value!r}."
    )
