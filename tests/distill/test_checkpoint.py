"""Weights that do not fit are listed; nothing is left over and nothing is missing."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from checkpoints import rewrite, vectors
from m2v_core import MissingPackageError, ModelFormatError, ModelNotFoundError
from m2v_distill.teacher.pickled import has_torch
from m2v_distill.teacher.teacher import Teacher


def fails(folder: Path, *parts: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        Teacher.from_pretrained(folder)
    for part in parts:
        assert part in str(caught.value)


def test_shards_give_the_same(teacher_folder: Path) -> None:
    expected = vectors(teacher_folder)
    tensors = load_file(teacher_folder / "model.safetensors")
    (teacher_folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, members in shards.items():
        save_file({name: tensors[name] for name in members}, teacher_folder / shard)
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    index = teacher_folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert np.array_equal(vectors(teacher_folder), expected)
    index.write_text(json.dumps({"weight_map": {**weight_map, "more": "model-00001-of-00002.safetensors"}}))
    fails(teacher_folder, "expected the tensor more")
    index.write_text(json.dumps({"weight_map": {**weight_map, "more": "../elsewhere.safetensors"}}))
    fails(teacher_folder, "file of this folder")
    index.write_text(json.dumps({"weight_map": weight_map}))
    (teacher_folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="model-00002-of-00002"):
        Teacher.from_pretrained(teacher_folder)


@pytest.mark.parametrize("prefix", ["bert.", "model.", "0.auto_model."])
def test_prefixes_heads_and_buffers(teacher_folder: Path, prefix: str) -> None:
    expected = vectors(teacher_folder)

    def change(tensors):
        renamed = {prefix + name: tensor for name, tensor in tensors.items()}
        extra = {
            prefix + "embeddings.position_ids": np.arange(40)[None],
            "cls.predictions.bias": np.ones(60, np.float32),
            "classifier.weight": np.ones((2, 24), np.float32),
        }
        return renamed | extra

    rewrite(teacher_folder, change)
    assert np.array_equal(vectors(teacher_folder), expected)


def test_the_first_names_of_layer_norm(teacher_folder: Path) -> None:
    expected = vectors(teacher_folder)

    def change(tensors):
        return {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for name, tensor in tensors.items()
        }

    rewrite(teacher_folder, change)
    assert np.array_equal(vectors(teacher_folder), expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 0.02), (ml_dtypes.bfloat16, 0.15), (np.float64, 1e-5)])
def test_other_dtypes(teacher_folder: Path, dtype: type, tolerance: float) -> None:
    expected = vectors(teacher_folder)
    rewrite(teacher_folder, lambda tensors: {name: tensor.astype(dtype) for name, tensor in tensors.items()})
    np.testing.assert_allclose(vectors(teacher_folder), expected, atol=tolerance)


def test_a_pooler_is_optional(teacher_folder: Path) -> None:
    expected = vectors(teacher_folder)
    rewrite(teacher_folder, lambda tensors: {n: t for n, t in tensors.items() if not n.startswith("pooler")})
    assert not Teacher.from_pretrained(teacher_folder).has_pooler
    assert np.array_equal(vectors(teacher_folder), expected)


def test_a_missing_tensor_is_named(teacher_folder: Path) -> None:
    name = "encoder.layer.1.attention.self.key.bias"
    rewrite(teacher_folder, lambda tensors: tensors.pop(name) is None)
    fails(teacher_folder, str(teacher_folder / "model.safetensors"), f"expected {name}; found no such tensor")


def test_a_misshapen_tensor_is_named(teacher_folder: Path) -> None:
    name = "encoder.layer.0.intermediate.dense.weight"
    rewrite(teacher_folder, lambda tensors: tensors.update({name: tensors[name][:-1].copy()}))
    fails(teacher_folder, "model.safetensors", f"expected {name} as float (40, 24); found float32 (39, 24)")


def test_an_integer_tensor_is_named(teacher_folder: Path) -> None:
    name = "encoder.layer.0.intermediate.dense.bias"
    rewrite(teacher_folder, lambda tensors: tensors.update({name: tensors[name].astype(np.int32)}))
    fails(teacher_folder, name, "int32")


def test_an_unknown_tensor_is_named(teacher_folder: Path) -> None:
    rewrite(teacher_folder, lambda tensors: tensors.update({"adapter.weight": np.ones(3, np.float32)}))
    fails(teacher_folder, "found adapter.weight, which is unknown")


def test_a_layer_too_many_is_named(teacher_folder: Path) -> None:
    config = json.loads((teacher_folder / "config.json").read_text())
    (teacher_folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    fails(
        teacher_folder,
        "found encoder.layer.1.attention.self.query.weight, which the module does not have",
        "config.json",
    )


def test_several_problems_come_at_once(teacher_folder: Path) -> None:
    def change(tensors):
        del tensors["embeddings.LayerNorm.bias"]
        tensors["strange"] = np.ones(1, np.float32)

    rewrite(teacher_folder, change)
    fails(teacher_folder, "embeddings.LayerNorm.bias", "strange")


@pytest.mark.parametrize("keep", [4, 300, -1])
def test_truncated_weights(teacher_folder: Path, keep: int) -> None:
    path = teacher_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    fails(teacher_folder, str(path), "expected", "found")


@pytest.mark.skipif(has_torch(), reason="PyTorch is installed")
def test_pickled_weights_need_pytorch(teacher_folder: Path) -> None:
    (teacher_folder / "pytorch_model.bin").write_bytes(b"\x80")
    Teacher.from_pretrained(teacher_folder)  # safetensors go first
    (teacher_folder / "model.safetensors").unlink()
    with pytest.raises(MissingPackageError, match=r"pytorch_model\.bin.*m2v-distill\[torch\].*save_pretrained"):
        Teacher.from_pretrained(teacher_folder)
    (teacher_folder / "pytorch_model.bin").unlink()
    (teacher_folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-1.bin"}}')
    (teacher_folder / "pytorch_model-1.bin").write_bytes(b"\x80")
    with pytest.raises(MissingPackageError, match=r"pytorch_model-1\.bin.*m2v-distill\[torch\]"):
        Teacher.from_pretrained(teacher_folder)


def test_no_weights_at_all(teacher_folder: Path) -> None:
    (teacher_folder / "model.safetensors").rename(teacher_folder / "model.fp16.safetensors")
    (teacher_folder / "onnx").mkdir()
    with pytest.raises(ModelNotFoundError, match=r"found .*model\.fp16\.safetensors.*renamed.*ONNX.* made from"):
        Teacher.from_pretrained(teacher_folder)
