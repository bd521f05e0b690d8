"""Our Flax modules compute what PyTorch computed, from the stored weights, family by family."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from conftest import GOLDEN
from golden.families import GOLDEN_CASES, TOLERANCE
from m2v_distill.teacher.teacher import Teacher

TEACHERS = GOLDEN / "teachers"


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_every_hidden_state_equals_pytorchs(case: str) -> None:
    expected = load_file(TEACHERS / case / "expected.safetensors")
    teacher = Teacher.from_pretrained(TEACHERS / case)
    mask = expected["mask"]
    states = teacher.encoder.hidden_states(jnp.asarray(expected["ids"], jnp.int32), jnp.asarray(mask))
    assert len(states) == sum(name.startswith("hidden.") for name in expected)
    for place, state in enumerate(states):
        reference = expected[f"hidden.{place}"][mask]
        np.testing.assert_allclose(np.asarray(state)[mask], reference, atol=TOLERANCE)
        assert np.abs(reference).max() > 0.5  # the tolerance means something
    assert teacher.has_pooler == ("pooled" in expected)
    if teacher.has_pooler:
        np.testing.assert_allclose(teacher.encoder.pool(states[-1]), expected["pooled"], atol=TOLERANCE)


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
        vectors = teacher.pooled(pooling).encode_ids(sequences, pad_id=pad_id, batch_tokens=20)
        np.testing.assert_allclose(vectors, reference, atol=TOLERANCE)


@pytest.mark.parametrize("case", ["albert", "deberta-v2", "deberta-c2p", "t5-gated"])
def test_bfloat16_kernels_and_rows_of_padding(case: str) -> None:
    module = Teacher.from_pretrained(TEACHERS / case).encoder
    ids = jnp.asarray(np.random.default_rng(0).integers(4, 60, (2, 20)), jnp.int32)
    mask = jnp.arange(20)[None] < jnp.array([[20], [0]])
    exact = module(ids, mask)
    graph, state = nnx.split(module)
    halved = jax.tree_util.tree_map_with_path(
        lambda path, x: x.astype(jnp.bfloat16) if "kernel" in jax.tree_util.keystr(path) else x, state
    )
    rough = nnx.merge(graph, halved)(ids, mask)
    assert rough.dtype == jnp.float32
    assert np.isfinite(exact).all()
    assert np.isfinite(rough).all()
    error = np.abs(np.asarray(rough - exact))[0]
    assert 1e-6 < error.mean() < 0.1
