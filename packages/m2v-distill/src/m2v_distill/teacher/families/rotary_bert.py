"""Encoders in BERT's order with rotary positions: Nomic BERT and GTE (the "new" encoder of Alibaba-NLP).

Both were published with code of their own, and transformers adopted them under other names, in versions later than the
oldest that m2v-distill allows. So `config.json` is read here as it is, in either naming.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.checkpoint import WeightTable, embed, linear, norm
from m2v_distill.teacher.families.fields import activation_of, one_of, refuse, required
from m2v_distill.teacher.nn.attention import FeedForward, RotaryTables, SelfAttention
from m2v_distill.teacher.nn.encoder import FlaxEncoder
from m2v_distill.teacher.nn.layers import Dense, Embedding, LayerNorm
from m2v_distill.teacher.nn.rotary import Rotary

#: Activations of Nomic's own code: the activation, and whether the layer has a gate.
NOMIC_ACTIVATIONS = {"swiglu": ("silu", True), "geglu": ("gelu", True), "gelu": ("gelu", False)}

#: Nomic's own code rounds the size of gated feed-forward layers up to a multiple of this.
NOMIC_MULTIPLE = 256

#: Settings of that code that are not computed; `moe_every_n_layers` is its mixture of experts.
NOMIC_REFUSED = (
    "prenorm",
    "parallel_block",
    "rotary_emb_interleaved",
    "rotary_emb_scale_base",
    "rotary_head_dim",
    "use_rms_norm",
    "causal",
    "moe_every_n_layers",
)


@dataclass(frozen=True, kw_only=True)
class RotaryBertConfig:
    """Sizes and switches of an encoder.

    Attributes:
        vocab_size: Rows of the token embedding table.
        hidden_size: Size of the hidden states, H.
        layers: Number of blocks.
        heads: Number of attention heads, N.
        head_dim: Size of a head.
        intermediate_size: Size of the feed-forward layers.
        act: Activation of the feed-forward layers, by transformers' name.
        gated: Whether the feed-forward layers have a gate.
        epsilon: Epsilon of LayerNorm.
        token_types: Rows of the token-type embedding table; 0 for none.
        rotary: Rotary settings; `None` where positions are embedded.
        max_length: Rows of the position embedding table; `None` with rotary positions.
        attention_bias: Whether the projections of attention have biases.
        up_bias: Whether the first part of the feed-forward layers has a bias.
        down_bias: Whether their second part has a bias.
        pooler: Whether there is a pooler: a dense layer with tanh on the first position.
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
    token_types: int
    rotary: Rotary | None
    max_length: int | None
    attention_bias: bool
    up_bias: bool
    down_bias: bool
    pooler: bool = False

    @classmethod
    def nomic(cls, raw: Mapping[str, Any], *, pooler: bool) -> RotaryBertConfig:
        """Make the config from a "nomic_bert" `config.json`, with the names of transformers or of Nomic's own code.

        A file may have both; then transformers' names count.

        Raises:
            ModelFormatError: A size is missing, or a setting is not computed.
        """
        refuse(raw, *NOMIC_REFUSED)
        hidden_size, heads = required(raw, "hidden_size", "n_embd"), required(raw, "num_attention_heads", "n_head")
        named = raw.get("activation_function")
        if named is not None and named not in NOMIC_ACTIVATIONS:
            raise ModelFormatError(
                f'config.json: expected "activation_function" to be one of {", ".join(NOMIC_ACTIVATIONS)}; '
                f"found {named!r}."
            )
        act, gated = (activation_of(raw, "hidden_act", "silu"), True) if named is None else NOMIC_ACTIVATIONS[named]
        intermediate_size = required(raw, "intermediate_size", "n_inner")
        if gated and "intermediate_size" not in raw:
            intermediate_size = _rounded_up(intermediate_size, NOMIC_MULTIPLE)
        head_dim = raw.get("head_dim") or hidden_size // heads
        positions = required(raw, "max_position_embeddings", "n_positions")
        fraction, rotary = raw.get("rotary_emb_fraction", 1.0), None
        if fraction > 0:
            rope = _rope(raw, float(raw.get("rotary_emb_base", 1000)))
            if raw.get("rotary_scaling_factor") and not raw.get("rope_parameters"):
                rope |= {"rope_type": "dynamic", "factor": raw["rotary_scaling_factor"]}
                positions = raw.get("max_trained_positions", 2048)
            rotary = Rotary.of({"partial_rotary_factor": fraction, **rope}, head_dim=head_dim, positions=positions)
        return cls(
            vocab_size=_rounded_up(required(raw, "vocab_size"), raw.get("pad_vocab_size_multiple", 1)),
            hidden_size=hidden_size,
            layers=required(raw, "num_hidden_layers", "n_layer"),
            heads=heads,
            head_dim=head_dim,
            intermediate_size=intermediate_size,
            act=act,
            gated=gated,
            epsilon=required(raw, "layer_norm_eps", "layer_norm_epsilon"),
            token_types=raw.get("type_vocab_size", 2),
            rotary=rotary,
            max_length=None if rotary else positions,
            attention_bias=raw.get("qkv_proj_bias", False),
            up_bias=raw.get("mlp_fc1_bias", False),
            down_bias=raw.get("mlp_fc2_bias", False),
            pooler=pooler,
        )

    @classmethod
    def gte(cls, raw: Mapping[str, Any], *, pooler: bool) -> RotaryBertConfig:
        """Make the config from a `config.json` of `model_type` "gte", or "new" as Alibaba-NLP's own code calls it.

        Settings of storage and batching (`pack_qkv`, `unpad_inputs`, `use_memory_efficient_attention`) change nothing.

        Raises:
            ModelFormatError: A size is missing, or a setting is not computed.
        """
        refuse(raw, "logn_attention_scale")
        one_of(raw, "layer_norm_type", "layer_norm")
        kind = one_of(raw, "position_embedding_type", "rope", "absolute")
        hidden_size, heads = required(raw, "hidden_size"), required(raw, "num_attention_heads")
        head_dim = raw.get("head_dim") or hidden_size // heads
        positions, rotary = required(raw, "max_position_embeddings"), None
        if kind == "rope":
            rope = _rope(raw, 10_000.0 if raw.get("model_type") == "new" else 160_000.0)
            rotary = Rotary.of(_without_ntk(rope, head_dim), head_dim=head_dim, positions=positions)
        return cls(
            vocab_size=required(raw, "vocab_size"),
            hidden_size=hidden_size,
            layers=required(raw, "num_hidden_layers"),
            heads=heads,
            head_dim=head_dim,
            intermediate_size=required(raw, "intermediate_size"),
            act=activation_of(raw, "hidden_act", "gelu"),
            gated=True,
            epsilon=raw.get("layer_norm_eps", 1e-12),
            token_types=raw.get("type_vocab_size", 1),
            rotary=rotary,
            max_length=None if rotary else positions,
            attention_bias=True,
            up_bias=False,
            down_bias=True,
            pooler=pooler,
        )


def _rope(raw: Mapping[str, Any], theta: float) -> dict[str, Any]:
    """The rotary settings under any of their names; `theta` is the default base."""
    return {
        "rope_theta": raw.get("rope_theta", theta),
        **(raw.get("rope_scaling") or raw.get("rope_parameters") or {}),
    }


def _without_ntk(rope: dict[str, Any], head_dim: int) -> dict[str, Any]:
    """Alibaba-NLP's type "ntk" in transformers' terms; any other type as it is.

    It is NTK-RoPE-fixed of https://kexue.fm/archives/9706, equation 6, for sequences of any length: the base times
    the factor, and every frequency divided by factor^(2 / head_dim).
    """
    if rope.get("rope_type", rope.get("type")) != "ntk":
        return rope
    if rope.get("mixed_b") is not None:
        raise ModelFormatError(f'config.json: "mixed_b" of rope_scaling is {rope["mixed_b"]!r}; expected null.')
    theta, factor = rope["rope_theta"], required(rope, "factor")
    return {"rope_type": "linear", "rope_theta": theta * factor, "factor": factor ** (2 / head_dim)}


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


class RotaryBertBlock(nnx.Module):
    """Self-attention and a feed-forward layer, each with a residual and LayerNorm after it."""

    def __init__(self, config: RotaryBertConfig) -> None:
        self.attention = SelfAttention(
            hidden_size=config.hidden_size, heads=config.heads, head_dim=config.head_dim, bias=config.attention_bias
        )
        self.attention_norm = LayerNorm(config.hidden_size, config.epsilon)
        self.mlp = FeedForward(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            act=config.act,
            gated=config.gated,
            up_bias=config.up_bias,
            down_bias=config.down_bias,
        )
        self.output_norm = LayerNorm(config.hidden_size, config.epsilon)

    def __call__(
        self, hidden: Float[Array, "B L H"], allowed: Bool[Array, "B 1 1 L"], cos_sin: RotaryTables
    ) -> Float[Array, "B L H"]:
        """The block's output."""
        hidden = self.attention_norm(hidden + self.attention(hidden, allowed, cos_sin))
        out: Array = self.output_norm(hidden + self.mlp(hidden))
        return out


class RotaryBert(FlaxEncoder):
    """The encoder of a `RotaryBertConfig`."""

    def __init__(self, config: RotaryBertConfig) -> None:
        self.config = config
        self.token_embedding = Embedding(config.vocab_size, config.hidden_size)
        if config.max_length is not None:
            self.position_embedding = Embedding(config.max_length, config.hidden_size)
        if config.token_types:
            self.token_type_embedding = Embedding(config.token_types, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, config.epsilon)
        self.blocks = nnx.List(RotaryBertBlock(config) for _ in range(config.layers))
        if config.pooler:
            self.pooler = Dense(config.hidden_size, config.hidden_size)

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The output of the embedding layer and of each block."""
        config, length = self.config, ids.shape[1]
        hidden = self.token_embedding(ids)
        if config.token_types:
            hidden = hidden + self.token_type_embedding(jnp.zeros((), jnp.int32))
        if config.max_length is not None:
            hidden = hidden + self.position_embedding(jnp.arange(length))
        cos_sin = config.rotary(length) if config.rotary else None
        states = [self.norm(hidden)]
        for block in self.blocks:
            states.append(block(states[-1], mask[:, None, None, :], cos_sin))
        return states


_IGNORED = (r"(cls|lm_head|classifier|dropout)\..*", r"embeddings\.(position|token_type)_ids", r"(.*\.)?rotary_emb\..*")

#: Rules that both share: transformers' names, and older ones.
_SHARED = (
    *embed("embeddings.word_embeddings", "token_embedding"),
    *embed("embeddings.position_embeddings", "position_embedding"),
    *embed("embeddings.token_type_embeddings", "token_type_embedding"),
    *norm("embeddings.LayerNorm", "norm"),
    *linear("pooler.dense", "pooler"),
    *linear("layers.{i}.self_attn.q_proj", "blocks.{i}.attention.query"),
    *linear("layers.{i}.self_attn.k_proj", "blocks.{i}.attention.key"),
    *linear("layers.{i}.self_attn.v_proj", "blocks.{i}.attention.value"),
    *linear("layers.{i}.self_attn.o_proj", "blocks.{i}.attention.out"),
    *norm("layers.{i}.post_attention_layernorm", "blocks.{i}.attention_norm"),
    *linear("layers.{i}.mlp.gate_proj", "blocks.{i}.mlp.gate"),
    *linear("layers.{i}.mlp.up_proj", "blocks.{i}.mlp.up"),
    *linear("layers.{i}.mlp.down_proj", "blocks.{i}.mlp.down"),
    *norm("layers.{i}.post_mlp_layernorm", "blocks.{i}.output_norm"),
)

NOMIC = WeightTable(
    rules=(
        *_SHARED,
        *norm("emb_ln", "norm"),
        *linear("encoder.layers.{i}.attn.Wqkv", "blocks.{i}.attention.query", (0, 3)),
        *linear("encoder.layers.{i}.attn.Wqkv", "blocks.{i}.attention.key", (1, 3)),
        *linear("encoder.layers.{i}.attn.Wqkv", "blocks.{i}.attention.value", (2, 3)),
        *linear("encoder.layers.{i}.attn.out_proj", "blocks.{i}.attention.out"),
        *norm("encoder.layers.{i}.norm1", "blocks.{i}.attention_norm"),
        *linear("encoder.layers.{i}.mlp.fc12", "blocks.{i}.mlp.gate"),
        *linear("encoder.layers.{i}.mlp.fc11", "blocks.{i}.mlp.up"),
        *linear("encoder.layers.{i}.mlp.fc1", "blocks.{i}.mlp.up"),
        *linear("encoder.layers.{i}.mlp.fc2", "blocks.{i}.mlp.down"),
        *norm("encoder.layers.{i}.norm2", "blocks.{i}.output_norm"),
    ),
    prefixes=("", "bert.", "nomic_bert.", "model.", "0.auto_model."),
    ignored=_IGNORED,
)

GTE = WeightTable(
    rules=(
        *_SHARED,
        *linear("encoder.layer.{i}.attention.qkv_proj", "blocks.{i}.attention.query", (0, 3)),
        *linear("encoder.layer.{i}.attention.qkv_proj", "blocks.{i}.attention.key", (1, 3)),
        *linear("encoder.layer.{i}.attention.qkv_proj", "blocks.{i}.attention.value", (2, 3)),
        *linear("encoder.layer.{i}.attention.q_proj", "blocks.{i}.attention.query"),
        *linear("encoder.layer.{i}.attention.k_proj", "blocks.{i}.attention.key"),
        *linear("encoder.layer.{i}.attention.v_proj", "blocks.{i}.attention.value"),
        *linear("encoder.layer.{i}.attention.o_proj", "blocks.{i}.attention.out"),
        *norm("encoder.layer.{i}.attn_ln", "blocks.{i}.attention_norm"),
        *linear("encoder.layer.{i}.mlp.up_gate_proj", "blocks.{i}.mlp.up", (0, 2)),
        *linear("encoder.layer.{i}.mlp.up_gate_proj", "blocks.{i}.mlp.gate", (1, 2)),
        *linear("encoder.layer.{i}.mlp.down_proj", "blocks.{i}.mlp.down"),
        *norm("encoder.layer.{i}.mlp_ln", "blocks.{i}.output_norm"),
    ),
    prefixes=("", "new.", "gte.", "model.", "0.auto_model."),
    ignored=_IGNORED,
)
