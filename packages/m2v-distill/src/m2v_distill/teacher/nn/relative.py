"""Relative distances as buckets, and biases of attention that are looked up by bucket.

Buckets depend on lengths alone. They are computed in numpy and float32, step by step as PyTorch computes them, so that
a distance on the border between two falls on the same side.
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
    """T5's bucket of a distance: half of them for each direction, near ones exact, far ones by logarithm.

    Raffel et al., Exploring the Limits of Transfer Learning, 2020, section 2.1.

    Args:
        distance: The key's position less the query's.
        buckets: Number of buckets.
        max_distance: From here on all distances share the last bucket of their direction.
    """
    half = buckets // 2
    exact = half // 2
    far = np.abs(distance)
    share = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))
    share = share / np.float32(math.log(max_distance / exact)) * np.float32(half - exact)
    coarse = np.minimum(exact + share.astype(np.int64), half - 1)
    # Keys after the query have the upper half.
    bucket: ndarray = np.where(far < exact, far, coarse) + np.where(distance > 0, half, 0)
    return bucket


def relative_bias(
    table: Embedding, length: int, *, buckets: int = 32, max_distance: int = 128
) -> Float[Array, "1 N L L"]:
    """What a table [buckets, N] adds to the attention scores of a sequence."""
    places = np.arange(length)
    found = relative_buckets(places[None, :] - places[:, None], buckets=buckets, max_distance=max_distance)
    return table(jnp.asarray(found)).transpose(2, 0, 1)[None]


def signed_log_buckets(distance: Int[ndarray, "Q K"], *, buckets: int, max_distance: int) -> Int[ndarray, "Q K"]:
    """DeBERTa's bucket of a distance, with the distance's sign: near ones exact, far ones by logarithm.

    He et al., DeBERTaV3, 2021; the formula is that of the code which came with it.

    Args:
        distance: The query's position less the key's.
        buckets: B; results are in (-B, B) for distances below `max_distance`.
        max_distance: The end of the logarithmic scale.
    """
    middle = buckets // 2
    far = np.abs(distance)
    share = np.log(np.maximum(far, middle).astype(np.float32) / np.float32(middle))
    share = share / np.log(np.float32((max_distance - 1) / middle)) * np.float32(middle - 1)
    coarse = np.ceil(share).astype(np.int64) + middle
    bucket: ndarray = np.where(far <= middle, distance, coarse * np.sign(distance))
    return bucket
