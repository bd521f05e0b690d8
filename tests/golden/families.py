"""Tiny teachers of random weights: the cases of the parity tests, by name.

Kept apart from the script that makes the golden files, so that the tests which read them need no PyTorch.
"""

from __future__ import annotations

from typing import Any

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

#: name -> (transformers' model class, its config class, the config's keywords)
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertModel", "BertConfig", SMALL),
    "bert-tanh-gelu": ("BertModel", "BertConfig", {**SMALL, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5}),
    "bert-with-head": ("BertForMaskedLM", "BertConfig", SMALL),
    "roberta": ("RobertaModel", "RobertaConfig", {**SMALL, "pad_token_id": 1, "type_vocab_size": 1}),
    "xlm-roberta": ("XLMRobertaModel", "XLMRobertaConfig", {**SMALL, "pad_token_id": 1, "type_vocab_size": 1}),
    "camembert": ("CamembertModel", "CamembertConfig", {**SMALL, "pad_token_id": 1, "type_vocab_size": 1}),
    "distilbert": ("DistilBertModel", "DistilBertConfig", DISTIL),
    "distilbert-relu": ("DistilBertModel", "DistilBertConfig", {**DISTIL, "activation": "relu"}),
    "mpnet": ("MPNetModel", "MPNetConfig", {**SMALL, "pad_token_id": 1}),
}

#: Cases whose weights and expected outputs are stored; the others are live only.
GOLDEN_CASES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet")

TOLERANCE = 2e-4
