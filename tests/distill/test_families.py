"""Our Flax modules compute what PyTorch computed, from the stored weights, family by family."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from conftest import GOLDEN
from golden.families import GOLDEN_CASES, TOLERANCE
from m2v_distill.forward import embed_sequences
from m2v_distill.teacher import Teacher

TEACHERS = GOLDEN / "teachers"


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_every_hidden_state_equals_pytorchs(case: str) -> None:
    expected = load_file(TEACHERS / case / "expected.safetensors")
    teacher = Teacher.from_pretrained(TEACHERS / case)
    mask = expected["mask"]
    states = teacher.module.hidden_states(jnp.asarray(expected["ids"], jnp.int32), jnp.asarray(mask))
    assert len(states) == sum(name.startswith("hidden.") for name in expected)
    for place, state in enumerate(states):
        reference = expected[f"hidden.{place}"][mask]
        np.testing.assert_allclose(np.asarray(state)[mask], reference, atol=TOLERANCE)
        assert np.abs(reference).max() > 0.5  # the tolerance means something
    assert teacher.has_pooler == ("pooled" in expected)
    if teacher.has_pooler:
        np.testing.assert_allclose(teacher.module.pool(states[-1]), expected["pooled"], atol=TOLERANCE)


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_batches_of_sequences_give_the_same(case: str) -> None:
    expected = load_file(TEACHERS / case / "expected.safetensors")
    teacher = Teacher.from_pretrained(TEACHERS / case)
    rows = list(zip(expected["ids"], expected["mask"], strict=True))
    sequences = [row[keep].tolist() for row, keep in rows]
    pad_id = next((int(row[~keep][0]) for row, keep in rows if not keep.all()), 0)
    last = expected[max((name for name in expected if name.startswith("hidden.")), key=lambda name: int(name[7:]))]
    real = [state[keep] for state, keep in zip(last, expected["mask"], strict=True)]
    references = {
        "mean": [state.mean(axis=0) for state in real],
        "first": [state[0] for state in real],
        "last": [state[-1] for state in real],
    }
    if "pooled" in expected:
        references["pooler"] = expected["pooled"]
    for pooling, reference in references.items():
        vectors = embed_sequences(teacher.pooled(pooling), sequences, pad_id=pad_id, batch_tokens=20)
        np.testing.assert_allclose(vectors, reference, atol=TOLERANCE)
