from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from m2v_core import InvalidInputError
from m2v_distill.fit import design as module
from m2v_distill.fit.design import Design, spooled

MESH = Mesh(np.array(jax.devices()[:1]), ("columns",))

#: Of ids 0 to 9, so that some tokens are in no text.
TEXTS = st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=40)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chunks of 16 tokens and 5 texts."""
    monkeypatch.setattr(module, "BATCH_TOKENS", 16)
    monkeypatch.setattr(module, "BATCH_TEXTS", 5)
    jax.clear_caches()  # compiled functions hold the size
    yield
    jax.clear_caches()


def dense(texts: list[list[int]], n_tokens: int) -> np.ndarray:
    """X, of float64 and not centred."""
    shares = np.zeros((len(texts), n_tokens))
    for row, text in enumerate(texts):
        for token in text:
            shares[row, token] += 1 / len(text)
    return shares


def parts(array: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(array, np.cumsum(sizes)[np.cumsum(sizes) < len(array)])


@given(texts=TEXTS, n_tokens=st.integers(10, 13), width=st.integers(1, 5), sizes=st.lists(st.integers(1, 7)))
@settings(max_examples=40, deadline=None)
def test_products(texts: list[list[int]], n_tokens: int, width: int, sizes: list[int]) -> None:
    """Against float64: repeated and missing tokens, empty texts, more than a batch."""
    random = np.random.default_rng(len(texts))
    table = random.normal(size=(n_tokens, width)).astype(np.float32)
    targets = (random.normal(size=(len(texts), width)) + 3).astype(np.float32)
    shares = dense(texts, n_tokens)
    centred = shares - shares.mean(axis=0)
    design = Design.of(texts, n_tokens=n_tokens, mesh=MESH)
    assert len(design) == len(texts)
    np.testing.assert_allclose(design.mean, shares.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(design.gram(table), centred.T @ centred @ table, atol=2e-5)
    cross = design.cross(parts(targets, sizes), width)
    np.testing.assert_allclose(cross, centred.T @ (targets - targets.mean(axis=0)), atol=1e-4)
    absent = sorted(set(range(n_tokens)) - {token for text in texts for token in text})
    assert not design.gram(table)[absent].any()
    assert not cross[absent].any()
    assert not design.scale[absent].any()
    single = [sorted(set(text)) for text in texts]
    np.testing.assert_allclose(
        Design.of(single, n_tokens=n_tokens, mesh=MESH).scale,
        (dense(single, n_tokens) ** 2).sum(axis=0),
        rtol=1e-6,
    )


@given(texts=TEXTS)
@settings(max_examples=40, deadline=None)
def test_batches_hold_each_text_once(texts: list[list[int]]) -> None:
    found = []
    for rows, batch in Design.of(texts, n_tokens=10, mesh=MESH).batches():
        assert (len(batch.ids), rows.start) == (16, len(found))
        assert 1 <= rows.stop - rows.start <= 5
        assert (np.diff(batch.rows) >= 0).all()
        real = batch.shares > 0
        found += [batch.ids[real & (batch.rows == row)].tolist() for row in range(rows.stop - rows.start)]
        np.testing.assert_allclose(batch.shares[real], [1 / len(found[rows.start + row]) for row in batch.rows[real]])
    assert found == texts


def test_of_a_file(tmp_path: Path) -> None:
    texts = [[1, 2, 2], [], [3] * 16, *([token, 1] for token in range(10)), []]
    on_disk = spooled(iter(texts), tmp_path, n_tokens=10, mesh=MESH)
    in_memory = Design.of(texts, n_tokens=10, mesh=MESH)
    assert isinstance(on_disk.texts.values, np.memmap)
    np.testing.assert_array_equal(on_disk.texts.values, in_memory.texts.values)
    np.testing.assert_array_equal(on_disk.texts.offsets, in_memory.texts.offsets)
    for name in ("mean", "scale"):
        np.testing.assert_array_equal(getattr(on_disk, name), getattr(in_memory, name))
    table = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    assert np.array_equal(on_disk.gram(table), in_memory.gram(table))
    assert (
        len(spooled([[1] * 40], tmp_path, n_tokens=10, mesh=MESH).texts.values) == 16
    )  # cut: a text fits into a batch


@pytest.mark.parametrize("texts", [[], [[], []]])
def test_no_tokens(tmp_path: Path, texts: list[list[int]]) -> None:
    with pytest.raises(InvalidInputError, match="found none"):
        spooled(texts, tmp_path, n_tokens=10, mesh=MESH)


def test_memory_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six times as many texts, by 14 MB of ids more, need no more memory."""
    monkeypatch.setattr(module, "BATCH_TOKENS", 4096)
    monkeypatch.setattr(module, "BATCH_TEXTS", 512)
    jax.clear_caches()
    table = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)

    def peak(number: int) -> int:
        folder = tmp_path / str(number)
        folder.mkdir(exist_ok=True)
        tracemalloc.start()
        design = spooled(([i % 50] * 90 for i in range(number)), folder, n_tokens=50, mesh=MESH)
        gram = design.gram(table)
        cross = design.cross((np.ones((1000, 4), np.float32) for _ in range(0, number, 1000)), 4)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert gram.any()
        assert np.abs(cross).max() < 1e-4 * number  # of constant targets
        return size

    peak(2000)  # compiles
    small = peak(8_000)
    assert (tmp_path / "8000/ids").stat().st_size == 8_000 * 90 * 4
    assert peak(48_000) < small + 4_000_000  # JAX may have 32 chunks under way
