"""Parts of the BERT family; what it computes is tested in test_families.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from checkpoints import rewrite, vectors
from m2v_distill.teacher.families.bert import BertConfig
from m2v_distill.teacher.teacher import Teacher


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


@pytest.mark.parametrize("case", ["electra", "albert"])
def test_prefixes_and_heads(make_teacher: Callable[..., Path], case: str) -> None:
    folder = make_teacher(case)
    expected = vectors(folder)
    heads = (
        "discriminator_predictions.dense.weight",
        "generator_lm_head.bias",
        "predictions.decoder.weight",
        "sop_classifier.classifier.bias",
        f"{case}.embeddings.position_ids",
    )
    extra = {name: np.ones(3, np.float32) for name in heads}
    rewrite(folder, lambda tensors: {f"{case}.{name}": tensor for name, tensor in tensors.items()} | extra)
    assert np.array_equal(vectors(folder), expected)


def test_alberts_layers_share_the_blocks_of_their_group(make_teacher: Callable[..., Path]) -> None:
    module = Teacher.from_pretrained(make_teacher("albert")).encoder
    assert module.config.layers == 3
    (a, b), (c, d) = module.groups
    assert [id(block) for block in module._chain()] == [id(block) for block in (a, b, a, b, c, d)]
