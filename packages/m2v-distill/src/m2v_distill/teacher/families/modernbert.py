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
from m2v_distill.teacher.checkpoint import WeightTable, embed, linear, norm
from m2v_distill.teacher.families.fields import activation_of
from m2v_distill.teacher.nn.attention import FeedForward, RotaryTables, SelfAttention
from m2v_distill.teacher.nn.encoder import FlaxEncoder
from m2v_distill.teacher.nn.layers import Embedding, LayerNorm
from m2v_distill.teacher.nn.rotary import Rotary

GLOBAL, LOCAL = "full_attention", "sliding_attention"


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig:
    """Sizes and switches of an encoder.

    Attributes:
        vocab_size: Rows of the token embedding table.
        hidden_size: Size of the hidden states, H.
        heads: Number of attention heads, N.
        intermediate_size: Size of the feed-forward layers.
        act: Activation of the feed-forward layers, by transformers' name.
        epsilon: Epsilon of LayerNorm.
        layer_types: Attention of each block, GLOBAL or LOCAL.
        window: Largest distance of a position that a LOCAL layer sees.
        rotary: Rotary settings of each layer type in use.
        norm_bias: Whether LayerNorms have a bias.
        attention_bias: Whether the projections of attention have biases.
        mlp_bias: Whether the feed-forward layers have biases.
        pooler: False: there is no pooler.
        max_length: `None`: positions are computed, so there is no limit.
    """

    vocab_size: int
    hidden_size: int
    heads: int
    intermediate_size: int
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
        """Make the config from a `ModernBertConfig` of transformers, given as a dictionary.

        Raises:
            ModelFormatError: A layer type or rotary setting is unknown.
        """
        layer_types = tuple(raw["layer_types"])
        if unknown := sorted(set(layer_types) - {GLOBAL, LOCAL}):
            raise ModelFormatError(f'config.json: expected "layer_types" of {GLOBAL} and {LOCAL}; found {unknown}.')
        head_dim, positions = raw["hidden_size"] // raw["num_attention_heads"], raw["max_position_embeddings"]
        return cls(
            vocab_size=raw["vocab_size"],
            hidden_size=raw["hidden_size"],
            heads=raw["num_attention_heads"],
            intermediate_size=raw["intermediate_size"],
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
            hidden_size=config.hidden_size,
            heads=config.heads,
            head_dim=config.hidden_size // config.heads,
            bias=config.attention_bias,
        )
        self.output_norm = _norm(config)
        self.mlp = FeedForward(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            act=config.act,
            gated=True,
            up_bias=config.mlp_bias,
            down_bias=config.mlp_bias,
        )

    def __call__(
        self, hidden: Float[Array, "B L H"], allowed: Bool[Array, "B 1 #L L"], cos_sin: RotaryTables
    ) -> Float[Array, "B L H"]:
        """The block's output."""
        normed = hidden if self.attention_norm is None else self.attention_norm(hidden)
        hidden = hidden + self.attention(normed, allowed, cos_sin)
        out: Array = hidden + self.mlp(self.output_norm(hidden))
        return out


class ModernBert(FlaxEncoder):
    """The encoder of a `ModernBertConfig`."""

    def __init__(self, config: ModernBertConfig) -> None:
        self.config = config
        self.token_embedding = Embedding(config.vocab_size, config.hidden_size)
        self.norm = _norm(config)
        self.blocks = nnx.List(ModernBertBlock(config, first=index == 0) for index, _ in enumerate(config.layer_types))
        self.final_norm = _norm(config)

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The output of the embedding layer and of each block, the last one after the final norm."""
        length = ids.shape[1]
        positions = np.arange(length)
        near = np.abs(positions[:, None] - positions[None, :]) <= self.config.window
        real = mask[:, None, None, :]
        allowed = {GLOBAL: real, LOCAL: real & jnp.asarray(near)}
        tables = {kind: rotary(length) for kind, rotary in self.config.rotary}
        states = [self.norm(self.token_embedding(ids))]
        for block, kind in zip(self.blocks, self.config.layer_types, strict=True):
            states.append(block(states[-1], allowed[kind], tables[kind]))
        return [*states[:-1], self.final_norm(states[-1])]


def _norm(config: ModernBertConfig) -> LayerNorm:
    return LayerNorm(config.hidden_size, config.epsilon, bias=config.norm_bias)


MODERNBERT = WeightTable(
    rules=(
        *embed("embeddings.tok_embeddings", "token_embedding"),
        *norm("embeddings.norm", "norm"),
        *norm("layers.{i}.attn_norm", "blocks.{i}.attention_norm"),
        *linear("layers.{i}.attn.Wqkv", "blocks.{i}.attention.query", (0, 3)),
        *linear("layers.{i}.attn.Wqkv", "blocks.{i}.attention.key", (1, 3)),
        *linear("layers.{i}.attn.Wqkv", "blocks.{i}.attention.value", (2, 3)),
        *linear("layers.{i}.attn.Wo", "blocks.{i}.attention.out"),
        *norm("layers.{i}.mlp_norm", "blocks.{i}.output_norm"),
        *linear("layers.{i}.mlp.Wi", "blocks.{i}.mlp.gate", (0, 2)),
        *linear("layers.{i}.mlp.Wi", "blocks.{i}.mlp.up", (1, 2)),
        *linear("layers.{i}.mlp.Wo", "blocks.{i}.mlp.down"),
        *norm("final_norm", "final_norm"),
    ),
    prefixes=("", "model.", "0.auto_model."),
    ignored=(r"(head|decoder|classifier)\..*", r"(.*\.)?rotary_emb\..*"),
)
