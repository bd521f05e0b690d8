"""Tiny teachers of random weights: the cases of the parity tests, by name.

Kept apart from the script that makes the golden files, so that the tests which read them need no PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A tiny random model: transformers' class of it and of its config, the config's keywords, where padding goes.

    `std` is that of its matrices. Scores that T5 does not scale grow with its square; where they are large, a softmax
    makes much of rounding errors, PyTorch's and ours.
    """

    model: str
    config: str
    options: dict[str, Any]
    padding: str = "right"
    std: float = 0.3


SMALL = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "initializer_range": 0.5,
}
DISTIL = {
    "vocab_size": 60,
    "dim": 24,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 40,
    "max_position_embeddings": 40,
    "initializer_range": 0.5,
}

#: Keywords of RoBERTa and its kin.
FAIRSEQ = {**SMALL, "pad_token_id": 1, "type_vocab_size": 1}

#: Three layers that use two groups of two blocks.
SHARED = {
    **SMALL,
    "embedding_size": 10,
    "num_hidden_layers": 3,
    "num_hidden_groups": 2,
    "inner_group_num": 2,
    "intermediate_size": 16,
}

#: As in version 3 of DeBERTa: log buckets, one projection for content and positions, no position embeddings.
DEBERTA3 = {
    **SMALL,
    "layer_norm_eps": 1e-5,
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_buckets": 8,
    "max_relative_positions": 30,
}
#: As in version 2: a convolution too.
DEBERTA2 = {**DEBERTA3, "conv_kernel_size": 3, "conv_act": "gelu"}
#: Relative positions beyond the table, and projections of their own.
DEBERTA_OWN = {
    **DEBERTA3,
    "share_att_key": False,
    "norm_rel_ebd": "none",
    "position_buckets": -1,
    "max_relative_positions": 12,
}

T5 = {
    "vocab_size": 60,
    "d_model": 24,
    "d_kv": 6,
    "d_ff": 40,
    "num_layers": 3,
    "num_heads": 5,
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 20,
}

CASES: dict[str, Case] = {
    "bert": Case("BertModel", "BertConfig", SMALL),
    "bert-tanh-gelu": Case("BertModel", "BertConfig", {**SMALL, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5}),
    "bert-with-head": Case("BertForMaskedLM", "BertConfig", SMALL),
    "roberta": Case("RobertaModel", "RobertaConfig", FAIRSEQ),
    "xlm-roberta": Case("XLMRobertaModel", "XLMRobertaConfig", FAIRSEQ),
    "camembert": Case("CamembertModel", "CamembertConfig", FAIRSEQ),
    "distilbert": Case("DistilBertModel", "DistilBertConfig", DISTIL),
    "distilbert-relu": Case("DistilBertModel", "DistilBertConfig", {**DISTIL, "activation": "relu"}),
    "mpnet": Case("MPNetModel", "MPNetConfig", {**SMALL, "pad_token_id": 1}),
    "electra": Case("ElectraModel", "ElectraConfig", {**SMALL, "embedding_size": 10}),
    "electra-wide": Case("ElectraModel", "ElectraConfig", {**SMALL, "embedding_size": 24, "layer_norm_eps": 1e-5}),
    "electra-with-head": Case("ElectraForPreTraining", "ElectraConfig", {**SMALL, "embedding_size": 10}),
    "albert": Case("AlbertModel", "AlbertConfig", SHARED),
    "albert-one-group": Case(
        "AlbertModel", "AlbertConfig", {**SMALL, "embedding_size": 24, "num_hidden_layers": 4, "hidden_act": "gelu"}
    ),
    "albert-with-head": Case("AlbertForMaskedLM", "AlbertConfig", {**SHARED, "num_hidden_layers": 5}),
    "deberta-v2": Case("DebertaV2Model", "DebertaV2Config", DEBERTA2),
    "deberta-v2-left": Case("DebertaV2Model", "DebertaV2Config", {**DEBERTA2, "conv_kernel_size": 5}, padding="left"),
    "deberta-v2-groups": Case(
        "DebertaV2Model", "DebertaV2Config", {**SMALL, "conv_kernel_size": 3, "conv_groups": 4, "type_vocab_size": 2}
    ),
    "deberta-v3": Case("DebertaV2Model", "DebertaV2Config", DEBERTA3),
    "deberta-v3-with-head": Case("DebertaV2ForSequenceClassification", "DebertaV2Config", DEBERTA3),
    "deberta-own-projections": Case("DebertaV2Model", "DebertaV2Config", DEBERTA_OWN),
    "deberta-c2p": Case(
        "DebertaV2Model",
        "DebertaV2Config",
        {**DEBERTA_OWN, "pos_att_type": "c2p", "position_buckets": 6, "position_biased_input": True},
    ),
    "deberta-p2c": Case(
        "DebertaV2Model",
        "DebertaV2Config",
        {**DEBERTA_OWN, "pos_att_type": "p2c", "max_relative_positions": -1, "embedding_size": 10},
    ),
    "deberta-content-alone": Case("DebertaV2Model", "DebertaV2Config", {**DEBERTA3, "pos_att_type": None}),
    "deberta-absolute": Case(
        "DebertaV2Model",
        "DebertaV2Config",
        {**DEBERTA3, "relative_attention": False, "position_biased_input": True, "embedding_size": 10},
    ),
    "t5": Case("T5EncoderModel", "T5Config", T5, std=0.25),
    "t5-gated": Case(
        "T5EncoderModel",
        "T5Config",
        {**T5, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-3, "relative_attention_num_buckets": 32},
        padding="left",
        std=0.25,
    ),
    "t5-gated-silu": Case(
        "T5EncoderModel", "T5Config", {**T5, "d_kv": 16, "feed_forward_proj": "gated-silu"}, std=0.25
    ),
    "mt5": Case("MT5EncoderModel", "MT5Config", T5, std=0.25),
    "umt5": Case("UMT5EncoderModel", "UMT5Config", T5, std=0.25),
    "umt5-relu": Case("UMT5EncoderModel", "UMT5Config", {**T5, "feed_forward_proj": "relu"}, padding="left", std=0.25),
}

#: Cases whose weights and expected outputs are stored; the others are live only.
GOLDEN_CASES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet")
GOLDEN_CASES += ("electra", "albert", "deberta-v2", "deberta-v3", "deberta-c2p", "t5", "t5-gated", "umt5")

TOLERANCE = 2e-4
