"""Parts of the BERT family; what it computes is tested in test_families.py."""

from __future__ import annotations

import numpy as np

from m2v_distill.teacher.bert import BertConfig, relative_buckets


def test_relative_buckets_by_hand() -> None:
    assert relative_buckets(np.array([[0, -1, -7, -8, -15, -16, -127, -500]])).tolist() == [[0, 1, 7, 8, 9, 10, 15, 15]]
    assert relative_buckets(np.array([[1, 8, 500]])).tolist() == [[17, 24, 31]]


def test_longest_sequence() -> None:
    sizes = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    raw = {
        **sizes,
        "intermediate_size": 4,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 514,
    }
    assert BertConfig.bert(raw, pooler=False).max_length == 514
    assert BertConfig.roberta({**raw, "pad_token_id": 1}, pooler=False).max_length == 512
    assert BertConfig.mpnet({**raw, "pad_token_id": 1}, pooler=False).max_length == 512
