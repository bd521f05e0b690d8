"""Buckets of relative distance, by hand; transformers' are compared live in tests/integration/test_parity.py."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import nnx

from m2v_distill.teacher.nn.layers import Embedding
from m2v_distill.teacher.nn.relative import relative_bias, relative_buckets, signed_log_buckets


def test_relative_buckets_by_hand() -> None:
    assert relative_buckets(np.array([[0, -1, -7, -8, -15, -16, -127, -500]])).tolist() == [[0, 1, 7, 8, 9, 10, 15, 15]]
    assert relative_buckets(np.array([[1, 8, 500]])).tolist() == [[17, 24, 31]]
    few = relative_buckets(np.array([[0, -1, -2, -4, -8, -99, 99]]), buckets=8, max_distance=8)
    assert few.tolist() == [[0, 1, 2, 3, 3, 3, 7]]


def test_the_bias_is_the_tables_row() -> None:
    table = Embedding(32, 2)
    table.embedding = nnx.Param(jnp.arange(64.0).reshape(32, 2))
    bias = np.asarray(relative_bias(table, 3))
    assert bias.shape == (1, 2, 3, 3)
    assert bias[0, 0].tolist() == [[0, 34, 36], [2, 0, 34], [4, 2, 0]]  # rows are queries; later keys start at row 16
    assert (bias[0, 1] == bias[0, 0] + 1).all()


def test_signed_log_buckets_by_hand() -> None:
    distance = np.array([[0, 1, 4, 5, 8, 16, 29, 30]])
    buckets = signed_log_buckets(distance, buckets=8, max_distance=30)
    # 4 + ceil(3 log(d / 4) / log(29 / 4)): the last bucket below B = 8 is for 29.
    assert buckets.tolist() == [[0, 1, 4, 5, 6, 7, 7, 8]]
    assert np.array_equal(signed_log_buckets(-distance, buckets=8, max_distance=30), -buckets)
