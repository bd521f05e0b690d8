"""The BERT family: BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT, MPNet, ELECTRA and ALBERT.

They share one architecture (Devlin et al., 2019). They differ in how positions are counted, in whether there are token
types and a pooler, in MPNet's relative position bias, in embeddings that are smaller than hidden states (ELECTRA,
ALBERT) and in blocks that are used several times (ALBERT). `BertConfig` has a constructor for each.
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
from m2v_distill.teacher.families.fields import activation_of
from m2v_distill.teacher.nn.encoder import FlaxEncoder
from m2v_distill.teacher.nn.layers import Dense, Embedding, LayerNorm, PostNormBlock
from m2v_distill.teacher.nn.relative import relative_bias

#: MPNet's buckets of relative distance: transformers fixes them.
RELATIVE_BUCKETS = 32


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes and switches of an encoder.

    Attributes:
        vocab_size: Rows of the token embedding table.
        hidden_size: Size of the hidden states, H.
        layers: Number of blocks that a text passes through, or of groups if there are any.
        heads: Number of attention heads, N.
        intermediate_size: Size of the feed-forward layers.
        act: Activation of the feed-forward layers, by transformers' name.
        epsilon: Epsilon of LayerNorm.
        positions: Rows of the position embedding table.
        padding_id: If set, positions count real tokens and start after this number (fairseq); else they are 0, 1, 2...
        token_types: Rows of the token-type embedding table; 0 for none.
        relative_bias: Whether attention has MPNet's relative position bias.
        embedding_size: Size of the embeddings, which a dense layer maps to H; `None` if there is no such layer.
        groups: Number of groups of blocks that layers share, as in ALBERT; 0 if each layer has its own block.
        group_size: Number of blocks in a group.
        pooler: Whether there is a pooler: a dense layer with tanh on the first position.
    """

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    act: str
    epsilon: float
    positions: int
    padding_id: int | None = None
    token_types: int = 0
    relative_bias: bool = False
    embedding_size: int | None = None
    groups: int = 0
    group_size: int = 1
    pooler: bool = False

    @property
    def max_length(self) -> int:
        """The longest sequence that has positions."""
        return self.positions if self.padding_id is None else self.positions - self.padding_id - 1

    @classmethod
    def bert(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """Make the config from a `BertConfig` of transformers, given as a dictionary.

        Raises:
            ModelFormatError: The model is a decoder, or its positions are not absolute.
        """
        if raw.get("is_decoder"):
            raise ModelFormatError(
                f'expected "is_decoder" to be false; found {raw["is_decoder"]!r}: positions see only earlier ones.'
            )
        check_positions(raw)
        return cls(
            vocab_size=raw["vocab_size"],
            hidden_size=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=raw["num_attention_heads"],
            intermediate_size=raw["intermediate_size"],
            act=activation_of(raw, "hidden_act"),
            epsilon=raw["layer_norm_eps"],
            positions=raw["max_position_embeddings"],
            token_types=raw.get("type_vocab_size", 0),
            pooler=pooler,
        )

    @classmethod
    def roberta(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """Make the config from a `RobertaConfig`, `XLMRobertaConfig` or `CamembertConfig`."""
        return cls(**{**vars(cls.bert(raw, pooler=pooler)), "padding_id": raw["pad_token_id"]})

    @classmethod
    def mpnet(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """Make the config from an `MPNetConfig`; the padding id is 1 whatever the config says, as in transformers."""
        changes = {"padding_id": 1, "token_types": 0, "relative_bias": True}
        return cls(**{**vars(cls.bert(raw, pooler=pooler)), **changes})

    @classmethod
    def electra(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """Make the config from an `ElectraConfig` (Clark et al., 2020)."""
        narrow = raw["embedding_size"] if raw["embedding_size"] != raw["hidden_size"] else None
        return cls(**{**vars(cls.bert(raw, pooler=pooler)), "embedding_size": narrow})

    @classmethod
    def albert(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """Make the config from an `AlbertConfig` (Lan et al., 2020)."""
        changes = {
            "embedding_size": raw["embedding_size"],
            "groups": raw["num_hidden_groups"],
            "group_size": raw["inner_group_num"],
        }
        return cls(**{**vars(cls.bert(raw, pooler=pooler)), **changes})

    @classmethod
    def distilbert(cls, raw: Mapping[str, Any], *, pooler: bool) -> BertConfig:
        """Make the config from a `DistilBertConfig`."""
        return cls(
            vocab_size=raw["vocab_size"],
            hidden_size=raw["dim"],
            layers=raw["n_layers"],
            heads=raw["n_heads"],
            intermediate_size=raw["hidden_dim"],
            act=activation_of(raw, "activation"),
            epsilon=1e-12,
            positions=raw["max_position_embeddings"],
            pooler=pooler,
        )


def check_positions(raw: Mapping[str, Any]) -> None:
    """Check that positions are absolute; neither m2v-distill nor transformers 5 computes others.

    Raises:
        ModelFormatError: They are not absolute.
    """
    found = raw.get("position_embedding_type")
    if found not in (None, "absolute"):
        raise ModelFormatError(
            f'expected "position_embedding_type" to be "absolute"; found {found!r}, which transformers 5 '
            f"ignores. Choose another teacher."
        )


class Bert(FlaxEncoder):
    """The encoder of a `BertConfig`."""

    def __init__(self, config: BertConfig) -> None:
        self.config = config
        size = config.embedding_size or config.hidden_size
        self.token_embedding = Embedding(config.vocab_size, size)
        self.position_embedding = Embedding(config.positions, size)
        if config.token_types:
            self.token_type_embedding = Embedding(config.token_types, size)
        self.norm = LayerNorm(size, config.epsilon)
        if config.embedding_size:
            self.project = Dense(config.embedding_size, config.hidden_size)
        if config.groups:
            self.groups = nnx.List(nnx.List(_blocks(config, config.group_size)) for _ in range(config.groups))
        else:
            self.blocks = nnx.List(_blocks(config, config.layers))
        if config.relative_bias:
            self.relative = Embedding(RELATIVE_BUCKETS, config.heads)
        if config.pooler:
            self.pooler = Dense(config.hidden_size, config.hidden_size)

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The output of the embedding layer and of each block."""
        hidden = self.token_embedding(ids) + self.position_embedding(self._positions(ids))
        if self.config.token_types:
            hidden = hidden + self.token_type_embedding(jnp.zeros((), jnp.int32))
        hidden = self.norm(hidden)
        states = [self.project(hidden) if self.config.embedding_size else hidden]
        bias = relative_bias(self.relative, ids.shape[1]) if self.config.relative_bias else None
        for block in self._chain():
            states.append(block(states[-1], mask, bias))
        return states

    def _positions(self, ids: Int[Array, "B L"]) -> Int[Array, "*shape"]:
        padding = self.config.padding_id
        if padding is None:
            return jnp.arange(ids.shape[1])
        real = ids != padding
        positions: Array = jnp.cumsum(real, axis=1) * real + padding
        return positions

    def _chain(self) -> list[PostNormBlock]:
        """The blocks in the order in which a text passes through them."""
        layers, groups = self.config.layers, self.config.groups
        if not groups:
            return list(self.blocks)
        # The quotient is rounded as in transformers.
        return [block for layer in range(layers) for block in self.groups[int(layer / (layers / groups))]]


def _blocks(config: BertConfig, count: int) -> list[PostNormBlock]:
    return [
        PostNormBlock(
            hidden_size=config.hidden_size,
            heads=config.heads,
            intermediate_size=config.intermediate_size,
            act=config.act,
            epsilon=config.epsilon,
        )
        for _ in range(count)
    ]


#: Tensors that the encoder does not use: buffers and task heads.
_HEADS = (
    r"embeddings\.(position|token_type)_ids",
    r"(cls|lm_head|classifier|qa_outputs|dropout|pre_classifier)\..*",
    r"(discriminator_predictions|generator_predictions|generator_lm_head|predictions|sop_classifier)\..*",
    r"vocab_(transform|layer_norm|projector)\..*",
    r"(roberta|bert|camembert|mpnet|distilbert|electra|albert)\.embeddings\.position_ids",
)

_POOLER = linear("pooler.dense", "pooler")

BERT = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "token_embedding"),
        *embed("embeddings.position_embeddings", "position_embedding"),
        *embed("embeddings.token_type_embeddings", "token_type_embedding"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear("embeddings_project", "project"),
        *linear("encoder.layer.{i}.attention.self.query", "blocks.{i}.query"),
        *linear("encoder.layer.{i}.attention.self.key", "blocks.{i}.key"),
        *linear("encoder.layer.{i}.attention.self.value", "blocks.{i}.value"),
        *linear("encoder.layer.{i}.attention.output.dense", "blocks.{i}.out"),
        *norm("encoder.layer.{i}.attention.output.LayerNorm", "blocks.{i}.attention_norm"),
        *linear("encoder.layer.{i}.intermediate.dense", "blocks.{i}.up"),
        *linear("encoder.layer.{i}.output.dense", "blocks.{i}.down"),
        *norm("encoder.layer.{i}.output.LayerNorm", "blocks.{i}.output_norm"),
        *_POOLER,
    ),
    prefixes=("", "bert.", "roberta.", "electra.", "model.", "0.auto_model."),
    ignored=_HEADS,
)

MPNET = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "token_embedding"),
        *embed("embeddings.position_embeddings", "position_embedding"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear("encoder.layer.{i}.attention.attn.q", "blocks.{i}.query"),
        *linear("encoder.layer.{i}.attention.attn.k", "blocks.{i}.key"),
        *linear("encoder.layer.{i}.attention.attn.v", "blocks.{i}.value"),
        *linear("encoder.layer.{i}.attention.attn.o", "blocks.{i}.out"),
        *norm("encoder.layer.{i}.attention.LayerNorm", "blocks.{i}.attention_norm"),
        *linear("encoder.layer.{i}.intermediate.dense", "blocks.{i}.up"),
        *linear("encoder.layer.{i}.output.dense", "blocks.{i}.down"),
        *norm("encoder.layer.{i}.output.LayerNorm", "blocks.{i}.output_norm"),
        *embed("encoder.relative_attention_bias", "relative"),
        *_POOLER,
    ),
    prefixes=("", "mpnet.", "model.", "0.auto_model."),
    ignored=_HEADS,
)

_ALBERT_BLOCK = "encoder.albert_layer_groups.{i}.albert_layers.{i}."

ALBERT = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "token_embedding"),
        *embed("embeddings.position_embeddings", "position_embedding"),
        *embed("embeddings.token_type_embeddings", "token_type_embedding"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear("encoder.embedding_hidden_mapping_in", "project"),
        *linear(_ALBERT_BLOCK + "attention.query", "groups.{i}.{i}.query"),
        *linear(_ALBERT_BLOCK + "attention.key", "groups.{i}.{i}.key"),
        *linear(_ALBERT_BLOCK + "attention.value", "groups.{i}.{i}.value"),
        *linear(_ALBERT_BLOCK + "attention.dense", "groups.{i}.{i}.out"),
        *norm(_ALBERT_BLOCK + "attention.LayerNorm", "groups.{i}.{i}.attention_norm"),
        *linear(_ALBERT_BLOCK + "ffn", "groups.{i}.{i}.up"),
        *linear(_ALBERT_BLOCK + "ffn_output", "groups.{i}.{i}.down"),
        *norm(_ALBERT_BLOCK + "full_layer_layer_norm", "groups.{i}.{i}.output_norm"),
        *linear("pooler", "pooler"),
    ),
    prefixes=("", "albert.", "model.", "0.auto_model."),
    ignored=_HEADS,
)

DISTILBERT = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "token_embedding"),
        *embed("embeddings.position_embeddings", "position_embedding"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear("transformer.layer.{i}.attention.q_lin", "blocks.{i}.query"),
        *linear("transformer.layer.{i}.attention.k_lin", "blocks.{i}.key"),
        *linear("transformer.layer.{i}.attention.v_lin", "blocks.{i}.value"),
        *linear("transformer.layer.{i}.attention.out_lin", "blocks.{i}.out"),
        *norm("transformer.layer.{i}.sa_layer_norm", "blocks.{i}.attention_norm"),
        *linear("transformer.layer.{i}.ffn.lin1", "blocks.{i}.up"),
        *linear("transformer.layer.{i}.ffn.lin2", "blocks.{i}.down"),
        *norm("transformer.layer.{i}.output_layer_norm", "blocks.{i}.output_norm"),
    ),
    prefixes=("", "distilbert.", "model.", "0.auto_model."),
    ignored=_HEADS,
)
