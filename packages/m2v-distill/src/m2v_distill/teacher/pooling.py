"""From hidden states to sentence vectors: pooling, dense layers and norms (the modules after the encoder)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from m2v_core.checks import one_of
from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.nn.layers import Dense, LayerNorm

#: Activations by torch's class names, as sentence-transformers writes them, without the module.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Tanh": jnp.tanh,
    "ReLU": nnx.relu,
    "GELU": lambda x: nnx.gelu(x, approximate=False),
    "SiLU": nnx.silu,
    "Sigmoid": nnx.sigmoid,
}


def mean_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The mean over a row's real positions."""
    return jnp.einsum("blh,bl->bh", hidden, mask / jnp.maximum(mask.sum(axis=1, keepdims=True), 1))


def mean_sqrt_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The sum over real positions, divided by the square root of their number."""
    return jnp.einsum("blh,bl->bh", hidden, mask / jnp.sqrt(jnp.maximum(mask.sum(axis=1, keepdims=True), 1)))


def weighted_mean_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The mean with position i counted i + 1 times (Muennighoff, SGPT, 2022, section 4.1)."""
    weights = mask * jnp.arange(1, mask.shape[1] + 1)
    return jnp.einsum("blh,bl->bh", hidden, weights / jnp.maximum(weights.sum(axis=1, keepdims=True), 1))


def max_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The largest value of each dimension over real positions; zeros if there are none."""
    largest = jnp.where(mask[:, :, None], hidden, -jnp.inf).max(axis=1)
    return jnp.where(mask.any(axis=1, keepdims=True), largest, 0)


def first_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The first real position ([CLS] in BERT)."""
    return hidden[jnp.arange(len(hidden)), jnp.argmax(mask, axis=1)]


def last_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The last real position; zeros if there are none."""
    last = hidden[jnp.arange(len(hidden)), mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)]
    return jnp.where(mask.any(axis=1, keepdims=True), last, 0)


#: Poolings by name, other than "pooler", which is part of the encoder. A new one also needs its name in
#: `PoolingName` (`interface`) and, if sentence-transformers has it, in `modules_json`. One with weights is a
#: module, like `Projection`.
POOLINGS: dict[str, Callable[[Array, Array], Array]] = {
    "mean": mean_pooling,
    "first": first_pooling,
    "last": last_pooling,
    "max": max_pooling,
    "mean_sqrt_len_tokens": mean_sqrt_pooling,
    "weightedmean": weighted_mean_pooling,
}


class Projection(nnx.Module):
    """A dense layer with an activation and an optional residual (sentence-transformers' Dense)."""

    def __init__(self, in_size: int, out_size: int, *, bias: bool, act: str, residual: bool) -> None:
        self.act = ACTIVATIONS[act]
        self.linear = Dense(in_size, out_size, bias=bias)
        self.adds_input = residual
        self.residual = Dense(in_size, out_size, bias=False) if residual and in_size != out_size else None

    def __call__(self, x: Float[Array, "B I"]) -> Float[Array, "B O"]:
        """The projected vectors."""
        out = self.act(self.linear(x))
        if not self.adds_input:
            return out
        return out + (x if self.residual is None else self.residual(x))


class Normalize(nnx.Module):
    """Vectors of unit length; a zero vector stays zero."""

    def __call__(self, x: Float[Array, "B H"]) -> Float[Array, "B H"]:
        """The scaled vectors."""
        return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


Layer = Projection | Normalize | LayerNorm


class SentencePooling(nnx.Module):
    """All modules after the encoder: from hidden states to sentence vectors.

    Attributes:
        poolings: Names in `POOLINGS`, or "pooler"; their outputs are concatenated.
        layers: Layers after the pooling.
        skips_prompt: Whether pooling ignores the positions of a prompt.
        truncate_dim: Number of dimensions that are kept at the end; `None` for all.
    """

    def __init__(
        self,
        poolings: Sequence[str],
        layers: Sequence[Layer] = (),
        *,
        skips_prompt: bool = False,
        truncate_dim: int | None = None,
    ) -> None:
        for name in poolings:
            one_of("pooling", name, (*POOLINGS, "pooler"))
        self.poolings = tuple(poolings)
        self.layers = nnx.List(layers)
        self.skips_prompt = skips_prompt
        self.truncate_dim = truncate_dim

    def __call__(
        self,
        hidden: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        pooled: Float[Array, "B H"] | None,
        prompt_length: Int[Array, ""],
    ) -> Float[Array, "B D"]:
        """The sentence vectors.

        Args:
            hidden: The last hidden states.
            mask: Real positions.
            pooled: Output of the encoder's pooler, if it has one.
            prompt_length: Number of positions of the prompt at the start.
        """
        if self.skips_prompt:
            mask = mask & (jnp.arange(mask.shape[1]) >= prompt_length)
        by_name = {name: POOLINGS[name](hidden, mask) for name in self.poolings if name != "pooler"}
        if pooled is not None:
            by_name["pooler"] = pooled
        out = jnp.concatenate([by_name[name] for name in self.poolings], axis=1)
        for layer in self.layers:
            out = layer(out)
        return out[:, : self.truncate_dim]

    def output_size(self, hidden_size: int) -> int:
        """The size of the vectors, D, for a hidden size.

        Raises:
            ModelFormatError: A layer takes vectors of another size than it would get.
        """
        size = hidden_size * len(self.poolings)
        for layer in self.layers:
            if isinstance(layer, Normalize):
                continue
            shape = layer.linear.kernel.shape if isinstance(layer, Projection) else layer.scale.shape
            if shape[0] != size:
                raise ModelFormatError(
                    f"modules.json: {type(layer).__name__} takes vectors of {shape[0]} numbers, but the modules before "
                    f"it ({'+'.join(self.poolings)} of hidden states of {hidden_size}, ...) give {size}."
                )
            size = int(shape[-1])
        return size if self.truncate_dim is None else min(size, self.truncate_dim)

    def unnormalized(self) -> SentencePooling:
        """The modules without a final `Normalize`."""
        layers = list(self.layers)
        if layers and isinstance(layers[-1], Normalize):
            layers.pop()
        return SentencePooling(self.poolings, layers, skips_prompt=self.skips_prompt, truncate_dim=self.truncate_dim)
