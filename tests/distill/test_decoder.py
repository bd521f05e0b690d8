"""Decoders as encoders: names and settings of checkpoints, padding; what they compute is tested in test_families.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN
from golden.families import TOLERANCE
from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.families.decoder import visible
from m2v_distill.teacher.teacher import Teacher

DECODERS = ("llama", "mistral-left", "qwen2", "qwen3-left", "gemma3")
SEQUENCES = [[5, 9, 30, 4, 17, 8, 8, 21, 50, 33], [7], [6, 44, 12]]


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[str], Path]:
    return lambda case: Path(shutil.copytree(GOLDEN / "teachers" / case, tmp_path / case))


def weights(teacher: Teacher) -> dict[str, np.ndarray]:
    return {".".join(map(str, path)): np.asarray(leaf) for path, leaf in nnx.to_flat_state(nnx.state(teacher.encoder))}


def reconfigure(folder: Path, change: dict[str, Any], remove: tuple[str, ...] = ()) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({name: value for name, value in config.items() if name not in remove}))


def test_what_a_query_sees() -> None:
    assert visible(4, causal=True, reach=None).sum(axis=1).tolist() == [1, 2, 3, 4]
    assert visible(4, causal=True, reach=1).sum(axis=1).tolist() == [1, 2, 2, 2]
    assert visible(4, causal=False, reach=1).sum(axis=1).tolist() == [2, 3, 3, 2]
    assert visible(4, causal=False, reach=None).all()


@pytest.mark.parametrize("case", DECODERS)
def test_the_side_of_padding_is_no_matter(case: str) -> None:
    module = Teacher.from_pretrained(GOLDEN / "teachers" / case).encoder
    ids = np.zeros((2, len(SEQUENCES), 14), np.int32)
    mask = np.zeros(ids.shape, bool)
    for row, sequence in enumerate(SEQUENCES):
        for side, place in enumerate((slice(None, len(sequence)), slice(14 - len(sequence), None))):
            ids[side, row, place], mask[side, row, place] = sequence, True
    run = nnx.jit(lambda module, ids, mask: module.hidden_states(ids, mask))
    right, left = (run(module, jnp.asarray(ids[side]), jnp.asarray(mask[side])) for side in range(2))
    for one, other in zip(right, left, strict=True):
        np.testing.assert_allclose(np.asarray(one)[mask[0]], np.asarray(other)[mask[1]], atol=TOLERANCE)
        assert np.isfinite(one).all()
        assert np.isfinite(other).all()


@pytest.mark.parametrize("prefix", ["model.", "0.auto_model.", "0.auto_model.model."])
@pytest.mark.parametrize("case", DECODERS)
def test_names_of_checkpoints(copy: Callable[[str], Path], case: str, prefix: str) -> None:
    folder = copy(case)
    expected = weights(Teacher.from_pretrained(folder))
    path = folder / "model.safetensors"
    tensors = load_file(path)
    extra = {
        "lm_head.weight": tensors["embed_tokens.weight"],
        f"{prefix}layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32),
        f"{prefix}rotary_emb.inv_freq": np.ones(4, np.float32),
    }
    save_file({prefix + name: tensor for name, tensor in tensors.items()} | extra, path)
    found = weights(Teacher.from_pretrained(folder))
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_bias_without_a_place_is_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("mistral-left")
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"layers.0.self_attn.q_proj.bias": np.ones(24, np.float32)}, path)
    with pytest.raises(ModelFormatError, match=r"q_proj\.bias, which the module does not have"):
        Teacher.from_pretrained(folder)


def test_configs_of_older_transformers(copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    expected = Teacher.from_pretrained(folder).encoder.config
    rope = json.loads((folder / "config.json").read_text())["rope_parameters"]
    old: dict[str, Any] = {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    reconfigure(folder, old, ("rope_parameters",))
    assert Teacher.from_pretrained(folder).encoder.config == expected
    assert expected.rotaries[0].theta == 500
    reconfigure(folder, {"rope_theta": 30.0})
    assert Teacher.from_pretrained(folder).encoder.config.rotaries[0].theta == 30

    folder = copy("gemma3")
    expected = Teacher.from_pretrained(folder).encoder.config
    old = {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": None}
    reconfigure(folder, old, ("rope_parameters",))
    assert Teacher.from_pretrained(folder).encoder.config == expected
    assert [rotary.theta for rotary in expected.rotaries] == [1e4, 1e6, 1e4]


def test_windows_of_embedding_gemma(copy: Callable[[str], Path]) -> None:
    folder = copy("gemma3")  # a window of 6 in the file
    config = Teacher.from_pretrained(folder).encoder.config
    assert (config.causal, config.reaches) == (False, (3, None, 3))
    reconfigure(folder, {"use_bidirectional_attention": False})
    config = Teacher.from_pretrained(folder).encoder.config
    assert (config.causal, config.reaches) == (True, (5, None, 5))


@pytest.mark.parametrize("case", ["qwen3-left", "gemma3"])
def test_bfloat16_kernels(case: str) -> None:
    exact, rounded = (
        Teacher.from_pretrained(GOLDEN / "teachers" / case, precision=precision).encode_ids([SEQUENCES[0] * 2])
        for precision in ("float32", "bfloat16")
    )
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("case", "change", "named"),
    [
        ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("qwen2", {"layer_types": ["full_attention", "full_attention", "chunked_attention"]}, "chunked_attention"),
        ("qwen2", {"num_key_value_heads": 2}, "num_key_value_heads"),
        ("qwen2", {"use_sliding_window": False, "layer_types": ["sliding_attention"] * 3}, "sliding_window"),
        ("llama", {"layer_types": ["sliding_attention"] * 2}, "layer_types"),
        ("llama", {"hidden_act": "relu2"}, "relu2"),
        ("llama", {"rope_parameters": {"rope_type": "proportional", "rope_theta": 100.0}}, "proportional"),
        ("llama", {"rope_parameters": {"rope_theta": 100.0, "partial_rotary_factor": 0.4}}, "partial_rotary_factor"),
    ],
)
def test_what_is_not_computed_is_refused(
    copy: Callable[[str], Path], case: str, change: dict[str, Any], named: str
) -> None:
    folder = copy(case)
    reconfigure(folder, change)
    with pytest.raises(ModelFormatError, match=named):
        Teacher.from_pretrained(folder)
