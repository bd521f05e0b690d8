"""What is special in DeBERTa; what it computes is tested in test_families.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from checkpoints import rewrite, vectors
from m2v_core import ModelFormatError
from m2v_distill.teacher.families.deberta import relative_rows
from m2v_distill.teacher.teacher import Teacher

Make = Callable[..., Path]


def test_checkpoints_of_pretraining(make_teacher: Make) -> None:
    folder = make_teacher("deberta-v3")
    expected = vectors(folder)
    extra = {
        "deberta.embeddings.position_embeddings.weight": np.ones((40, 24), np.float32),
        "deberta.embeddings.position_ids": np.arange(40)[None],
        "lm_predictions.lm_head.bias": np.ones(60, np.float32),
        "mask_predictions.dense.weight": np.ones((24, 24), np.float32),
        "pooler.dense.weight": np.ones((24, 24), np.float32),
    }
    rewrite(folder, lambda tensors: {f"deberta.{name}": tensor for name, tensor in tensors.items()} | extra)
    assert np.array_equal(vectors(folder), expected)


def test_position_embeddings_are_needed_where_they_are_used(make_teacher: Make) -> None:
    folder = make_teacher("deberta-c2p")
    assert Teacher.from_pretrained(folder).max_length == 40
    name = "embeddings.position_embeddings.weight"
    rewrite(folder, lambda tensors: {other: tensors[other] for other in tensors if other != name})
    with pytest.raises(ModelFormatError, match=f"expected {name}; found no such tensor"):
        Teacher.from_pretrained(folder)


def test_types_of_attention_may_be_one_string(make_teacher: Make) -> None:
    folder = make_teacher("deberta-v3")
    expected = vectors(folder)
    assert set_config(folder, pos_att_type="p2c|c2p")["pos_att_type"] == ["p2c", "c2p"]
    assert np.array_equal(vectors(folder), expected)


def set_config(folder: Path, **changes: object) -> dict:
    before = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**before, **changes}))
    return before


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"pos_att_type": ["c2p", "p2p"]}, "pos_att_type.*p2p"),
        ({"norm_rel_ebd": "batch_norm"}, "norm_rel_ebd.*batch_norm"),
        ({"conv_kernel_size": 4}, "conv_kernel_size to be odd; found 4"),
        ({"conv_act": "mystery"}, "mystery"),
    ],
)
def test_a_config_that_we_cannot_compute(make_teacher: Make, changes: dict, part: str) -> None:
    folder = make_teacher("deberta-v2")
    set_config(folder, **changes)
    with pytest.raises(ModelFormatError, match=part):
        Teacher.from_pretrained(folder)


def test_only_the_rows_of_a_length_are_projected(make_teacher: Make) -> None:
    config = replace(Teacher.from_pretrained(make_teacher("deberta-v3")).encoder.config, buckets=0, max_distance=5)
    rows, which = relative_rows(config, 3)
    assert rows[which].tolist() == [[5, 4, 3], [6, 5, 4], [7, 6, 5]]
    assert len(rows) == 5
    far, which = relative_rows(config, 50)
    assert far.tolist() == list(range(10))
    assert (far[which[49, 0]], far[which[0, 49]]) == (9, 0)
