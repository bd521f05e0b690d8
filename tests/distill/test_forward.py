from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from conftest import GOLDEN
from m2v_core import InvalidInputError
from m2v_distill import Teacher


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher.from_pretrained(GOLDEN / "teachers/bert")


def test_order_and_neighbours_do_not_matter(teacher: Teacher) -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(1, 60, rng.integers(1, 30)).tolist() for _ in range(50)]
    whole = teacher.encode_ids(sequences, batch_tokens=100)
    alone = np.concatenate([teacher.encode_ids([sequence]) for sequence in sequences[:12]])
    np.testing.assert_allclose(alone, whole[:12], atol=1e-5)
    np.testing.assert_allclose(teacher.encode_ids(sequences[::-1], batch_tokens=300)[::-1], whole, atol=1e-5)
    assert whole.dtype == np.float32


@pytest.mark.parametrize("width", [3, 8, 14, 15, 16, 17])
def test_compiled_for_one_sequence(teacher: Teacher, width: int) -> None:
    """Step by step and as one program: jaxlib 0.10.2 merges short attention wrongly if it is let (see `attention`)."""
    ids = np.random.default_rng(width).integers(1, 60, (1, width)).astype(np.int32)
    steps = teacher.encoder(jnp.asarray(ids), jnp.ones(ids.shape, bool))
    np.testing.assert_allclose(teacher.encode_ids(ids.tolist()), np.asarray(steps).mean(axis=1), atol=1e-5)


def test_no_sequences(teacher: Teacher) -> None:
    assert teacher.encode_ids([]).shape == (0, 24)


@pytest.mark.parametrize("sequences", [[[]], [[1], []], [list(range(41))]])
def test_lengths_are_checked(teacher: Teacher, sequences: list[list[int]]) -> None:
    with pytest.raises(InvalidInputError, match="1 to 40 ids"):
        teacher.encode_ids(sequences)


def test_ids_are_checked(teacher: Teacher) -> None:
    for wrong in (60, -1):
        with pytest.raises(InvalidInputError, match="0 to 59"):
            teacher.encode_ids([[1, wrong]])


def test_a_teacher_without_a_pooler() -> None:
    with pytest.raises(InvalidInputError, match="no pooler"):
        Teacher.from_pretrained(GOLDEN / "teachers/distilbert", pooling="pooler")
    with pytest.raises(InvalidInputError, match="no pooler"):
        Teacher.from_pretrained(GOLDEN / "teachers/distilbert").pooled("pooler")


def test_progress(teacher: Teacher, capsys) -> None:
    teacher.encode_ids([[1], [2]], show_progress_bar=True)
    out, err = capsys.readouterr()
    assert not out
    assert "2/2" in err
    teacher.encode_ids([[1], [2]], show_progress_bar=None)  # no terminal here
    assert capsys.readouterr() == ("", "")


def test_shapes_are_checked_for_real(teacher: Teacher) -> None:
    """The jaxtyping annotations are enforced while these tests run (see the root conftest)."""
    from m2v_distill.fit.pca import apply_pca

    with pytest.raises(TypeError):
        apply_pca(np.ones(3, np.float32), 1)
