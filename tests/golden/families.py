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
}

#: Cases whose weights and expected outputs are stored; the others are live only.
GOLDEN_CASES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet")

TOLERANCE = 2e-4
