"""Buckets of relative distance, and attention biases that are looked up by bucket.

Buckets depend on the length alone. They are computed in NumPy and float32 with the same steps as in PyTorch, so that a
distance on the border between two buckets falls on the same side.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy import ndarray

from m2v_distill.teacher.nn.layers import Embedding


def relative_buckets(
    distance: Int[ndarray, "Q K"], *, buckets: int = 32, max_distance: int = 128
) -> Int[ndarray, "Q K"]:
    """T5's bucket of each distance: exact for small distances, logarithmic for large ones, half for each direction.

    Raffel et al., Exploring the Limits of Transfer Learning, 2020, section 2.1.

    Args:
        distance: The key's position minus the query's.
        buckets: Number of buckets.
        max_distance: Distance from which on all share the last bucket of their direction.
    """
    half = buckets // 2
    exact = half // 2
    far = np.abs(distance)
    ratio = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))
    ratio = ratio / np.float32(math.log(max_distance / exact)) * np.float32(half - exact)
    coarse = np.minimum(exact + ratio.astype(np.int64), half - 1)
    # Keys after the query have the upper half.
    bucket: ndarray = np.where(far < exact, far, coarse) + np.where(distance > 0, half, 0)
    return bucket


def relative_bias(
    table: Embedding, length: int, *, buckets: int = 32, max_distance: int = 128
) -> Float[Array, "1 N L L"]:
    """The bias of the attention scores of a sequence, from a table [buckets, N]."""
    positions = np.arange(length)
    found = relative_buckets(positions[None, :] - positions[:, None], buckets=buckets, max_distance=max_distance)
    return table(jnp.asarray(found)).transpose(2, 0, 1)[None]


def signed_log_buckets(distance: Int[ndarray, "Q K"], *, buckets: int, max_distance: int) -> Int[ndarray, "Q K"]:
    """DeBERTa's signed bucket of each distance: exact for small distances, logarithmic for large ones.

    He et al., DeBERTaV3, 2021; the formula is that of the code published with it.

    Args:
        distance: The query's position minus the key's.
        buckets: Number of buckets B; results are in (-B, B) for distances below `max_distance`.
        max_distance: End of the logarithmic scale.
    """
    middle = buckets // 2
    far = np.abs(distance)
    ratio = np.log(np.maximum(far, middle).astype(np.float32) / np.float32(middle))
    ratio = ratio / np.log(np.float32((max_distance - 1) / middle)) * np.float32(middle - 1)
    coarse = np.ceil(ratio).astype(np.int64) + middle
    bucket: ndarray = np.where(far <= middle, distance, coarse * np.sign(distance))
    return bucket
