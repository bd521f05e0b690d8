"""Live: `pytorch_model.bin`, in all the ways that it was written, gives what safetensors give (nox -s parity)."""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch and transformers: nox -s parity")

from safetensors.torch import load_file, save_file

from hub.loopback import Hub, Repo, running
from hub.processes import files_of, loads, process
from m2v_core import ModelFormatError, ModelNotFoundError
from m2v_distill import Teacher, distill
from random_teachers import random_teacher

pytestmark = pytest.mark.parity

TEXTS = ["good day", "Bad, sunny days!"]
MEAN = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 24}


def vectors(folder: Path, **options: Any) -> np.ndarray:
    return Teacher.from_pretrained(folder, **options).encode(TEXTS)


def pickled(folder: Path, change: Any = lambda tensors: tensors, **options: Any) -> Path:
    """Its weights as pytorch_model.bin, in place of safetensors."""
    tensors = load_file(folder / "model.safetensors")
    torch.save(change(tensors), folder / "pytorch_model.bin", **options)
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", ["bert", "mpnet", "t5", "llama"])
def test_the_same_student(case: str, zipped: bool, tmp_path: Path) -> None:
    folder = random_teacher(case, tmp_path / "m")
    options = {"method": "token", "pca_dims": 8}
    expected = distill(folder, **options)
    pickled(folder, _use_new_zipfile_serialization=zipped)
    found = distill(folder, **options)
    assert np.array_equal(found.embedding, expected.embedding)
    np.testing.assert_allclose(vectors(folder, backend="torch"), vectors(folder), atol=1e-4)


def old_bert(tensors: dict[str, Any]) -> dict[str, Any]:
    """As the first BERTs: other names, buffers, a head that is tied to the table, and tensors that share or skip."""
    renamed = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    words = renamed["bert.embeddings.word_embeddings.weight"]
    kernel = renamed["bert.encoder.layer.0.intermediate.dense.weight"]
    renamed["bert.encoder.layer.0.intermediate.dense.weight"] = kernel.t().contiguous().t()
    wide = torch.stack([renamed["bert.pooler.dense.bias"]] * 2)
    extra = {
        "bert.pooler.dense.bias": wide[1],
        "bert.embeddings.position_ids": torch.arange(40)[None],
        "cls.predictions.decoder.weight": words,
        "cls.predictions.bias": torch.nn.Parameter(torch.zeros(len(words))),
    }
    return OrderedDict(renamed | extra)


def test_an_old_bert(tmp_path: Path) -> None:
    folder = random_teacher("bert", tmp_path / "m")
    expected = vectors(folder)
    assert np.array_equal(vectors(pickled(folder, old_bert)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype: Any, tmp_path: Path) -> None:
    folder = random_teacher("bert", tmp_path / "m")
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    expected = vectors(folder)
    assert np.array_equal(vectors(pickled(folder)), expected)


def test_shards_and_dense_layers(tmp_path: Path) -> None:
    folder = random_teacher("bert", tmp_path / "m")
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    listing = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (folder / "modules.json").write_text(json.dumps(listing))
    for name, config in (("1_Pooling", MEAN), ("2_Dense", {"in_features": 24, "out_features": 7, "bias": True})):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
    dense = {"linear.weight": torch.randn(7, 24), "linear.bias": torch.randn(7)}
    save_file(dense, folder / "2_Dense/model.safetensors")
    expected = vectors(folder)
    pickled(folder / "2_Dense")
    assert np.array_equal(vectors(folder), expected)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for shard, members in shards.items():
        torch.save({name: tensors[name] for name in members}, folder / shard)
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert np.array_equal(vectors(folder), expected)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ModelNotFoundError, match=r"00002-of-00002\.bin is missing: pytorch_model\.bin\.index\.json"):
        vectors(folder)


class Evil:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.marker),)


@pytest.mark.parametrize("backend", ["auto", "flax", "torch"])
@pytest.mark.parametrize("how", ["torch", "old", "bare"])
def test_code_is_not_run(how: str, backend: Any, tmp_path: Path) -> None:
    folder, marker = random_teacher("bert", tmp_path / "m"), tmp_path / "was-run"
    evil = {"a": Evil(str(marker))}
    pickled(folder, lambda tensors: tensors | evil, _use_new_zipfile_serialization=how == "torch")
    if how == "bare":
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(evil))
    with pytest.raises(
        ModelFormatError, match=r"pytorch_model\.bin: expected tensors.*could run code.*not run.*safetensors"
    ):
        vectors(folder, backend=backend)
    assert not marker.exists()


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    folder = pickled(random_teacher("bert", tmp_path / "m"))
    path = folder / "pytorch_model.bin"
    whole = path.read_bytes()
    for content, word in ((whole[:-200], "damaged"), (whole[:3000], "damaged"), (b"", "damaged"), (b"\x80", "damaged")):
        path.write_bytes(content)
        with pytest.raises(ModelFormatError, match=rf"pytorch_model\.bin.*{word}"):
            vectors(folder)
    for value, found in ([1, 2], "list"), ({"state_dict": {"a": torch.zeros(2)}}, "dict of OrderedDict|dict of dict"):
        torch.save(value, path)
        with pytest.raises(ModelFormatError, match=rf"pytorch_model\.bin: expected tensors by name.*found {found}"):
            vectors(folder)
    torch.save({name: torch.eye(3).to_sparse() for name in "abc"}, path)  # no fewer tensors than layers
    with pytest.raises(ModelFormatError, match="unknown"):
        vectors(folder)


DISTILL = """
import json, sys
from m2v_distill import distill
model = distill(sys.argv[1], method="token", pca_dims=4)
print(json.dumps(model.encode(["good day"]).tolist()))
"""


def test_what_is_fetched(tmp_path: Path) -> None:
    """Pickled weights, where there are no others; and of an onnx folder nothing."""
    folder = random_teacher("bert", tmp_path / "m")
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(b"\0" * 100)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "tf_model.h5").write_bytes(b"\0" * 100)
    both = files_of(folder)
    pickle_alone = {name: data for name, data in both.items() if name != "model.safetensors"}
    repos = {"org/both": Repo({"main": both}), "org/pickle": Repo({"main": pickle_alone})}
    with running(Hub(repos=repos)) as hub:
        python = process(hub, tmp_path / "cache")
        expected = loads(python(DISTILL, "org/both"))
        assert not any(".bin" in path or "onnx" in path or ".h5" in path for _, path in hub.requests)
        hub.requests.clear()
        assert loads(python(DISTILL, "org/pickle")) == expected
        assert any("pytorch_model.bin" in path for _, path in hub.requests)
        assert not any("onnx" in path or ".h5" in path for _, path in hub.requests)
        assert loads(python(DISTILL, "org/pickle", HF_HUB_OFFLINE="1")) == expected
