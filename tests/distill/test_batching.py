from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2v_distill.teacher.engine.batching import batch_rows, bucket_length, padded, plan

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=400).map(np.array)


@given(st.integers(1, 5000))
def test_buckets_waste_little(length: int) -> None:
    bucket = bucket_length(length)
    assert length <= bucket
    assert bucket == bucket_length(bucket)
    assert bucket < length * 1.25 or bucket == length


@given(LENGTHS, st.integers(1, 5000), st.integers(1, 8))
def test_every_sequence_has_one_place(lengths: np.ndarray, batch_tokens: int, copies: int) -> None:
    batches = plan(lengths, batch_tokens=batch_tokens, copies=copies)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(lengths)))
    for batch in batches:
        assert 0 < len(batch.rows) <= batch.height
        assert lengths[batch.rows].max() <= batch.width
        assert batch.height % copies == 0
    assert all(len(one.rows) == one.height for one, after in pairwise(batches) if one.width == after.width)
    alone = plan(lengths, batch_tokens=batch_tokens)
    assert {batch.width: batch.height // copies for batch in batches} == {batch.width: batch.height for batch in alone}
    heights = {batch.width: batch.height for batch in batches}
    assert all(batch.height == heights[batch.width] for batch in batches)


def test_no_sequences() -> None:
    assert plan(np.array([], np.int64), batch_tokens=9) == []


def test_no_width_is_beyond_the_longest() -> None:
    assert {batch.width for batch in plan(np.array([29, 30]), batch_tokens=99, longest=31)} == {31}


def test_few_sequences_make_few_programs() -> None:
    lengths = np.random.default_rng(0).integers(5, 40, 100)
    assert len({batch.width for batch in plan(lengths, batch_tokens=1024)}) == 1


@pytest.mark.parametrize("batch_tokens", [1024, 32768])
@pytest.mark.parametrize(("low", "high", "count"), [(3, 4, 0), (4, 12, 1500), (4, 60, 2000)])
def test_a_vocabulary_wastes_little(batch_tokens: int, low: int, high: int, count: int) -> None:
    """Single tokens, and some phrases of several."""
    lengths = np.concatenate([np.full(29000, 3), np.random.default_rng(0).integers(low, high, count)])
    batches = plan(lengths, batch_tokens=batch_tokens)
    computed = sum(batch.height * batch.width for batch in batches)
    assert lengths.sum() > 0.9 * computed
    assert len({batch.width for batch in batches}) <= 12


@given(LENGTHS)
def test_batches_hold_the_sequences(lengths: np.ndarray) -> None:
    sequences = [list(range(1, length + 1)) for length in lengths]
    for batch in plan(lengths, batch_tokens=512):
        ids, mask = padded(batch, sequences, -7)
        assert ids.shape == mask.shape == (batch.height, batch.width)
        assert (ids[~mask] == -7).all()
        for place, row in enumerate(batch.rows):
            assert ids[place][mask[place]].tolist() == sequences[row]


def test_rows_are_bounded() -> None:
    assert batch_rows(1, 1024) == batch_rows(3, 1024) == 256
    assert batch_rows(5000, 1024) == 1
