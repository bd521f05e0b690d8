"""Blocks that families of encoders share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from m2v_core.errors import ModelFormatError

#: transformers' names of activations.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": jax.nn.gelu,
    "gelu_pytorch_tanh": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
}


#: Stands for minus infinity in a softmax, finite so that a row of padding alone stays finite too.
MASKED = -3e38


def activation(name: str) -> Callable[[Array], Array]:
    """The function of a name in a teacher's config.

    Raises:
        ModelFormatError: It is not one that m2v-distill has.
    """
    if name not in ACTIVATIONS:
        raise ModelFormatError(f"expected an activation of {', '.join(ACTIVATIONS)}; found {name!r}.")
    return ACTIVATIONS[name]


def attention(
    query: Float[Array, "B L N K"],
    key: Float[Array, "B L N K"],
    value: Float[Array, "B L N K"],
    mask: Bool[Array, "B L"],
    bias: Float[Array, "N L L"] | None = None,
) -> Float[Array, "B L N K"]:
    """softmax(q k' / sqrt(K) + bias) v over the positions that `mask` allows.

    Vaswani et al., Attention Is All You Need, 2017, section 3.2.1; `bias` as in Shaw et al., 2018.
    """
    scores = jnp.einsum("bqnk,bmnk->bnqm", query, key) * query.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    scores = jnp.where(mask[:, None, None, :], scores, MASKED)
    return jnp.einsum("bnqm,bmnk->bqnk", jax.nn.softmax(scores, axis=-1), value)


def layer_norm(width: int, epsilon: float, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """LayerNorm with the two-pass variance, as PyTorch computes it."""
    return nnx.LayerNorm(width, epsilon=epsilon, use_fast_variance=False, rngs=rngs)


class PostNormBlock(nnx.Module):
    """Self-attention and a feed-forward layer, each with a residual and LayerNorm after it (Vaswani et al., 2017)."""

    def __init__(self, *, width: int, heads: int, inner: int, act: str, epsilon: float, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.act = activation(act)
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, rngs=rngs)
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.attention_norm = layer_norm(width, epsilon, rngs)
        self.up = nnx.Linear(width, inner, rngs=rngs)
        self.down = nnx.Linear(inner, width, rngs=rngs)
        self.output_norm = layer_norm(width, epsilon, rngs)

    def __call__(
        self,
        hidden: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        bias: Float[Array, "N L L"] | None = None,
    ) -> Float[Array, "B L H"]:
        """One layer; `bias` is added to the attention scores."""
        split = (*hidden.shape[:2], self.heads, -1)
        query, key, value = (project(hidden).reshape(split) for project in (self.query, self.key, self.value))
        attended = attention(query, key, value, mask, bias).reshape(hidden.shape)
        hidden = self.attention_norm(hidden + self.out(attended))
        out: Array = self.output_norm(hidden + self.down(self.act(self.up(hidden))))
        return out
