"""Encoders in BERT's order with rotary positions: Nomic BERT and GTE (the "new" encoder of Alibaba-NLP).

Both came to the Hub with code of their own, and transformers took them over under other names, in versions later than
the oldest that we allow; so `config.json` is read here as it stands, in either naming.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.nn.attention import FeedForward, SelfAttention, Turn
from m2v_distill.teacher.nn.layers import Dense, Embedding, LayerNorm, activation_of
from m2v_distill.teacher.nn.rotary import Rotary

#: Nomic's own code: the activation, and whether it has a gate.
NOMIC_ACTIVATIONS = {"swiglu": ("silu", True), "geglu": ("gelu", True), "gelu": ("gelu", False)}

#: Nomic's own code makes gated feed-forward layers as wide as the next multiple of this.
NOMIC_MULTIPLE = 256

#: Settings of that code that would change what is computed; `moe_every_n_layers` is its mixture of experts.
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
    """Sizes and switches of one encoder.

    Attributes:
        vocab_size: Rows of the word embeddings.
        width: H, the size of hidden states.
        layers: Number of blocks.
        heads: Attention heads N.
        head_dim: Width of a head.
        inner: Width of the feed-forward layers.
        act: transformers' name of the activation.
        gated: Whether the feed-forward layers have a gate.
        epsilon: LayerNorm's epsilon.
        token_types: Rows of the token type embeddings, 0 for none.
        rotary: The rotary settings; `None` where positions are embedded.
        max_length: Rows of the position embeddings; `None` with rotary positions.
        attention_bias: Whether the projections of attention have a bias; likewise the next two.
        up_bias: Of the feed-forward layers' first part.
        down_bias: Of its second.
        pooler: Whether a dense layer with tanh sits on the first position.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    head_dim: int
    inner: int
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
        """From a `config.json` of `model_type` "nomic_bert", in transformers' naming or in that of Nomic's own code.

        A file may have both; transformers' names go first then.

        Raises:
            ModelFormatError: A size is missing, or a setting is one that m2v-distill does not compute.
        """
        _refuse(raw, *NOMIC_REFUSED)
        width, heads = _need(raw, "hidden_size", "n_embd"), _need(raw, "num_attention_heads", "n_head")
        named = raw.get("activation_function")
        if named is not None and named not in NOMIC_ACTIVATIONS:
            raise ModelFormatError(
                f'config.json: expected "activation_function" to be one of {", ".join(NOMIC_ACTIVATIONS)}; '
                f"found {named!r}."
            )
        act, gated = (activation_of(raw, "hidden_act", "silu"), True) if named is None else NOMIC_ACTIVATIONS[named]
        inner = _need(raw, "intermediate_size", "n_inner")
        if gated and "intermediate_size" not in raw:
            inner = _up_to(inner, NOMIC_MULTIPLE)
        head_dim = raw.get("head_dim") or width // heads
        positions = _need(raw, "max_position_embeddings", "n_positions")
        share, rotary = raw.get("rotary_emb_fraction", 1.0), None
        if share > 0:
            rope = _rope(raw, float(raw.get("rotary_emb_base", 1000)))
            if raw.get("rotary_scaling_factor") and not raw.get("rope_parameters"):
                rope |= {"rope_type": "dynamic", "factor": raw["rotary_scaling_factor"]}
                positions = raw.get("max_trained_positions", 2048)
            rotary = Rotary.of({"partial_rotary_factor": share, **rope}, head_dim=head_dim, positions=positions)
        return cls(
            vocab_size=_up_to(_need(raw, "vocab_size"), raw.get("pad_vocab_size_multiple", 1)),
            width=width,
            layers=_need(raw, "num_hidden_layers", "n_layer"),
            heads=heads,
            head_dim=head_dim,
            inner=inner,
            act=act,
            gated=gated,
            epsilon=_need(raw, "layer_norm_eps", "layer_norm_epsilon"),
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
        """From a `config.json` of `model_type` "gte", or "new" as Alibaba-NLP's own code calls it.

        How that code stores and batches (`pack_qkv`, `unpad_inputs`, `use_memory_efficient_attention`) changes nothing.

        Raises:
            ModelFormatError: A size is missing, or a setting is one that m2v-distill does not compute.
        """
        _refuse(raw, "logn_attention_scale")
        _expect(raw, "layer_norm_type", "layer_norm")
        kind = _expect(raw, "position_embedding_type", "rope", "absolute")
        width, heads = _need(raw, "hidden_size"), _need(raw, "num_attention_heads")
        head_dim = raw.get("head_dim") or width // heads
        positions, rotary = _need(raw, "max_position_embeddings"), None
        if kind == "rope":
            rope = _rope(raw, 10_000.0 if raw.get("model_type") == "new" else 160_000.0)
            rotary = Rotary.of(_without_ntk(rope, head_dim), head_dim=head_dim, positions=positions)
        return cls(
            vocab_size=_need(raw, "vocab_size"),
            width=width,
            layers=_need(raw, "num_hidden_layers"),
            heads=heads,
            head_dim=head_dim,
            inner=_need(raw, "intermediate_size"),
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
    """The rotary settings, under any of their names; with the default `theta`."""
    return {
        "rope_theta": raw.get("rope_theta", theta),
        **(raw.get("rope_scaling") or raw.get("rope_parameters") or {}),
    }


def _without_ntk(rope: dict[str, Any], head_dim: int) -> dict[str, Any]:
    """Alibaba-NLP's type "ntk" in transformers' terms, any other as it is.

    It is NTK-RoPE-fixed of https://kexue.fm/archives/9706, equation 6, for sequences of any length: the base times
    the factor, and every frequency divided by factor^(2 / head_dim).
    """
    if rope.get("rope_type", rope.get("type")) != "ntk":
        return rope
    if rope.get("mixed_b") is not None:
        raise ModelFormatError(f'config.json: "mixed_b" of rope_scaling is {rope["mixed_b"]!r}; expected null.')
    theta, factor = rope["rope_theta"], _need(rope, "factor")
    return {"rope_type": "linear", "rope_theta": theta * factor, "factor": factor ** (2 / head_dim)}


def _need(raw: Mapping[str, Any], *names: str) -> Any:
    """The first of some settings that is there."""
    for name in names:
        if raw.get(name) is not None:
            return raw[name]
    raise ModelFormatError(f"config.json: expected {' or '.join(names)}; found nothing there.")


def _refuse(raw: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if raw.get(name):
            raise ModelFormatError(f'config.json: "{name}" is {raw[name]!r}, which m2v-distill does not compute.')


def _expect(raw: Mapping[str, Any], name: str, *known: str) -> str:
    """A setting that is one of those known, the first of which is the default."""
    found = raw.get(name, known[0])
    if found not in known:
        raise ModelFormatError(f'config.json: expected "{name}" to be one of {", ".join(known)}; found {found!r}.')
    return str(found)


def _up_to(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


class RotaryBertBlock(nnx.Module):
    """Self-attention and a feed-forward layer, each with a residual and LayerNorm after it."""

    def __init__(self, config: RotaryBertConfig) -> None:
        self.attention = SelfAttention(
            width=config.width, heads=config.heads, head_dim=config.head_dim, bias=config.attention_bias
        )
        self.attention_norm = LayerNorm(config.width, config.epsilon)
        self.mlp = FeedForward(
            width=config.width,
            inner=config.inner,
            act=config.act,
            gated=config.gated,
            up_bias=config.up_bias,
            down_bias=config.down_bias,
        )
        self.output_norm = LayerNorm(config.width, config.epsilon)

    def __call__(
        self, hidden: Float[Array, "B L H"], allowed: Bool[Array, "B 1 1 L"], turn: Turn
    ) -> Float[Array, "B L H"]:
        """One layer."""
        hidden = self.attention_norm(hidden + self.attention(hidden, allowed, turn))
        out: Array = self.output_norm(hidden + self.mlp(hidden))
        return out


class RotaryBert(nnx.Module):
    """The encoder of a `RotaryBertConfig`."""

    def __init__(self, config: RotaryBertConfig) -> None:
        self.config = config
        self.words = Embedding(config.vocab_size, config.width)
        if config.max_length is not None:
            self.places = Embedding(config.max_length, config.width)
        if config.token_types:
            self.types = Embedding(config.token_types, config.width)
        self.norm = LayerNorm(config.width, config.epsilon)
        self.blocks = nnx.List(RotaryBertBlock(config) for _ in range(config.layers))
        if config.pooler:
            self.pooler = Dense(config.width, config.width)

    def __call__(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> Float[Array, "B L H"]:
        """The last hidden states."""
        return self.hidden_states(ids, mask)[-1]

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The embeddings' output and that of each block."""
        config, length = self.config, ids.shape[1]
        hidden = self.words(ids)
        if config.token_types:
            hidden = hidden + self.types(jnp.zeros((), jnp.int32))
        if config.max_length is not None:
            hidden = hidden + self.places(jnp.arange(length))
        turn = config.rotary(length) if config.rotary else None
        states = [self.norm(hidden)]
        for block in self.blocks:
            states.append(block(states[-1], mask[:, None, None, :], turn))
        return states

    def pool(self, hidden: Float[Array, "B L H"]) -> Float[Array, "B H"]:
        """The pooler's output: a dense layer with tanh on the first position."""
        return jnp.tanh(self.pooler(hidden[:, 0]))
