"""BERT and its kin: BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT and MPNet.

They are one architecture (Devlin et al., 2019) and differ in how positions are counted, in whether there are token
types and a pooler, and in MPNet's relative position bias; `BertConfig` has a constructor for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int
from numpy import ndarray

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.layers import Dense, Embedding, LayerNorm, PostNormBlock

#: MPNet's buckets of relative distance (Raffel et al., 2020, section 2.1): transformers fixes both numbers.
RELATIVE_BUCKETS, RELATIVE_MAX_DISTANCE = 32, 128


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes and switches of one encoder.

    Attributes:
        vocab_size: Rows of the word embeddings.
        width: H, the size of hidden states.
        layers: Number of blocks.
        heads: Attention heads N.
        inner: Width of the feed-forward layer.
        act: transformers' name of the activation.
        epsilon: LayerNorm's epsilon.
        positions: Rows of the position embeddings.
        padding_id: If set, positions count real tokens and start after it (fairseq's way); else they are 0, 1, 2...
        token_types: Rows of the token type embeddings, 0 for none.
        relative_bias: Whether attention has MPNet's relative position bias.
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
        if raw.get("is_decoder") or raw.get("position_embedding_type", "absolute") != "absolute":
            raise ModelFormatError("expected an encoder with absolute positions; config.json says otherwise.")
        return cls(
            vocab_size=raw["vocab_size"],
            width=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=raw["num_attention_heads"],
            inner=raw["intermediate_size"],
            act=raw["hidden_act"],
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
    def distilbert(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """From a `DistilBertConfig`."""
        return cls(
            vocab_size=raw["vocab_size"],
            width=raw["dim"],
            layers=raw["n_layers"],
            heads=raw["n_heads"],
            inner=raw["hidden_dim"],
            act=raw["activation"],
            epsilon=1e-12,
            positions=raw["max_position_embeddings"],
            pooler=pooler,
        )


class Bert(nnx.Module):
    """The encoder of a `BertConfig`."""

    def __init__(self, config: BertConfig) -> None:
        self.config = config
        self.words = Embedding(config.vocab_size, config.width)
        self.places = Embedding(config.positions, config.width)
        if config.token_types:
            self.types = Embedding(config.token_types, config.width)
        self.norm = LayerNorm(config.width, config.epsilon)
        self.blocks = nnx.List(
            PostNormBlock(
                width=config.width,
                heads=config.heads,
                inner=config.inner,
                act=config.act,
                epsilon=config.epsilon,
            )
            for _ in range(config.layers)
        )
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
        states = [self.norm(hidden)]
        bias = self._relative_bias(ids.shape[1]) if self.config.relative_bias else None
        for block in self.blocks:
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

    def _relative_bias(self, length: int) -> Float[Array, "1 N L L"]:
        places = np.arange(length)
        buckets = relative_buckets(places[None, :] - places[:, None])
        return self.relative(jnp.asarray(buckets)).transpose(2, 0, 1)[None]


def relative_buckets(distance: Int[ndarray, "Q K"]) -> Int[ndarray, "Q K"]:
    """Bucket of a relative distance: half of them for each direction, near ones exact, far ones by logarithm.

    Raffel et al., Exploring the Limits of Transfer Learning, 2020, section 2.1. In numpy and float32, step by step
    as PyTorch computes it, so that a distance on a border falls on the same side.
    """
    half = RELATIVE_BUCKETS // 2
    exact = half // 2
    far = np.abs(distance)
    share = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))
    share = share / np.float32(math.log(RELATIVE_MAX_DISTANCE / exact)) * np.float32(half - exact)
    coarse = np.minimum(exact + share.astype(np.int64), half - 1)
    # Keys after the query have the upper half.
    bucket: ndarray = np.where(far < exact, far, coarse) + np.where(distance > 0, half, 0)
    return bucket
