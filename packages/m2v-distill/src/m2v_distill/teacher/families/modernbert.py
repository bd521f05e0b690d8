"""ModernBERT (Warner et al., Smarter, Better, Faster, Longer, 2024): pre-norm, rotary, with local and global layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.nn.attention import FeedForward, SelfAttention, Turn
from m2v_distill.teacher.nn.layers import Embedding, LayerNorm, activation_of
from m2v_distill.teacher.nn.rotary import Rotary

GLOBAL, LOCAL = "full_attention", "sliding_attention"


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig:
    """Sizes and switches of one encoder.

    Attributes:
        vocab_size: Rows of the word embeddings.
        width: H, the size of hidden states.
        heads: Attention heads N.
        inner: Width of the feed-forward layers.
        act: transformers' name of the activation.
        epsilon: LayerNorm's epsilon.
        layer_types: Of each block, GLOBAL or LOCAL.
        window: How far a LOCAL layer sees, to either side.
        rotary: Each layer type in use, with its rotary settings.
        norm_bias: Whether LayerNorms have a bias; likewise the next two.
        attention_bias: Of the projections of attention.
        mlp_bias: Of the feed-forward layers.
        pooler: Never.
        max_length: Nothing limits it.
    """

    vocab_size: int
    width: int
    heads: int
    inner: int
    act: str
    epsilon: float
    layer_types: tuple[str, ...]
    window: int
    rotary: tuple[tuple[str, Rotary], ...]
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool
    pooler: bool
    max_length: None = None

    @classmethod
    def modernbert(cls, raw: Mapping[str, Any], *, pooler: bool) -> ModernBertConfig:
        """From a `ModernBertConfig` of transformers, as a dictionary; a checkpoint has no pooler.

        Raises:
            ModelFormatError: A layer type or rotary setting is unknown.
        """
        layer_types = tuple(raw["layer_types"])
        if unknown := sorted(set(layer_types) - {GLOBAL, LOCAL}):
            raise ModelFormatError(f'config.json: expected "layer_types" of {GLOBAL} and {LOCAL}; found {unknown}.')
        head_dim, positions = raw["hidden_size"] // raw["num_attention_heads"], raw["max_position_embeddings"]
        return cls(
            vocab_size=raw["vocab_size"],
            width=raw["hidden_size"],
            heads=raw["num_attention_heads"],
            inner=raw["intermediate_size"],
            act=activation_of(raw, "hidden_activation"),
            epsilon=raw["norm_eps"],
            layer_types=layer_types,
            window=raw["local_attention"] // 2,
            rotary=tuple(
                (kind, Rotary.of(raw["rope_parameters"][kind], head_dim=head_dim, positions=positions))
                for kind in sorted(set(layer_types))
            ),
            norm_bias=raw["norm_bias"],
            attention_bias=raw["attention_bias"],
            mlp_bias=raw["mlp_bias"],
            pooler=pooler,
        )


class ModernBertBlock(nnx.Module):
    """LayerNorm before attention and before the feed-forward layer; the first block's attention has none."""

    def __init__(self, config: ModernBertConfig, *, first: bool) -> None:
        self.attention_norm = None if first else _norm(config)
        self.attention = SelfAttention(
            width=config.width,
            heads=config.heads,
            head_dim=config.width // config.heads,
            bias=config.attention_bias,
        )
        self.output_norm = _norm(config)
        self.mlp = FeedForward(
            width=config.width,
            inner=config.inner,
            act=config.act,
            gated=True,
            up_bias=config.mlp_bias,
            down_bias=config.mlp_bias,
        )

    def __call__(
        self, hidden: Float[Array, "B L H"], allowed: Bool[Array, "B 1 #L L"], turn: Turn
    ) -> Float[Array, "B L H"]:
        """One layer."""
        normed = hidden if self.attention_norm is None else self.attention_norm(hidden)
        hidden = hidden + self.attention(normed, allowed, turn)
        out: Array = hidden + self.mlp(self.output_norm(hidden))
        return out


class ModernBert(nnx.Module):
    """The encoder of a `ModernBertConfig`."""

    def __init__(self, config: ModernBertConfig) -> None:
        self.config = config
        self.words = Embedding(config.vocab_size, config.width)
        self.norm = _norm(config)
        self.blocks = nnx.List(ModernBertBlock(config, first=place == 0) for place, _ in enumerate(config.layer_types))
        self.final_norm = _norm(config)

    def __call__(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> Float[Array, "B L H"]:
        """The last hidden states."""
        return self.hidden_states(ids, mask)[-1]

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The embeddings' output and that of each block, the last one normalised."""
        length = ids.shape[1]
        places = np.arange(length)
        near = np.abs(places[:, None] - places[None, :]) <= self.config.window
        seen = mask[:, None, None, :]
        allowed = {GLOBAL: seen, LOCAL: seen & jnp.asarray(near)}
        turns = {kind: rotary(length) for kind, rotary in self.config.rotary}
        states = [self.norm(self.words(ids))]
        for block, kind in zip(self.blocks, self.config.layer_types, strict=True):
            states.append(block(states[-1], allowed[kind], turns[kind]))
        return [*states[:-1], self.final_norm(states[-1])]


def _norm(config: ModernBertConfig) -> LayerNorm:
    return LayerNorm(config.width, config.epsilon, bias=config.norm_bias)
