"""DeBERTa, versions 2 and 3: BERT's blocks with disentangled attention.

He et al., DeBERTa: Decoding-enhanced BERT with Disentangled Attention, 2021, section 3.1: a score is the sum of content
to content, content to position (c2p) and position to content (p2c), where positions are relative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int
from numpy import ndarray

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.nn.layers import (
    Dense,
    Embedding,
    LayerNorm,
    PostNormBlock,
    activation,
    activation_of,
    attention,
)
from m2v_distill.teacher.nn.relative import signed_log_buckets


@dataclass(frozen=True, kw_only=True)
class DebertaConfig:
    """Sizes and switches of one encoder.

    Attributes:
        vocab_size: Rows of the word embeddings.
        width: H, the size of hidden states.
        layers: Number of blocks.
        heads: Attention heads N.
        inner: Width of the feed-forward layer.
        act: transformers' name of the activation.
        epsilon: LayerNorm's epsilon.
        embedding: Width of the embeddings, which a matrix maps to H unless it is H.
        positions: Rows of the position embeddings, 0 for none.
        token_types: Rows of the token type embeddings, 0 for none.
        parts: What is added to the scores of content: "c2p", "p2c" or both. Each makes the scores' scale smaller.
        relative: Whether these parts are computed; if not, the scale still counts them, as in transformers.
        share_key: Whether positions go through the projections of content, or through their own.
        buckets: Buckets of relative distance in a direction, 0 for none.
        max_distance: The longest relative distance.
        relative_norm: Whether the table of relative positions goes through LayerNorm.
        kernel: Width of the convolution beside the first block, 0 for none.
        kernel_groups: Its groups of channels.
        kernel_act: Its activation.
        pooler: It has none; what transformers calls one belongs to its classifiers.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    inner: int
    act: str
    epsilon: float
    embedding: int
    positions: int
    token_types: int
    parts: tuple[str, ...]
    relative: bool
    share_key: bool
    buckets: int
    max_distance: int
    relative_norm: bool
    kernel: int
    kernel_groups: int
    kernel_act: str
    pooler: bool = False

    @property
    def max_length(self) -> int | None:
        """The longest sequence that has positions; relative ones have no end."""
        return self.positions or None

    @property
    def span(self) -> int:
        """Half the rows of the table of relative positions."""
        return self.buckets or self.max_distance

    @classmethod
    def v2(cls, raw: Mapping[str, Any], *, pooler: bool) -> DebertaConfig:
        """From a `DebertaV2Config` of transformers, as a dictionary; settings that it has no field for are in it too.

        Raises:
            ModelFormatError: It asks for parts of attention, a norm or a convolution that we do not compute.
        """
        parts = tuple(sorted(set(raw["pos_att_type"] or ())))
        norms = {name.strip() for name in raw.get("norm_rel_ebd", "none").lower().split("|")}
        kernel = max(raw.get("conv_kernel_size", 0), 0)
        expectations = {
            'pos_att_type to have "c2p" and "p2c" at most': set(parts) <= {"c2p", "p2c"},
            'norm_rel_ebd to be "layer_norm" or "none"': norms <= {"layer_norm", "none"},
            "conv_kernel_size to be odd": kernel == 0 or kernel % 2 == 1,
        }
        for expected, holds in expectations.items():
            if not holds:
                key = expected.split()[0]
                raise ModelFormatError(f"config.json: expected {expected}; found {raw[key]!r}.")
        longest = raw["max_relative_positions"]
        return cls(
            vocab_size=raw["vocab_size"],
            width=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=raw["num_attention_heads"],
            inner=raw["intermediate_size"],
            act=activation_of(raw, "hidden_act"),
            epsilon=raw["layer_norm_eps"],
            embedding=raw.get("embedding_size", raw["hidden_size"]),
            positions=raw["max_position_embeddings"] if raw["position_biased_input"] else 0,
            token_types=raw["type_vocab_size"],
            parts=parts,
            relative=raw["relative_attention"],
            share_key=raw.get("share_att_key", False),
            buckets=max(raw.get("position_buckets", -1), 0),
            max_distance=longest if longest > 0 else raw["max_position_embeddings"],
            relative_norm="layer_norm" in norms,
            kernel=kernel,
            kernel_groups=raw.get("conv_groups", 1),
            kernel_act=activation_of(raw, "conv_act", "tanh"),
            pooler=pooler,
        )


class DebertaBlock(PostNormBlock):
    """BERT's block, with scores that relative positions take part in."""

    def __init__(self, config: DebertaConfig) -> None:
        sizes = {"width": config.width, "heads": config.heads, "inner": config.inner}
        super().__init__(**sizes, act=config.act, epsilon=config.epsilon)
        self.config = config
        if config.relative and not config.share_key:
            if "c2p" in config.parts:
                self.place_key = Dense(config.width, config.width)
            if "p2c" in config.parts:
                self.place_query = Dense(config.width, config.width)

    def __call__(  # type: ignore[override]  # positions are more than a bias
        self,
        hidden: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        places: Float[Array, "R H"] | None,
        which: Int[ndarray, "L L"],
    ) -> Float[Array, "B L H"]:
        """One layer.

        Args:
            hidden: Its input.
            mask: Real positions.
            places: Embeddings of the R relative positions that occur, or `None` to leave them out.
            which: The relative position of each query (row) and key (column), a number below R.
        """
        query, key, value = (self.split(project(hidden)) for project in (self.query, self.key, self.value))
        scale = (query.shape[-1] * (1 + len(self.config.parts))) ** -0.5
        bias = None if places is None else scale * self._position_scores(query, key, places, jnp.asarray(which))
        allowed = mask[:, None, None, :]
        attended = attention(query, key, value, allowed, bias=bias, scale=scale, dtype=self.query.dtype)
        return self.finish(hidden, attended)

    def _position_scores(
        self,
        query: Float[Array, "B L N K"],
        key: Float[Array, "B L N K"],
        places: Float[Array, "R H"],
        which: Int[Array, "L L"],
    ) -> Float[Array, "B N L L"]:
        share, parts = self.config.share_key, self.config.parts
        scores = []
        if "c2p" in parts:
            keys = self.split((self.key if share else self.place_key)(places))
            scores.append(jnp.take_along_axis(self._products(query, keys), which[None, None], axis=-1))
        if "p2c" in parts:
            queries = self.split((self.query if share else self.place_query)(places))
            by_key = jnp.take_along_axis(self._products(key, queries), which.T[None, None], axis=-1)
            scores.append(by_key.swapaxes(-1, -2))
        return sum(scores, start=jnp.zeros(()))

    def _products(self, content: Float[Array, "B L N K"], places: Float[Array, "R N K"]) -> Float[Array, "B N L R"]:
        dtype = self.query.dtype
        return jnp.einsum(
            "blnk,rnk->bnlr", content.astype(dtype), places.astype(dtype), preferred_element_type=jnp.float32
        )


class Convolution(nnx.Module):
    """A convolution along the sequence, added to the first block's output: n-grams (He et al., DeBERTa 2)."""

    def __init__(self, config: DebertaConfig) -> None:
        self.groups = config.kernel_groups
        self.act = activation(config.kernel_act)
        self.kernel = nnx.Param(jnp.zeros((config.kernel, config.width // config.kernel_groups, config.width)))
        self.bias = nnx.Param(jnp.zeros(config.width))
        self.norm = LayerNorm(config.width, config.epsilon)

    def __call__(self, embedded: Float[Array, "B L H"], first: Float[Array, "B L H"]) -> Float[Array, "B L H"]:
        """From the embeddings, with zeros at padding, and the first block's output."""
        kernel = self.kernel[...]
        out = jax.lax.conv_general_dilated(
            embedded.astype(kernel.dtype),
            kernel,
            window_strides=(1,),
            padding="SAME",
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=self.groups,
            preferred_element_type=jnp.float32,
        )
        return self.norm(first + self.act(out + self.bias[...]))


class Deberta(nnx.Module):
    """The encoder of a `DebertaConfig`."""

    def __init__(self, config: DebertaConfig) -> None:
        self.config = config
        self.words = Embedding(config.vocab_size, config.embedding)
        if config.positions:
            self.places = Embedding(config.positions, config.embedding)
        if config.token_types:
            self.types = Embedding(config.token_types, config.embedding)
        if config.embedding != config.width:
            self.project = Dense(config.embedding, config.width, bias=False)
        self.norm = LayerNorm(config.width, config.epsilon)
        self.blocks = nnx.List(DebertaBlock(config) for _ in range(config.layers))
        if config.relative:
            self.relative = Embedding(2 * config.span, config.width)
        if config.relative_norm:
            self.relative_norm = LayerNorm(config.width, config.epsilon)
        if config.kernel:
            self.convolution = Convolution(config)

    def __call__(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> Float[Array, "B L H"]:
        """The last hidden states."""
        return self.hidden_states(ids, mask)[-1]

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The embeddings' output and that of each block; the first one's has the convolution in it."""
        states = [self._embed(ids) * mask[..., None]]
        rows, which = relative_rows(self.config, ids.shape[1])
        places = None
        if self.config.relative and self.config.parts:
            places = self.relative(jnp.asarray(rows))
            places = self.relative_norm(places) if self.config.relative_norm else places
        for block in self.blocks:
            states.append(block(states[-1], mask, places, which))
            if self.config.kernel and len(states) == 2:
                states[1] = self.convolution(states[0], states[1])
        return states

    def _embed(self, ids: Int[Array, "B L"]) -> Float[Array, "B L H"]:
        hidden = self.words(ids)
        if self.config.positions:
            hidden = hidden + self.places(jnp.arange(ids.shape[1]))
        if self.config.token_types:
            hidden = hidden + self.types(jnp.zeros((), jnp.int32))
        if self.config.embedding != self.config.width:
            hidden = self.project(hidden)
        return self.norm(hidden)


def relative_rows(config: DebertaConfig, length: int) -> tuple[Int[ndarray, " R"], Int[ndarray, "L L"]]:
    """The rows of the relative table that a length needs, and which of them each query (row) has for each key."""
    places = np.arange(length)
    distance = places[:, None] - places[None, :]
    if config.buckets:
        distance = signed_log_buckets(distance, buckets=config.buckets, max_distance=config.max_distance)
    rows, which = np.unique(np.clip(distance + config.span, 0, 2 * config.span - 1), return_inverse=True)
    return rows, which.reshape(length, length)
