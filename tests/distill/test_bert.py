"""Our Flax modules compute what PyTorch computed, from the stored weights."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from conftest import GOLDEN
from golden.families import GOLDEN_CASES, TOLERANCE
from m2v_distill.forward import embed_sequences
from m2v_distill.teacher import Teacher
from m2v_distill.teacher.bert import BertConfig, relative_buckets

TEACHERS = GOLDEN / "teachers"


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_every_hidden_state_equals_pytorchs(case: str) -> None:
    expected = load_file(TEACHERS / case / "expected.safetensors")
    teacher = Teacher.from_pretrained(TEACHERS / case)
    ids, mask = jnp.asarray(expected["ids"], jnp.int32), jnp.asarray(expected["mask"])
    states = teacher.module.hidden_states(ids, mask)
    assert len(states) == 3
    for place, state in enumerate(states):
        np.testing.assert_allclose(state, expected[f"hidden.{place}"], atol=TOLERANCE)
        assert np.abs(expected[f"hidden.{place}"]).max() > 0.5  # the tolerance means something
    assert teacher.has_pooler == ("pooled" in expected)
    if teacher.has_pooler:
        np.testing.assert_allclose(teacher.module.pool(states[-1]), expected["pooled"], atol=TOLERANCE)


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_batches_of_sequences_give_the_same(case: str) -> None:
    expected = load_file(TEACHERS / case / "expected.safetensors")
    teacher = Teacher.from_pretrained(TEACHERS / case)
    sequences = [row[keep].tolist() for row, keep in zip(expected["ids"], expected["mask"], strict=True)]
    pad_id = 0 if teacher.module.config.padding_id is None else 1
    last = expected["hidden.2"]
    references = {
        "mean": [state[keep].mean(axis=0) for state, keep in zip(last, expected["mask"], strict=True)],
        "first": last[:, 0],
        "last": [state[keep][-1] for state, keep in zip(last, expected["mask"], strict=True)],
    }
    if "pooled" in expected:
        references["pooler"] = expected["pooled"]
    for pooling, reference in references.items():
        for batch_size in (1, 2, 64):
            vectors = embed_sequences(teacher, sequences, pooling=pooling, pad_id=pad_id, batch_size=batch_size)
            np.testing.assert_allclose(vectors, reference, atol=TOLERANCE)


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
