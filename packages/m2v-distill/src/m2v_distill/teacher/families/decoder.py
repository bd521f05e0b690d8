"""Decoders as encoders: Llama, Mistral, Qwen2, Qwen3 and Gemma 3 (EmbeddingGemma).

They share one architecture (Touvron et al., LLaMA, 2023, section 2.2): RMSNorm before each half of a block, rotary
positions, a gated feed-forward layer. They differ in biases, in norms, and in which other positions a layer may see.
`DecoderConfig` has a constructor for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int
from numpy import ndarray

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.checkpoint import Rule, WeightTable, embed, linear
from m2v_distill.teacher.families.fields import activation_of
from m2v_distill.teacher.nn.encoder import FlaxEncoder
from m2v_distill.teacher.nn.layers import Dense, Embedding, RMSNorm, activation, attention
from m2v_distill.teacher.nn.rotary import Rotary, rotate

SLIDING, FULL = "sliding_attention", "full_attention"


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Sizes and switches of a decoder.

    Attributes:
        vocab_size: Rows of the token embedding table.
        hidden_size: Size of the hidden states, H.
        heads: Number of query heads, N.
        key_heads: Number of heads of keys and values, G; N / G query heads share one.
        head_dim: Size of a head, K.
        intermediate_size: Size of the feed-forward layers.
        act: Activation of the feed-forward layers, by transformers' name.
        epsilon: Epsilon of RMSNorm.
        rotaries: Rotary settings of each layer.
        reaches: Largest distance of a position that each layer sees; `None` for no limit.
        causal: Whether a position sees only earlier ones.
        scale: Factor of the attention scores.
        qkv_bias: Whether the projections to queries, keys and values have biases.
        out_bias: Whether the output projection of attention has a bias.
        mlp_bias: Whether the feed-forward layers have biases.
        head_norms: Whether RMSNorm is applied to each head of queries and keys before rotation.
        gemma: Whether embeddings are multiplied by sqrt(H), norms by 1 + weight, and each half of a block ends with a
            norm too (Gemma Team, Gemma 3, 2025).
        max_length: `None`: positions are computed, so there is no limit.
        pooler: False: there is no pooler.
    """

    vocab_size: int
    hidden_size: int
    heads: int
    key_heads: int
    head_dim: int
    intermediate_size: int
    act: str
    epsilon: float
    rotaries: tuple[Rotary, ...]
    reaches: tuple[int | None, ...]
    causal: bool
    scale: float
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    head_norms: bool = False
    gemma: bool = False
    max_length: None = None
    pooler: bool = False

    @classmethod
    def llama(cls, raw: Mapping[str, Any], *, pooler: bool) -> DecoderConfig:
        """Make the config from a `LlamaConfig` of transformers, given as a dictionary.

        Raises:
            ModelFormatError: A setting is not computed.
        """
        bias = bool(raw.get("attention_bias"))
        return cls(
            **_common(raw, (FULL,) * raw["num_hidden_layers"], pooler=pooler),
            qkv_bias=bias,
            out_bias=bias,
            mlp_bias=bool(raw.get("mlp_bias")),
        )

    @classmethod
    def mistral(cls, raw: Mapping[str, Any], *, pooler: bool) -> DecoderConfig:
        """Make the config from a `MistralConfig`: every layer has the sliding window, if there is one."""
        kind = FULL if raw["sliding_window"] is None else SLIDING
        return cls(**_common(raw, (kind,) * raw["num_hidden_layers"], pooler=pooler))

    @classmethod
    def qwen2(cls, raw: Mapping[str, Any], *, pooler: bool) -> DecoderConfig:
        """Make the config from a `Qwen2Config`."""
        return cls(**_common(raw, raw["layer_types"], pooler=pooler), qkv_bias=True)

    @classmethod
    def qwen3(cls, raw: Mapping[str, Any], *, pooler: bool) -> DecoderConfig:
        """Make the config from a `Qwen3Config`."""
        bias = bool(raw.get("attention_bias"))
        return cls(**_common(raw, raw["layer_types"], pooler=pooler), qkv_bias=bias, out_bias=bias, head_norms=True)

    @classmethod
    def gemma3(cls, raw: Mapping[str, Any], *, pooler: bool) -> DecoderConfig:
        """Make the config from a `Gemma3TextConfig`.

        With `use_bidirectional_attention` a window of w reaches w // 2 positions to either side.
        """
        if raw.get("attn_logit_softcapping") is not None:
            raise ModelFormatError(
                f'expected no "attn_logit_softcapping"; found {raw["attn_logit_softcapping"]!r}, which is not computed.'
            )
        both_sides = bool(raw.get("use_bidirectional_attention"))
        window = raw["sliding_window"] // 2 + 1 if both_sides and raw["sliding_window"] else raw["sliding_window"]
        common = _common(
            {**raw, "use_bidirectional_attention": None, "sliding_window": window},
            raw["layer_types"],
            pooler=pooler,
            act="hidden_activation",
        )
        bias = bool(raw.get("attention_bias"))
        changes = {
            "causal": common["causal"] and not both_sides,
            "scale": float(raw["query_pre_attn_scalar"]) ** -0.5,
        }
        return cls(**{**common, **changes}, qkv_bias=bias, out_bias=bias, head_norms=True, gemma=True)


def _common(raw: Mapping[str, Any], kinds: Sequence[str], *, pooler: bool, act: str = "hidden_act") -> dict[str, Any]:
    """The fields that all constructors read.

    Args:
        raw: The config.
        kinds: Type of attention of each layer.
        pooler: Whether the checkpoint has a pooler.
        act: Name of the setting of the activation.

    Raises:
        ModelFormatError: Layer types are unknown or not those that transformers would compute, the number of heads does
            not divide, a sliding layer has no window, or rotary settings are not computed.
    """
    if raw.get("use_bidirectional_attention"):
        raise ModelFormatError(
            f'expected no "use_bidirectional_attention"; found {raw["use_bidirectional_attention"]!r}, which '
            f"transformers reads only for Gemma. If it applies: compute_as='bidirectional-llama', or -mistral, -qwen2, "
            f"-qwen3."
        )
    heads, key_heads = raw["num_attention_heads"], raw["num_key_value_heads"]
    head_dim = raw.get("head_dim") or raw["hidden_size"] // heads
    stated = tuple(raw.get("layer_types") or kinds)
    if not set(kinds) <= {SLIDING, FULL} or stated != tuple(kinds) or len(kinds) != raw["num_hidden_layers"]:
        raise ModelFormatError(
            f"expected layer_types of {raw['num_hidden_layers']} layers, each {SLIDING} or {FULL} "
            f"(the same for all in Llama and Mistral); found {', '.join(stated)}."
        )
    if heads % key_heads:
        raise ModelFormatError(f"expected num_key_value_heads to divide {heads} heads; found {key_heads}.")
    window = raw.get("sliding_window") or 0
    if SLIDING in kinds and window < 1:
        raise ModelFormatError(f"expected a sliding_window for layers of {SLIDING}; found {window}.")
    causal = bool(raw.get("is_causal", True))
    # transformers' window includes the position itself, except where is_causal is false.
    reach = window - 1 if causal else window
    rope = raw["rope_parameters"]
    rotary = {kind: _rotary(rope.get(kind, rope), head_dim, raw["max_position_embeddings"]) for kind in set(kinds)}
    return {
        "vocab_size": raw["vocab_size"],
        "hidden_size": raw["hidden_size"],
        "heads": heads,
        "key_heads": key_heads,
        "head_dim": head_dim,
        "intermediate_size": raw["intermediate_size"],
        "act": activation_of(raw, act),
        "epsilon": float(raw["rms_norm_eps"]),
        "rotaries": tuple(rotary[kind] for kind in kinds),
        "reaches": tuple(reach if kind == SLIDING else None for kind in kinds),
        "causal": causal,
        "scale": head_dim**-0.5,
        "pooler": pooler,
    }


def _rotary(rope: Mapping[str, Any], head_dim: int, positions: int) -> Rotary:
    rotary = Rotary.of(rope, head_dim=head_dim, positions=positions)
    if rotary.dim != head_dim:
        raise ModelFormatError(
            f"expected heads of {head_dim} values, all rotated; found a partial_rotary_factor of "
            f"{rope['partial_rotary_factor']}, which these architectures do not have."
        )
    return rotary


class DecoderBlock(nnx.Module):
    """Self-attention and a gated feed-forward layer, each with RMSNorm before it (and after it in Gemma)."""

    def __init__(self, config: DecoderConfig) -> None:
        hidden_size, intermediate_size = config.hidden_size, config.intermediate_size
        self.heads, self.key_heads, self.scale = config.heads, config.key_heads, config.scale
        self.act = activation(config.act)
        self.query = Dense(hidden_size, config.heads * config.head_dim, bias=config.qkv_bias)
        self.key = Dense(hidden_size, config.key_heads * config.head_dim, bias=config.qkv_bias)
        self.value = Dense(hidden_size, config.key_heads * config.head_dim, bias=config.qkv_bias)
        self.out = Dense(config.heads * config.head_dim, hidden_size, bias=config.out_bias)
        self.gate = Dense(hidden_size, intermediate_size, bias=config.mlp_bias)
        self.up = Dense(hidden_size, intermediate_size, bias=config.mlp_bias)
        self.down = Dense(intermediate_size, hidden_size, bias=config.mlp_bias)
        self.query_norm = _norm(config, config.head_dim) if config.head_norms else None
        self.key_norm = _norm(config, config.head_dim) if config.head_norms else None
        self.before_attention = _norm(config)
        self.after_attention = _norm(config) if config.gemma else None
        self.before_mlp = _norm(config)
        self.after_mlp = _norm(config) if config.gemma else None

    def __call__(
        self,
        hidden: Float[Array, "B L H"],
        allowed: Bool[Array, "B 1 #L L"],
        cos: Float32[ndarray, "L R2"],
        sin: Float32[ndarray, "L R2"],
    ) -> Float[Array, "B L H"]:
        """The block's output.

        Args:
            hidden: The input.
            allowed: The keys (last axis) that each query may see.
            cos: Rotary cosines.
            sin: Rotary sines.
        """
        x = self.before_attention(hidden)
        query = _normed(self.query_norm, _split(self.query(x), self.heads))
        key = _normed(self.key_norm, _split(self.key(x), self.key_heads))
        value = _split(self.value(x), self.key_heads)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        attended = attention(query, key, value, allowed, scale=self.scale, dtype=self.query.dtype)
        hidden = hidden + _normed(self.after_attention, self.out(attended.reshape(*hidden.shape[:2], -1)))
        x = self.before_mlp(hidden)
        return hidden + _normed(self.after_mlp, self.down(self.act(self.gate(x)) * self.up(x)))


class Decoder(FlaxEncoder):
    """The decoder of a `DecoderConfig`, without its language modelling head."""

    def __init__(self, config: DecoderConfig) -> None:
        self.config = config
        self.token_embedding = Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nnx.List(DecoderBlock(config) for _ in config.reaches)
        self.norm = _norm(config)

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The embeddings and the output of each block, the last one after the final norm."""
        config, length = self.config, ids.shape[1]
        tables = {rotary: rotary(length) for rotary in set(config.rotaries)}
        allowed = {
            reach: mask[:, None, None, :] & visible(length, causal=config.causal, reach=reach)
            for reach in set(config.reaches)
        }
        hidden = self.token_embedding(ids)
        states = [hidden * np.float32(config.hidden_size**0.5) if config.gemma else hidden]
        for block, rotary, reach in zip(self.blocks, config.rotaries, config.reaches, strict=True):
            states.append(block(states[-1], allowed[reach], *tables[rotary]))
        return [*states[:-1], self.norm(states[-1])]


def visible(length: int, *, causal: bool, reach: int | None) -> Bool[ndarray, "L L"]:
    """The keys (columns) that each query (row) sees: those within reach, and with `causal` no later ones.

    Example:
        >>> visible(3, causal=True, reach=1).astype(int).tolist()
        [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    positions = np.arange(length)
    distance = positions[:, None] - positions[None, :]
    seen: ndarray = np.abs(distance) <= (length if reach is None else reach)
    return seen & (distance >= 0) if causal else seen


def _norm(config: DecoderConfig, size: int | None = None) -> RMSNorm:
    return RMSNorm(size or config.hidden_size, config.epsilon, offset=float(config.gemma))


def _normed(norm: RMSNorm | None, x: Array) -> Array:
    return x if norm is None else norm(x)


def _split(x: Float[Array, "B L NK"], heads: int) -> Float[Array, "B L N K"]:
    return x.reshape(*x.shape[:2], heads, -1)


def _scale(source: str, target: str) -> Rule:
    return Rule(f"{source}.weight", f"{target}.scale")


_RULES = (
    *embed("embed_tokens", "token_embedding"),
    _scale("norm", "norm"),
    *linear("layers.{i}.self_attn.q_proj", "blocks.{i}.query"),
    *linear("layers.{i}.self_attn.k_proj", "blocks.{i}.key"),
    *linear("layers.{i}.self_attn.v_proj", "blocks.{i}.value"),
    *linear("layers.{i}.self_attn.o_proj", "blocks.{i}.out"),
    _scale("layers.{i}.self_attn.q_norm", "blocks.{i}.query_norm"),
    _scale("layers.{i}.self_attn.k_norm", "blocks.{i}.key_norm"),
    *linear("layers.{i}.mlp.gate_proj", "blocks.{i}.gate"),
    *linear("layers.{i}.mlp.up_proj", "blocks.{i}.up"),
    *linear("layers.{i}.mlp.down_proj", "blocks.{i}.down"),
    _scale("layers.{i}.input_layernorm", "blocks.{i}.before_attention"),
)

_PREFIXES = ("", "model.", "0.auto_model.", "0.auto_model.model.")

#: Task heads, and the buffers of rotary positions in older checkpoints.
_IGNORED = (
    r"(0\.auto_model\.)?(lm_head|score)\.(weight|bias)",
    r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",
)

DECODER = WeightTable(
    rules=(*_RULES, _scale("layers.{i}.post_attention_layernorm", "blocks.{i}.before_mlp")),
    prefixes=_PREFIXES,
    ignored=_IGNORED,
)

GEMMA = WeightTable(
    rules=(
        *_RULES,
        _scale("layers.{i}.post_attention_layernorm", "blocks.{i}.after_attention"),
        _scale("layers.{i}.pre_feedforward_layernorm", "blocks.{i}.before_mlp"),
        _scale("layers.{i}.post_feedforward_layernorm", "blocks.{i}.after_mlp"),
    ),
    prefixes=_PREFIXES,
    ignored=_IGNORED,
)
