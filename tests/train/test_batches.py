from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from conftest import make_model
from m2v_core.ragged import Ragged
from m2v_train.data.samples import Samples
from m2v_train.data.tokens import tokenize
from m2v_train.engine.batches import BLOCK_BATCHES, BatchLoader
from training_texts import TEXTS


def samples_of(texts: list[str]) -> Samples:
    return Samples.of_texts(tokenize(make_model(), texts), np.arange(len(texts), dtype=np.int32))


@pytest.mark.parametrize("devices", [1, 3])
def test_a_block_holds_the_texts(devices: int) -> None:
    samples = samples_of(TEXTS[:50])
    loader = BatchLoader(samples, batch_size=16, n_devices=devices)
    order = np.random.default_rng(0).permutation(50)[:48]
    (block,) = loader.blocks(order)
    own = loader.samples_per_device
    assert block.n_batches == 3
    for i, batch in enumerate(np.split(order, 3)):
        assert block.targets[i, : len(batch)].tolist() == batch.tolist()
        assert block.valid[i].tolist() == [1.0] * 16 + [0.0] * (own * devices - 16)
        for place, text in enumerate(batch):
            device, number = divmod(place, own)
            mine = (block.tokens.texts[i, device] == number) & (block.tokens.scale[i, device] > 0)
            ids = block.tokens.ids[i][block.tokens.columns[i, device][mine]]
            assert ids.tolist() == samples.texts.take(np.array([text])).values.tolist()
            np.testing.assert_allclose(block.tokens.scale[i, device][mine].sum(), 1 if len(ids) else 0, rtol=1e-5)


def test_blocks_of_some_samples() -> None:
    """Those that a split has selected, in their own order."""
    samples = samples_of(TEXTS).take(np.array([7, 3, 9]))
    (block,) = BatchLoader(samples, batch_size=2, n_devices=1).blocks(np.array([2, 0, 1]))
    assert block.targets.ravel().tolist() == [9, 7, 3, 0]
    assert block.valid.ravel().tolist() == [1, 1, 1, 0]


def test_dropout_leaves_a_token_of_each_text() -> None:
    samples = samples_of(TEXTS)
    loader = BatchLoader(samples, batch_size=len(TEXTS), n_devices=1, token_dropout=0.5)
    (block,) = loader.blocks(np.arange(300), np.random.default_rng(0))
    lengths = np.bincount(block.tokens.texts[0, 0][block.tokens.scale[0, 0] > 0], minlength=300)
    assert (lengths >= 1).all()
    assert 0.5 < lengths.sum() / len(samples.texts.values) < 0.65  # a few more than half: texts of one token keep it


def test_shapes_are_few() -> None:
    """Each shape is compiled for once: blocks of random batches share one."""
    loader = BatchLoader(samples_of(TEXTS), batch_size=20, n_devices=1)
    shapes = set()
    for seed in range(50):
        for block in loader.blocks(np.random.default_rng(seed).permutation(300)):
            shapes.add((block.tokens.columns.shape, block.tokens.ids.shape))
    assert len(shapes) <= 2


def test_many_texts_make_no_padded_matrices() -> None:
    """200,000 texts of 4 to 400 tokens: beside their ids, memory is that of a block."""
    lengths = np.random.default_rng(0).choice([4, 400], p=[0.99, 0.01], size=200_000)
    texts = Ragged.with_lengths(np.zeros(lengths.sum(), np.int32), lengths)
    samples = Samples.of_texts(texts, np.arange(len(texts), dtype=np.int32))
    tracemalloc.start()
    try:
        loader = BatchLoader(samples, batch_size=512, n_devices=1)
        assert loader.shape.n_batches == BLOCK_BATCHES
        next(loader.blocks(np.arange(512 * 32)))
        assert tracemalloc.get_traced_memory()[1] < 40e6  # padded to 400, the texts would take 320 MB
    finally:
        tracemalloc.stop()
