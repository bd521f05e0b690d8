"""What is special in T5; what it computes is tested in test_families.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from checkpoints import rewrite, vectors
from m2v_core import ModelFormatError
from m2v_distill.teacher.teacher import Teacher

Make = Callable[..., Path]


@pytest.mark.parametrize("prefix", ["", "transformer.", "0.auto_model."])
@pytest.mark.parametrize("names", [["shared"], ["encoder.embed_tokens"], ["shared", "encoder.embed_tokens"]])
def test_names_of_the_table_and_the_decoders_tensors(make_teacher: Make, names: list[str], prefix: str) -> None:
    folder = make_teacher("t5")
    expected = vectors(folder)

    def change(tensors):
        words = tensors.pop("shared.weight")
        decoder = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        extra = {decoder: words, "decoder.embed_tokens.weight": words, "lm_head.weight": words}
        named = {f"{name}.weight": words for name in names}
        return {prefix + name: tensor for name, tensor in {**tensors, **named, **extra}.items()}

    rewrite(folder, change)
    assert np.array_equal(vectors(folder), expected)


def test_without_the_table(make_teacher: Make) -> None:
    folder = make_teacher("t5")
    rewrite(folder, lambda tensors: {name: tensors[name] for name in tensors if name != "shared.weight"})
    with pytest.raises(ModelFormatError, match=r"expected encoder\.embed_tokens\.weight; found no such tensor"):
        Teacher.from_pretrained(folder)


def test_no_length_is_too_long(make_teacher: Make) -> None:
    assert Teacher.from_pretrained(make_teacher("t5")).max_length is None


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"is_decoder": True}, "is_decoder"),
        ({"dense_act_fn": "mystery"}, "found 'mystery'"),
        ({"model_type": "umt5"}, r"expected encoder\.block\.1\.layer\.0\.SelfAttention\.relative_attention_bias"),
    ],
)
def test_a_config_that_does_not_fit(make_teacher: Make, changes: dict, part: str) -> None:
    folder = make_teacher("t5")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ModelFormatError, match=part):
        Teacher.from_pretrained(folder)
