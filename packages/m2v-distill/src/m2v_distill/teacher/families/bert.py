"""BERT and its kin: BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT, MPNet, ELECTRA and ALBERT.

They are one architecture (Devlin et al., 2019) and differ in how positions are counted, in whether there are token
types and a pooler, in MPNet's relative position bias, in embeddings that are narrower than hidden states (ELECTRA,
ALBERT) and in blocks that are used several times (ALBERT); `BertConfig` has a constructor for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.nn.layers import Dense, Embedding, LayerNorm, PostNormBlock, activation_of
from m2v_distill.teacher.nn.relative import relative_bias

#: MPNet's buckets of relative distance: transformers fixes them.
RELATIVE_BUCKETS = 32


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes and switches of one encoder.

    Attributes:
        vocab_size: Rows of the word embeddings.
        width: H, the size of hidden states.
        layers: Number of blocks that a text goes through, or of groups if there are any.
        heads: Attention heads N.
        inner: Width of the feed-forward layer.
        act: transformers' name of the activation.
        epsilon: LayerNorm's epsilon.
        positions: Rows of the position embeddings.
        padding_id: If set, positions count real tokens and start after it (fairseq's way); else they are 0, 1, 2...
        token_types: Rows of the token type embeddings, 0 for none.
        relative_bias: Whether attention has MPNet's relative position bias.
        embedding: Width of the embeddings, which a dense layer maps to H; `None` if they have width H without one.
        groups: Groups of blocks that share their weights among layers, as in ALBERT; 0 for blocks of their own.
        group_size: Blocks of a group.
        pooler: Whether a dense layer with tanh sits on the first position.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    inner: int
    act: str
    epsilon: float
    positions: int
    padding_id: int | None = None
    token_types: int = 0
    relative_bias: bool = False
    embedding: int | None = None
    groups: int = 0
    group_size: int = 1
    pooler: bool = False

    @property
    def max_length(self) -> int:
        """The longest sequence that has positions."""
        return self.positions if self.padding_id is None else self.positions - self.padding_id - 1

    @classmethod
    def bert(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """From a `BertConfig` of transformers, as a dictionary.

        Raises:
            ModelFormatError: It is a decoder, or has other than absolute positions.
        """
        if raw.get("is_decoder"):
            raise ModelFormatError(
                f'expected "is_decoder" to be false; found {raw["is_decoder"]!r}, by which positions see earlier ones.'
            )
        check_positions(raw)
        return cls(
            vocab_size=raw["vocab_size"],
            width=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=raw["num_attention_heads"],
            inner=raw["intermediate_size"],
            act=activation_of(raw, "hidden_act"),
            epsilon=raw["layer_norm_eps"],
            positions=raw["max_position_embeddings"],
            token_types=raw.get("type_vocab_size", 0),
            pooler=pooler,
        )

    @classmethod
    def roberta(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """From a `RobertaConfig`, `XLMRobertaConfig` or `CamembertConfig`."""
        return cls(**{**vars(cls.bert(raw, pooler=pooler)), "padding_id": raw["pad_token_id"]})

    @classmethod
    def mpnet(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """From an `MPNetConfig`; its padding id is 1 whatever the config says, as in transformers."""
        changes = {"padding_id": 1, "token_types": 0, "relative_bias": True}
        return cls(**{**vars(cls.bert(raw, pooler=pooler)), **changes})

    @classmethod
    def electra(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """From an `ElectraConfig` (Clark et al., 2020)."""
        narrow = raw["embedding_size"] if raw["embedding_size"] != raw["hidden_size"] else None
        return cls(**{**vars(cls.bert(raw, pooler=pooler)), "embedding": narrow})

    @classmethod
    def albert(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """From an `AlbertConfig` (Lan et al., 2020)."""
        changes = {
            "embedding": raw["embedding_size"],
            "groups": raw["num_hidden_groups"],
            "group_size": raw["inner_group_num"],
        }
        return cls(**{**vars(cls.bert(raw, pooler=pooler)), **changes})

    @classmethod
    def distilbert(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """From a `DistilBertConfig`."""
        return cls(
            vocab_size=raw["vocab_size"],
            width=raw["dim"],
            layers=raw["n_layers"],
            heads=raw["n_heads"],
            inner=raw["hidden_dim"],
            act=activation_of(raw, "activation"),
            epsilon=1e-12,
            positions=raw["max_position_embeddings"],
            pooler=pooler,
        )


def check_positions(raw: Mapping[str, Any]) -> None:
    """Refuse positions that neither we nor transformers 5 compute.

    Raises:
        ModelFormatError: They are not absolute.
    """
    found = raw.get("position_embedding_type")
    if found not in (None, "absolute"):
        raise ModelFormatError(
            f'expected "position_embedding_type" to be "absolute"; found {found!r}, which transformers 5 leaves out of '
            f"account. Choose another teacher."
        )


class Bert(nnx.Module):
    """The encoder of a `BertConfig`."""

    def __init__(self, config: BertConfig) -> None:
        self.config = config
        width = config.embedding or config.width
        self.words = Embedding(config.vocab_size, width)
        self.places = Embedding(config.positions, width)
        if config.token_types:
            self.types = Embedding(config.token_types, width)
        self.norm = LayerNorm(width, config.epsilon)
        if config.embedding:
            self.project = Dense(config.embedding, config.width)
        if config.groups:
            self.groups = nnx.List(nnx.List(_blocks(config, config.group_size)) for _ in range(config.groups))
        else:
            self.blocks = nnx.List(_blocks(config, config.layers))
        if config.relative_bias:
            self.relative = Embedding(RELATIVE_BUCKETS, config.heads)
        if config.pooler:
            self.pooler = Dense(config.width, config.width)

    def __call__(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> Float[Array, "B L H"]:
        """The last hidden states."""
        return self.hidden_states(ids, mask)[-1]

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The embeddings' output and that of each block."""
        hidden = self.words(ids) + self.places(self._positions(ids))
        if self.config.token_types:
            hidden = hidden + self.types(jnp.zeros((), jnp.int32))
        hidden = self.norm(hidden)
        states = [self.project(hidden) if self.config.embedding else hidden]
        bias = relative_bias(self.relative, ids.shape[1]) if self.config.relative_bias else None
        for block in self._chain():
            states.append(block(states[-1], mask, bias))
        return states

    def pool(self, hidden: Float[Array, "B L H"]) -> Float[Array, "B H"]:
        """The pooler's output: a dense layer with tanh on the first position."""
        return jnp.tanh(self.pooler(hidden[:, 0]))

    def _positions(self, ids: Int[Array, "B L"]) -> Int[Array, "*shape"]:
        padding = self.config.padding_id
        if padding is None:
            return jnp.arange(ids.shape[1])
        real = ids != padding
        return jnp.cumsum(real, axis=1) * real + padding

    def _chain(self) -> list[PostNormBlock]:
        """The blocks in the order in which a text goes through them."""
        layers, groups = self.config.layers, self.config.groups
        if not groups:
            return list(self.blocks)
        # The quotient is rounded as in transformers.
        return [block for layer in range(layers) for block in self.groups[int(layer / (layers / groups))]]


def _blocks(config: BertConfig, count: int) -> list[PostNormBlock]:
    sizes = {"width": config.width, "heads": config.heads, "inner": config.inner}
    return [PostNormBlock(**sizes, act=config.act, epsilon=config.epsilon) for _ in range(count)]
