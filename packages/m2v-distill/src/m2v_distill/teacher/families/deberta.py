"""DeBERTa, versions 2 and 3: BERT's blocks with disentangled attention.

He et al., DeBERTa: Decoding-enhanced BERT with Disentangled Attention, 2021, section 3.1: a score is the sum of content
to content, content to position (c2p) and position to content (p2c), with relative positions.
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
from m2v_distill.teacher.checkpoint import Rule, WeightTable, embed, linear, norm
from m2v_distill.teacher.families.fields import activation_of
from m2v_distill.teacher.nn.encoder import FlaxEncoder
from m2v_distill.teacher.nn.layers import (
    Dense,
    Embedding,
    LayerNorm,
    PostNormBlock,
    activation,
    attention,
)
from m2v_distill.teacher.nn.relative import signed_log_buckets


@dataclass(frozen=True, kw_only=True)
class DebertaConfig:
    """Sizes and switches of an encoder.

    Attributes:
        vocab_size: Rows of the token embedding table.
        hidden_size: Size of the hidden states, H.
        layers: Number of blocks.
        heads: Number of attention heads, N.
        intermediate_size: Size of the feed-forward layers.
        act: Activation of the feed-forward layers, by transformers' name.
        epsilon: Epsilon of LayerNorm.
        embedding_size: Size of the embeddings, which a matrix maps to H unless it is H.
        positions: Rows of the position embedding table; 0 for none.
        token_types: Rows of the token-type embedding table; 0 for none.
        parts: Terms added to the content scores: "c2p", "p2c" or both. Each reduces the scale of the scores.
        relative: Whether these terms are computed; if not, the scale still counts them, as in transformers.
        share_key: Whether positions use the projections of content; if not, they have their own.
        buckets: Buckets of relative distance in each direction; 0 for none.
        max_distance: Largest relative distance.
        relative_norm: Whether LayerNorm is applied to the table of relative positions.
        kernel: Kernel size of the convolution beside the first block; 0 for none.
        kernel_groups: Groups of channels of the convolution.
        kernel_act: Activation of the convolution.
        pooler: False: what transformers calls a pooler belongs to the classifiers.
    """

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    act: str
    epsilon: float
    embedding_size: int
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
        """The longest sequence that has positions; `None` where positions are relative."""
        return self.positions or None

    @property
    def span(self) -> int:
        """Half the rows of the table of relative positions."""
        return self.buckets or self.max_distance

    @classmethod
    def v2(cls, raw: Mapping[str, Any], *, pooler: bool) -> DebertaConfig:
        """Make the config from a `DebertaV2Config` of transformers, as a dictionary with all settings of the file.

        Raises:
            ModelFormatError: A kind of attention, norm or convolution is not computed.
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
            hidden_size=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=raw["num_attention_heads"],
            intermediate_size=raw["intermediate_size"],
            act=activation_of(raw, "hidden_act"),
            epsilon=raw["layer_norm_eps"],
            embedding_size=raw.get("embedding_size", raw["hidden_size"]),
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
    """BERT's block, with relative positions in the attention scores."""

    def __init__(self, config: DebertaConfig) -> None:
        super().__init__(
            hidden_size=config.hidden_size,
            heads=config.heads,
            intermediate_size=config.intermediate_size,
            act=config.act,
            epsilon=config.epsilon,
        )
        self.config = config
        if config.relative and not config.share_key:
            if "c2p" in config.parts:
                self.position_key = Dense(config.hidden_size, config.hidden_size)
            if "p2c" in config.parts:
                self.position_query = Dense(config.hidden_size, config.hidden_size)

    def __call__(  # type: ignore[override]  # positions are more than a bias
        self,
        hidden: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        relative: Float[Array, "R H"] | None,
        which: Int[ndarray, "L L"],
    ) -> Float[Array, "B L H"]:
        """The block's output.

        Args:
            hidden: The input.
            mask: Real positions.
            relative: Embeddings of the R relative positions that occur; `None` to leave them out.
            which: Index below R of the relative position of each query (row) and key (column).
        """
        query, key, value = (self.split(project(hidden)) for project in (self.query, self.key, self.value))
        scale = (query.shape[-1] * (1 + len(self.config.parts))) ** -0.5
        bias = None if relative is None else scale * self._position_scores(query, key, relative, jnp.asarray(which))
        allowed = mask[:, None, None, :]
        attended = attention(query, key, value, allowed, bias=bias, scale=scale, dtype=self.query.dtype)
        return self.finish(hidden, attended)

    def _position_scores(
        self,
        query: Float[Array, "B L N K"],
        key: Float[Array, "B L N K"],
        relative: Float[Array, "R H"],
        which: Int[Array, "L L"],
    ) -> Float[Array, "B N L L"]:
        share, parts = self.config.share_key, self.config.parts
        scores = []
        if "c2p" in parts:
            keys = self.split((self.key if share else self.position_key)(relative))
            scores.append(jnp.take_along_axis(self._products(query, keys), which[None, None], axis=-1))
        if "p2c" in parts:
            queries = self.split((self.query if share else self.position_query)(relative))
            by_key = jnp.take_along_axis(self._products(key, queries), which.T[None, None], axis=-1)
            scores.append(by_key.swapaxes(-1, -2))
        return sum(scores, start=jnp.zeros(()))

    def _products(self, content: Float[Array, "B L N K"], relative: Float[Array, "R N K"]) -> Float[Array, "B N L R"]:
        dtype = self.query.dtype
        return jnp.einsum(
            "blnk,rnk->bnlr", content.astype(dtype), relative.astype(dtype), preferred_element_type=jnp.float32
        )


class Convolution(nnx.Module):
    """A convolution along the sequence, added to the first block's output (He et al., DeBERTa 2)."""

    def __init__(self, config: DebertaConfig) -> None:
        self.groups = config.kernel_groups
        self.act = activation(config.kernel_act)
        self.kernel = nnx.Param(
            jnp.zeros((config.kernel, config.hidden_size // config.kernel_groups, config.hidden_size))
        )
        self.bias = nnx.Param(jnp.zeros(config.hidden_size))
        self.norm = LayerNorm(config.hidden_size, config.epsilon)

    def __call__(self, embedded: Float[Array, "B L H"], first: Float[Array, "B L H"]) -> Float[Array, "B L H"]:
        """The first block's output with the convolution of the embeddings, which are zero at padding, added."""
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


class Deberta(FlaxEncoder):
    """The encoder of a `DebertaConfig`."""

    def __init__(self, config: DebertaConfig) -> None:
        self.config = config
        self.token_embedding = Embedding(config.vocab_size, config.embedding_size)
        if config.positions:
            self.position_embedding = Embedding(config.positions, config.embedding_size)
        if config.token_types:
            self.token_type_embedding = Embedding(config.token_types, config.embedding_size)
        if config.embedding_size != config.hidden_size:
            self.project = Dense(config.embedding_size, config.hidden_size, bias=False)
        self.norm = LayerNorm(config.hidden_size, config.epsilon)
        self.blocks = nnx.List(DebertaBlock(config) for _ in range(config.layers))
        if config.relative:
            self.relative = Embedding(2 * config.span, config.hidden_size)
        if config.relative_norm:
            self.relative_norm = LayerNorm(config.hidden_size, config.epsilon)
        if config.kernel:
            self.convolution = Convolution(config)

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The output of the embedding layer and of each block; that of the first includes the convolution."""
        states = [self._embed(ids) * mask[..., None]]
        rows, which = relative_rows(self.config, ids.shape[1])
        relative = None
        if self.config.relative and self.config.parts:
            relative = self.relative(jnp.asarray(rows))
            relative = self.relative_norm(relative) if self.config.relative_norm else relative
        for block in self.blocks:
            states.append(block(states[-1], mask, relative, which))
            if self.config.kernel and len(states) == 2:
                states[1] = self.convolution(states[0], states[1])
        return states

    def _embed(self, ids: Int[Array, "B L"]) -> Float[Array, "B L H"]:
        hidden = self.token_embedding(ids)
        if self.config.positions:
            hidden = hidden + self.position_embedding(jnp.arange(ids.shape[1]))
        if self.config.token_types:
            hidden = hidden + self.token_type_embedding(jnp.zeros((), jnp.int32))
        if self.config.embedding_size != self.config.hidden_size:
            hidden = self.project(hidden)
        return self.norm(hidden)


def relative_rows(config: DebertaConfig, length: int) -> tuple[Int[ndarray, " R"], Int[ndarray, "L L"]]:
    """The rows of the relative table for a length, and the index of the row for each query and key."""
    positions = np.arange(length)
    distance = positions[:, None] - positions[None, :]
    if config.buckets:
        distance = signed_log_buckets(distance, buckets=config.buckets, max_distance=config.max_distance)
    rows, which = np.unique(np.clip(distance + config.span, 0, 2 * config.span - 1), return_inverse=True)
    return rows, which.reshape(length, length)


_BLOCK = "encoder.layer.{i}."

DEBERTA = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "token_embedding"),
        # Checkpoints may keep tensors that were needed for training alone.
        Rule("embeddings.position_embeddings.weight", "position_embedding.embedding", optional=True),
        *embed("embeddings.token_type_embeddings", "token_type_embedding"),
        *linear("embeddings.embed_proj", "project"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear(_BLOCK + "attention.self.query_proj", "blocks.{i}.query"),
        *linear(_BLOCK + "attention.self.key_proj", "blocks.{i}.key"),
        *linear(_BLOCK + "attention.self.value_proj", "blocks.{i}.value"),
        *linear(_BLOCK + "attention.self.pos_key_proj", "blocks.{i}.position_key"),
        *linear(_BLOCK + "attention.self.pos_query_proj", "blocks.{i}.position_query"),
        *linear(_BLOCK + "attention.output.dense", "blocks.{i}.out"),
        *norm(_BLOCK + "attention.output.LayerNorm", "blocks.{i}.attention_norm"),
        *linear(_BLOCK + "intermediate.dense", "blocks.{i}.up"),
        *linear(_BLOCK + "output.dense", "blocks.{i}.down"),
        *norm(_BLOCK + "output.LayerNorm", "blocks.{i}.output_norm"),
        *embed("encoder.rel_embeddings", "relative"),
        *norm("encoder.LayerNorm", "relative_norm"),
        # Transposed, [out, in / groups, size] is [size, in / groups, out].
        *linear("encoder.conv.conv", "convolution"),
        *norm("encoder.conv.LayerNorm", "convolution.norm"),
    ),
    prefixes=("", "deberta.", "model.", "0.auto_model."),
    ignored=(
        r"embeddings\.position_ids",
        r"(cls|lm_head|lm_predictions|mask_predictions|pooler|classifier|qa_outputs)\..*",
    ),
)
