"""Tiny teachers of random weights: the cases of the parity tests, by name.

Kept apart from the script that makes the golden files, so that the tests which read them need no PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A tiny random model: transformers' class of it and of its config, the config's keywords, where padding goes."""

    model: str
    config: str
    options: dict[str, Any]
    padding: str = "right"


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

#: ModernBERT with a window of 3 to either side; of its layers the first and the last are global.
MODERN = {
    **SMALL,
    "num_hidden_layers": 4,
    "intermediate_size": 32,
    "global_attn_every_n_layers": 3,
    "local_attention": 6,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}

#: ModernBERT with every bias, another pattern, a window of odd width, and rotary settings for each layer type.
MODERN_BIASED = {
    **MODERN,
    "num_hidden_layers": 3,
    "global_attn_every_n_layers": 2,
    "local_attention": 11,
    "norm_bias": True,
    "attention_bias": True,
    "mlp_bias": True,
    "norm_eps": 1e-2,
    "hidden_activation": "silu",
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
    },
}

#: Nomic BERT and GTE.
ROTARY = {**SMALL, "pad_token_id": 0, "type_vocab_size": 2}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 300.0, "factor": 2.0}

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
    "modernbert": Case("ModernBertModel", "ModernBertConfig", MODERN),
    "modernbert-biased": Case("ModernBertModel", "ModernBertConfig", MODERN_BIASED),
    "modernbert-left": Case("ModernBertForMaskedLM", "ModernBertConfig", MODERN, padding="left"),
    "nomic_bert": Case("NomicBertModel", "NomicBertConfig", ROTARY),
    "nomic_bert-dynamic": Case(
        "NomicBertModel",
        "NomicBertConfig",
        {**ROTARY, "max_position_embeddings": 16, "rope_parameters": DYNAMIC, "head_dim": 10, "hidden_act": "gelu"},
    ),
    "nomic_bert-with-head": Case(
        "NomicBertForMaskedLM", "NomicBertConfig", {**ROTARY, "layer_norm_eps": 1e-2, "type_vocab_size": 1}
    ),
    "gte": Case("GteModel", "GteConfig", {**ROTARY, "type_vocab_size": 0, "layer_norm_eps": 1e-2}),
    "gte-linear": Case(
        "GteModel",
        "GteConfig",
        {**ROTARY, "hidden_act": "relu", "rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 4.0}},
    ),
    "gte-with-pooler": Case("GteForSequenceClassification", "GteConfig", {**ROTARY, "type_vocab_size": 1}, "left"),
}

#: Cases whose weights and expected outputs are stored; the others are live only.
GOLDEN_CASES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet", "modernbert", "nomic_bert", "gte")

TOLERANCE = 2e-4
