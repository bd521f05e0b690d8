"""The encoder of T5 (Raffel et al., 2020), mT5 and UMT5: RMSNorm first, and positions as a bias of attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.nn.layers import Dense, Embedding, RMSNorm, activation, activation_of, attention
from m2v_distill.teacher.nn.relative import relative_bias


@dataclass(frozen=True, kw_only=True)
class T5Config:
    """Sizes and switches of one encoder.

    Attributes:
        vocab_size: Rows of the word embeddings.
        width: H, the size of hidden states.
        layers: Number of blocks.
        heads: Attention heads N.
        head_width: Width of a head; N of them need not make H.
        inner: Width of the feed-forward layer.
        act: transformers' name of the activation.
        gated: Whether the feed-forward layer has a gate (Shazeer, GLU Variants Improve Transformer, 2020).
        epsilon: RMSNorm's epsilon.
        buckets: Buckets of relative distance.
        max_distance: The distance from which on all share a bucket.
        tables: Tables of relative bias: one for all blocks, or one for each.
        pooler: It has none.
        max_length: There is none, as positions are relative.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    head_width: int
    inner: int
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
        """From a `T5Config` or `MT5Config` of transformers, as a dictionary.

        Raises:
            ModelFormatError: It is a decoder.
        """
        if raw.get("is_decoder"):
            raise ModelFormatError(f'expected an encoder; found "is_decoder": {raw["is_decoder"]!r}.')
        return cls(
            vocab_size=raw["vocab_size"],
            width=raw["d_model"],
            layers=raw["num_layers"],
            heads=raw["num_heads"],
            head_width=raw["d_kv"],
            inner=raw["d_ff"],
            act=activation_of(raw, "dense_act_fn"),
            gated=raw["is_gated_act"],
            epsilon=raw["layer_norm_epsilon"],
            buckets=raw["relative_attention_num_buckets"],
            max_distance=raw["relative_attention_max_distance"],
            pooler=pooler,
        )

    @classmethod
    def umt5(cls, raw: Mapping[str, Any], *, pooler: bool) -> T5Config:
        """From a `UMT5Config`."""
        return cls(**{**vars(cls.t5(raw, pooler=pooler)), "tables": raw["num_layers"]})


class T5Block(nnx.Module):
    """Self-attention and a feed-forward layer, each with RMSNorm before it and a residual around both."""

    def __init__(self, config: T5Config) -> None:
        heads = config.heads * config.head_width
        self.heads = config.heads
        self.act = activation(config.act)
        self.attention_norm = RMSNorm(config.width, config.epsilon)
        self.query = Dense(config.width, heads, bias=False)
        self.key = Dense(config.width, heads, bias=False)
        self.value = Dense(config.width, heads, bias=False)
        self.out = Dense(heads, config.width, bias=False)
        self.feed_norm = RMSNorm(config.width, config.epsilon)
        self.gate = Dense(config.width, config.inner, bias=False) if config.gated else None
        self.up = Dense(config.width, config.inner, bias=False)
        self.down = Dense(config.inner, config.width, bias=False)

    def __call__(
        self, hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"], bias: Float[Array, "1 N L L"]
    ) -> Float[Array, "B L H"]:
        """One layer; `bias` is added to the attention scores, which T5 does not scale."""
        batch, length, _ = hidden.shape
        normed = self.attention_norm(hidden)
        query, key, value = (
            project(normed).reshape(batch, length, self.heads, -1) for project in (self.query, self.key, self.value)
        )
        allowed = mask[:, None, None, :]
        attended = attention(query, key, value, allowed, bias=bias, scale=1.0, dtype=self.query.dtype)
        hidden = hidden + self.out(attended.reshape(batch, length, -1))
        normed = self.feed_norm(hidden)
        inner = self.act(self.up(normed)) if self.gate is None else self.act(self.gate(normed)) * self.up(normed)
        return hidden + self.down(inner)


class T5(nnx.Module):
    """The encoder of a `T5Config`."""

    def __init__(self, config: T5Config) -> None:
        self.config = config
        self.words = Embedding(config.vocab_size, config.width)
        self.relative = nnx.List(Embedding(config.buckets, config.heads) for _ in range(config.tables))
        self.blocks = nnx.List(T5Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.epsilon)

    def __call__(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> Float[Array, "B L H"]:
        """The last hidden states."""
        return self.hidden_states(ids, mask)[-1]

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The embeddings and the output of each block, the last one normalised."""
        scale = {"buckets": self.config.buckets, "max_distance": self.config.max_distance}
        biases = [relative_bias(table, ids.shape[1], **scale) for table in self.relative]
        states = [self.words(ids)]
        for place, block in enumerate(self.blocks):
            states.append(block(states[-1], mask, biases[place % len(biases)]))
        return [*states[:-1], self.norm(states[-1])]
