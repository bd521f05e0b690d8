"""The encoder of T5 (Raffel et al., 2020), mT5 and UMT5: RMSNorm first, and positions as a bias of attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.checkpoint import WeightTable, embed, linear, norm
from m2v_distill.teacher.families.fields import activation_of
from m2v_distill.teacher.nn.encoder import FlaxEncoder
from m2v_distill.teacher.nn.layers import Dense, Embedding, RMSNorm, activation, attention
from m2v_distill.teacher.nn.relative import relative_bias


@dataclass(frozen=True, kw_only=True)
class T5Config:
    """Sizes and switches of an encoder.

    Attributes:
        vocab_size: Rows of the token embedding table.
        hidden_size: Size of the hidden states, H.
        layers: Number of blocks.
        heads: Number of attention heads, N.
        head_dim: Size of a head; N times that need not be H.
        intermediate_size: Size of the feed-forward layers.
        act: Activation of the feed-forward layers, by transformers' name.
        gated: Whether the feed-forward layer has a gate (Shazeer, GLU Variants Improve Transformer, 2020).
        epsilon: Epsilon of RMSNorm.
        buckets: Number of buckets of relative distance.
        max_distance: Distance from which on all share a bucket.
        tables: Number of tables of relative bias: one for all blocks, or one for each.
        pooler: False: there is no pooler.
        max_length: `None`: positions are relative, so there is no limit.
    """

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    head_dim: int
    intermediate_size: int
    act: str
    gated: bool
    epsilon: float
    buckets: int
    max_distance: int
    tables: int = 1
    pooler: bool = False
    max_length: None = None

    @classmethod
    def t5(cls, raw: Mapping[str, Any], *, pooler: bool) -> T5Config:
        """Make the config from a `T5Config` or `MT5Config` of transformers, given as a dictionary.

        Raises:
            ModelFormatError: The model is a decoder.
        """
        if raw.get("is_decoder"):
            raise ModelFormatError(f'expected an encoder; found "is_decoder": {raw["is_decoder"]!r}.')
        return cls(
            vocab_size=raw["vocab_size"],
            hidden_size=raw["d_model"],
            layers=raw["num_layers"],
            heads=raw["num_heads"],
            head_dim=raw["d_kv"],
            intermediate_size=raw["d_ff"],
            act=activation_of(raw, "dense_act_fn"),
            gated=raw["is_gated_act"],
            epsilon=raw["layer_norm_epsilon"],
            buckets=raw["relative_attention_num_buckets"],
            max_distance=raw["relative_attention_max_distance"],
            pooler=pooler,
        )

    @classmethod
    def umt5(cls, raw: Mapping[str, Any], *, pooler: bool) -> T5Config:
        """Make the config from a `UMT5Config`."""
        return cls(**{**vars(cls.t5(raw, pooler=pooler)), "tables": raw["num_layers"]})


class T5Block(nnx.Module):
    """Self-attention and a feed-forward layer, each with RMSNorm before it and a residual around both."""

    def __init__(self, config: T5Config) -> None:
        projected = config.heads * config.head_dim
        self.heads = config.heads
        self.act = activation(config.act)
        self.attention_norm = RMSNorm(config.hidden_size, config.epsilon)
        self.query = Dense(config.hidden_size, projected, bias=False)
        self.key = Dense(config.hidden_size, projected, bias=False)
        self.value = Dense(config.hidden_size, projected, bias=False)
        self.out = Dense(projected, config.hidden_size, bias=False)
        self.feed_norm = RMSNorm(config.hidden_size, config.epsilon)
        self.gate = Dense(config.hidden_size, config.intermediate_size, bias=False) if config.gated else None
        self.up = Dense(config.hidden_size, config.intermediate_size, bias=False)
        self.down = Dense(config.intermediate_size, config.hidden_size, bias=False)

    def __call__(
        self, hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"], bias: Float[Array, "1 N L L"]
    ) -> Float[Array, "B L H"]:
        """The block's output; `bias` is added to the attention scores, which T5 does not scale."""
        batch, length, _ = hidden.shape
        normed = self.attention_norm(hidden)
        query, key, value = (
            project(normed).reshape(batch, length, self.heads, -1) for project in (self.query, self.key, self.value)
        )
        allowed = mask[:, None, None, :]
        attended = attention(query, key, value, allowed, bias=bias, scale=1.0, dtype=self.query.dtype)
        hidden = hidden + self.out(attended.reshape(batch, length, -1))
        normed = self.feed_norm(hidden)
        activations = self.act(self.up(normed)) if self.gate is None else self.act(self.gate(normed)) * self.up(normed)
        return hidden + self.down(activations)


class T5(FlaxEncoder):
    """The encoder of a `T5Config`."""

    def __init__(self, config: T5Config) -> None:
        self.config = config
        self.token_embedding = Embedding(config.vocab_size, config.hidden_size)
        self.relative = nnx.List(Embedding(config.buckets, config.heads) for _ in range(config.tables))
        self.blocks = nnx.List(T5Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden_size, config.epsilon)

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The embeddings and the output of each block, the last one after the final norm."""
        scale = {"buckets": self.config.buckets, "max_distance": self.config.max_distance}
        biases = [relative_bias(table, ids.shape[1], **scale) for table in self.relative]
        states = [self.token_embedding(ids)]
        for index, block in enumerate(self.blocks):
            states.append(block(states[-1], mask, biases[index % len(biases)]))
        return [*states[:-1], self.norm(states[-1])]


_BLOCK = "encoder.block.{i}."

T5_WEIGHTS = WeightTable(
    rules=(
        *norm("encoder.final_layer_norm", "norm"),
        # One table with two names; a checkpoint may have either.
        *embed("encoder.embed_tokens", "token_embedding"),
        *embed("shared", "token_embedding"),
        *embed(_BLOCK + "layer.0.SelfAttention.relative_attention_bias", "relative.{i}"),
        *norm(_BLOCK + "layer.0.layer_norm", "blocks.{i}.attention_norm"),
        *linear(_BLOCK + "layer.0.SelfAttention.q", "blocks.{i}.query"),
        *linear(_BLOCK + "layer.0.SelfAttention.k", "blocks.{i}.key"),
        *linear(_BLOCK + "layer.0.SelfAttention.v", "blocks.{i}.value"),
        *linear(_BLOCK + "layer.0.SelfAttention.o", "blocks.{i}.out"),
        *norm(_BLOCK + "layer.1.layer_norm", "blocks.{i}.feed_norm"),
        *linear(_BLOCK + "layer.1.DenseReluDense.wi", "blocks.{i}.up"),
        *linear(_BLOCK + "layer.1.DenseReluDense.wi_0", "blocks.{i}.gate"),
        *linear(_BLOCK + "layer.1.DenseReluDense.wi_1", "blocks.{i}.up"),
        *linear(_BLOCK + "layer.1.DenseReluDense.wo", "blocks.{i}.down"),
    ),
    prefixes=("", "transformer.", "model.", "0.auto_model."),
    ignored=(r"(decoder|lm_head|classifier|classification_head|qa_outputs)\..*",),
)
