"""Parts of ModernBERT; what it computes is tested in test_families.py."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN
from m2v_core import ModelFormatError
from m2v_distill.teacher.families.modernbert import ModernBertConfig
from m2v_distill.teacher.teacher import Teacher

FOLDER = GOLDEN / "teachers/modernbert"
IDS = jnp.asarray([[2, 5, 3, 9, 10, 12, 4, 17, 40]])
MASK = jnp.ones(IDS.shape, bool)


def copy(folder: Path, prefix: str = "", drop: tuple[str, ...] = (), **changes: object) -> Path:
    config = json.loads((FOLDER / "config.json").read_text())
    kept = {name: value for name, value in config.items() if name not in drop}
    (folder / "config.json").write_text(json.dumps({**kept, **changes}))
    tensors = {prefix + name: tensor for name, tensor in load_file(FOLDER / "model.safetensors").items()}
    tensors["decoder.bias"] = np.ones(60, np.float32)
    save_file(tensors, folder / "model.safetensors")
    return folder


def last(folder: Path) -> np.ndarray:
    return np.asarray(Teacher.from_pretrained(folder).encoder(IDS, MASK))


@pytest.mark.parametrize("prefix", ["model.", "0.auto_model."])
def test_config_and_names_of_older_checkpoints(tmp_path: Path, prefix: str) -> None:
    older = {"global_attn_every_n_layers": 3, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0}
    folder = copy(tmp_path, prefix, drop=("layer_types", "rope_parameters"), **older)
    assert np.array_equal(last(folder), last(FOLDER))


@pytest.mark.parametrize(
    "changes",
    [{"local_attention": 8}, {"layer_types": ["full_attention"] * 4}, {"local_attention": 5}],
    ids=["window", "types", "odd"],
)
def test_windows_matter(tmp_path: Path, changes: dict[str, object]) -> None:
    assert np.abs(last(copy(tmp_path, **changes)) - last(FOLDER)).max() > 1e-3


def test_unknown_layer_types_are_refused() -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    with pytest.raises(ModelFormatError, match="chunked_attention"):
        ModernBertConfig.modernbert({**config, "layer_types": ["chunked_attention"] * 4}, pooler=False)
