"""Layers that several families share.

Weights come from a checkpoint, so initial weights are zeros that only give shapes. The dtype of a kernel is the
precision of the inputs of its matrix product. Sums and everything else are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int


def gelu(x: Array) -> Array:
    """GELU (Hendrycks and Gimpel, 2016) by erf, as in PyTorch; JAX's own uses erfc and is slower."""
    return 0.5 * x * (1 + jax.lax.erf(x * np.float32(0.5**0.5)))


#: Activations by transformers' names.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_python": gelu,
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), jax.nn.gelu),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}

#: Score of a masked position: finite, so that a row of nothing but padding stays finite too.
MASKED = -3e38

#: Length up to which attention is cheaper as elementwise products and sums than as many tiny matrix products.
SHORT = 16


def activation(name: str) -> Callable[[Array], Array]:
    """The activation of a name in `ACTIVATIONS`."""
    return ACTIVATIONS[name]


class Dense(nnx.Module):
    """A dense layer, x W + b, with W of shape [in, out]."""

    def __init__(self, in_size: int, out_size: int, *, bias: bool = True) -> None:
        self.kernel = nnx.Param(jnp.zeros((in_size, out_size)))
        self.bias = nnx.Param(jnp.zeros(out_size)) if bias else None

    @property
    def dtype(self) -> Any:
        """The dtype of the inputs of the matrix product."""
        return self.kernel.dtype

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows O"]:
        """The product, in float32."""
        contract = (((x.ndim - 1,), (0,)), ((), ()))
        kernel = self.kernel[...]
        out = jax.lax.dot_general(x.astype(kernel.dtype), kernel, contract, preferred_element_type=jnp.float32)
        return out if self.bias is None else out + self.bias[...]


class Embedding(nnx.Module):
    """An embedding table; rows come out as float32, whatever dtype the table has."""

    def __init__(self, rows: int, size: int) -> None:
        self.embedding = nnx.Param(jnp.zeros((rows, size)))

    def __call__(self, ids: Int[Array, "*shape"]) -> Float[Array, "*shape H"]:
        """The embeddings of some ids."""
        return jnp.take(self.embedding[...], ids, axis=0, mode="clip").astype(jnp.float32)


class LayerNorm(nnx.Module):
    """LayerNorm over the last axis, with the two-pass variance, as PyTorch computes it (Ba et al., 2016)."""

    def __init__(self, size: int, epsilon: float, *, bias: bool = True) -> None:
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.zeros(size))
        self.bias = nnx.Param(jnp.zeros(size)) if bias else None

    def __call__(self, x: Float[Array, "*rows H"]) -> Float[Array, "*rows H"]:
        """The normalised rows."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        out = centred * jax.lax.rsqrt(variance + self.epsilon) * self.scale[...]
        return out if self.bias is None else out + self.bias[...]


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x^2) + epsilon) * (offset + scale) (Zhang and Sennrich, 2019); Gemma's offset is 1."""

    def __init__(self, size: int, epsilon: float, *, offset: float = 0.0) -> None:
        self.epsilon, self.offset = epsilon, offset
        self.scale = nnx.Param(jnp.zeros(size))

    def __call__(self, x: Float[Array, "*rows H"]) -> Float[Array, "*rows H"]:
        """The normalised rows."""
        mean_square = jnp.square(x).mean(axis=-1, keepdims=True)
        return x * jax.lax.rsqrt(mean_square + self.epsilon) * (self.offset + self.scale[...])


def attention(
    query: Float[Array, "B Q N K"],
    key: Float[Array, "B M G K"],
    value: Float[Array, "B M G K"],
    allowed: Bool[Array, "#B 1 #Q M"],
    *,
    bias: Float[Array, "#B N Q M"] | None = None,
    scale: float | None = None,
    dtype: Any = jnp.float32,
) -> Float[Array, "B Q N K"]:
    """Attention, softmax(scale q k' + bias) v over the allowed positions.

    Vaswani et al., Attention Is All You Need, 2017, section 3.2.1. There may be fewer heads of keys and values than of
    queries, as in Ainslie et al., GQA, 2023: N / G consecutive query heads share one.

    Args:
        query: Queries of N heads of size K.
        key: Keys of G heads; G divides N.
        value: Values of G heads.
        allowed: The keys that each query may see, the same for all heads.
        bias: Added to the scores.
        scale: Factor of the scores. Default: 1 / sqrt(K).
        dtype: Dtype of the inputs of both matrix products, as that of a kernel (`Dense.dtype`).
    """
    group = query.shape[2] // key.shape[2]
    if group > 1:
        key, value = (jnp.repeat(x, group, axis=2) for x in (key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    length = key.shape[1]
    if length <= SHORT:
        # The barrier keeps XLA from merging the projections into these sums, which jaxlib 0.10.2 does wrongly on a CPU
        # for one text of 14 to 16 tokens (test_forward.py has the case).
        query, key, value = jax.lax.optimization_barrier((query, key, value))
        scores = _sum_by_halves(query[:, :, None] * key[:, None]).transpose(0, 3, 1, 2)
    else:
        query, key = query.astype(dtype), key.astype(dtype)
        scores = jnp.einsum("bqnk,bmnk->bnqm", query, key, preferred_element_type=jnp.float32)
    scores = scores * scale
    if bias is not None:
        scores = scores + bias
    probabilities = jax.nn.softmax(jnp.where(allowed, scores, MASKED), axis=-1)
    if length <= SHORT:
        return (probabilities.transpose(0, 2, 3, 1)[..., None] * value[:, None]).sum(axis=2)
    probabilities, value = probabilities.astype(dtype), value.astype(dtype)
    return jnp.einsum("bnqm,bmnk->bqnk", probabilities, value, preferred_element_type=jnp.float32)


def _sum_by_halves(x: Float[Array, "*rows K"]) -> Float[Array, "*rows"]:
    """The sum over the last axis, by adding halves while the size is even, which a CPU vectorises."""
    while x.shape[-1] % 2 == 0:
        half = x.shape[-1] // 2
        x = x[..., :half] + x[..., half:]
    return x.sum(axis=-1)


class PostNormBlock(nnx.Module):
    """Self-attention and a feed-forward layer, each with a residual and LayerNorm after it (Vaswani et al., 2017)."""

    def __init__(self, *, hidden_size: int, heads: int, intermediate_size: int, act: str, epsilon: float) -> None:
        self.heads = heads
        self.act = activation(act)
        self.query = Dense(hidden_size, hidden_size)
        self.key = Dense(hidden_size, hidden_size)
        self.value = Dense(hidden_size, hidden_size)
        self.out = Dense(hidden_size, hidden_size)
        self.attention_norm = LayerNorm(hidden_size, epsilon)
        self.up = Dense(hidden_size, intermediate_size)
        self.down = Dense(intermediate_size, hidden_size)
        self.output_norm = LayerNorm(hidden_size, epsilon)

    def __call__(
        self,
        hidden: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        bias: Float[Array, "1 N L L"] | None = None,
    ) -> Float[Array, "B L H"]:
        """The block's output; `bias` is added to the attention scores."""
        query, key, value = (self.split(project(hidden)) for project in (self.query, self.key, self.value))
        attended = attention(query, key, value, mask[:, None, None, :], bias=bias, dtype=self.query.dtype)
        return self.finish(hidden, attended)

    def split(self, rows: Float[Array, "*rows H"]) -> Float[Array, "*rows N K"]:
        """Rows split into N heads."""
        return rows.reshape(*rows.shape[:-1], self.heads, -1)

    def finish(self, hidden: Float[Array, "B L H"], attended: Float[Array, "B L N K"]) -> Float[Array, "B L H"]:
        """Everything after attention: projection, residuals, norms and the feed-forward layer."""
        hidden = self.attention_norm(hidden + self.out(attended.reshape(hidden.shape)))
        out: Array = self.output_norm(hidden + self.down(self.act(self.up(hidden))))
        return out
