"""Each pooling against plain numpy, row by row; layers by their definitions."""

from __future__ import annotations

import math
from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import InvalidInputError, ModelFormatError
from m2v_distill.teacher.interface import PoolingName
from m2v_distill.teacher.nn.layers import LayerNorm
from m2v_distill.teacher.pooling import ACTIVATIONS, POOLINGS, Normalize, Projection, SentencePooling

WIDTH = 5

#: The real positions of one row, and their numbers, to a vector.
PLAIN = {
    "mean": lambda rows, places: rows.mean(axis=0),
    "first": lambda rows, places: rows[0],
    "last": lambda rows, places: rows[-1],
    "max": lambda rows, places: rows.max(axis=0),
    "mean_sqrt_len_tokens": lambda rows, places: rows.sum(axis=0) / len(rows) ** 0.5,
    "weightedmean": lambda rows, places: np.average(rows, axis=0, weights=places + 1),
}


def pool(head: SentencePooling, hidden: np.ndarray, mask: np.ndarray, prompt: int = 0) -> np.ndarray:
    pooled = jnp.full((len(hidden), WIDTH), 7.0)
    return np.asarray(head(jnp.asarray(hidden), jnp.asarray(mask), pooled, jnp.int32(prompt)))


def test_all_poolings_have_an_oracle() -> None:
    assert set(PLAIN) == set(POOLINGS)


@given(
    name=st.sampled_from(sorted(POOLINGS)),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    prompt=st.integers(0, 8),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_poolings(name: str, lengths: list[int], prompt: int, seed: int) -> None:
    hidden = np.random.default_rng(seed).normal(size=(len(lengths), 9, WIDTH)).astype(np.float32)
    mask = np.arange(9) < np.array(lengths)[:, None]
    hidden[~mask] = 1e6  # padding never counts
    everything, rest = (
        pool(SentencePooling([name]), hidden, mask),
        pool(SentencePooling([name], skips_prompt=True), hidden, mask, prompt),
    )
    for row, length in enumerate(lengths):
        places = np.arange(length)
        np.testing.assert_allclose(everything[row], PLAIN[name](hidden[row, places], places), atol=1e-5)
        kept = places[prompt:]
        if len(kept):
            np.testing.assert_allclose(rest[row], PLAIN[name](hidden[row, kept], kept), atol=1e-5)
        elif name != "first":
            np.testing.assert_array_equal(rest[row], 0)


def test_several_stand_side_by_side() -> None:
    hidden = np.random.default_rng(0).normal(size=(2, 3, WIDTH)).astype(np.float32)
    mask = np.ones((2, 3), bool)
    both = pool(SentencePooling(["last", "pooler", "mean"]), hidden, mask)
    np.testing.assert_allclose(
        both, np.hstack([hidden[:, -1], np.full((2, WIDTH), 7.0), hidden.mean(axis=1)]), atol=1e-6
    )
    assert SentencePooling(["last", "pooler", "mean"]).output_size(WIDTH) == 15


def test_an_unknown_pooling() -> None:
    with pytest.raises(InvalidInputError, match=r"mean, first, last.*found 'cls'"):
        SentencePooling(["cls"])


def projection(inner: int, outer: int, *, act: str = "Identity", residual: bool = False) -> Projection:
    layer = Projection(inner, outer, bias=True, act=act, residual=residual)
    rng = np.random.default_rng(inner)
    layer.linear.kernel[...] = jnp.asarray(rng.normal(size=(inner, outer)), jnp.float32)
    layer.linear.bias[...] = jnp.asarray(rng.normal(size=outer), jnp.float32)
    if layer.residual is not None:
        layer.residual.kernel[...] = jnp.asarray(rng.normal(size=(inner, outer)), jnp.float32)
    return layer


ORACLES = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / 2**0.5)),
    "SiLU": lambda x: x / (1 + np.exp(-x)),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("act", sorted(ACTIVATIONS))
@pytest.mark.parametrize("outer", [WIDTH, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_dense(act: str, outer: int, residual: bool) -> None:
    layer = projection(WIDTH, outer, act=act, residual=residual)
    x = np.random.default_rng(0).normal(size=(4, WIDTH)).astype(np.float32)
    expected = ORACLES[act](x @ np.asarray(layer.linear.kernel[...]) + np.asarray(layer.linear.bias[...]))
    if residual:
        expected = expected + (x if outer == WIDTH else x @ np.asarray(layer.residual.kernel[...]))
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=1e-5)


def test_normalize_leaves_zeros() -> None:
    np.testing.assert_allclose(Normalize()(jnp.array([[3.0, 4.0], [0, 0]])), [[0.6, 0.8], [0, 0]], atol=1e-6)


def test_a_closing_normalize_can_be_left_out() -> None:
    hidden = np.random.default_rng(0).normal(size=(2, 3, WIDTH)).astype(np.float32)
    mask = np.ones((2, 3), bool)
    head = SentencePooling(["mean"], [Normalize(), projection(WIDTH, 3), Normalize()], truncate_dim=2)
    out = pool(head.unnormalized(), hidden, mask)
    np.testing.assert_allclose(
        out, pool(SentencePooling(["mean"], [Normalize(), projection(WIDTH, 3)]), hidden, mask)[:, :2]
    )
    whole = pool(SentencePooling(["mean"], list(head.layers)), hidden, mask)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    assert (head.output_size(WIDTH), pool(head, hidden, mask).shape) == (2, (2, 2))
    assert pool(SentencePooling(["mean"]).unnormalized(), hidden, mask).shape == (2, WIDTH)


@pytest.mark.parametrize("layer", [projection(WIDTH, 3), LayerNorm(WIDTH, 1e-5)])
def test_layers_that_do_not_fit(layer: Projection | LayerNorm) -> None:
    with pytest.raises(ModelFormatError, match=r"takes vectors of 5 .* give 10"):
        SentencePooling(["mean", "max"], [Normalize(), layer]).output_size(WIDTH)
    with pytest.raises(ModelFormatError, match=r"takes vectors of 5 .* give 4"):
        SentencePooling(["mean"], [projection(WIDTH, 4), layer]).output_size(WIDTH)


def test_every_pooling_has_a_name_as_an_option() -> None:
    assert {*POOLINGS, "pooler"} == set(get_args(PoolingName))
