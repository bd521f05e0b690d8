"""bfloat16 and float8: every value, and tables in files."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors
from safetensors import SafetensorError, deserialize

from conftest import GOLDEN, make_model
from m2v_core import ModelFormatError, StaticModel
from m2v_core.storage.narrow import NARROW_DTYPES, raw_dtype, widened

#: safetensors' names -> those of ml_dtypes, which comes with JAX.
THERE = {
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}


def all_bits(name: str) -> np.ndarray:
    dtype = raw_dtype(name)
    return np.arange(1 << (8 * dtype.itemsize)).astype(dtype)


@pytest.mark.parametrize("name", sorted(NARROW_DTYPES))
def test_every_value_is_that_of_ml_dtypes(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="needs ml_dtypes: any session with JAX")
    expected = all_bits(name).view(getattr(ml_dtypes, THERE[name])).astype(np.float32)
    got = widened(all_bits(name), name)
    assert np.array_equal(got, expected, equal_nan=True)
    assert np.array_equal(np.signbit(got[got == 0]), np.signbit(expected[got == 0]))


@pytest.mark.parametrize(
    ("name", "largest", "smallest"),
    [
        ("BF16", (2 - 2.0**-7) * 2.0**127, 2.0**-133),
        ("F8_E4M3", 448, 2.0**-9),
        ("F8_E4M3FNUZ", 240, 2.0**-10),
        ("F8_E5M2", 57344, 2.0**-16),
        ("F8_E5M2FNUZ", 57344, 2.0**-17),
        ("F8_E8M0", 2.0**127, 2.0**-127),
    ],
)
def test_limits_are_those_of_the_specifications(name: str, largest: float, smallest: float) -> None:
    values = widened(all_bits(name), name)
    values = values[np.isfinite(values) & (values > 0)].astype(np.float64)
    assert (values.max(), values.min()) == (largest, smallest)


def write_table(path: Path, tensor: str, bits: np.ndarray, name: str) -> None:
    entry = {"dtype": name, "shape": list(bits.shape), "data_offsets": [0, bits.nbytes]}
    header = json.dumps({tensor: entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bits.tobytes())


@pytest.mark.parametrize("memory_map", [False, True])
@pytest.mark.parametrize("name", sorted(NARROW_DTYPES))
@pytest.mark.parametrize("layout", ["ours", "sentence-transformers"])
def test_a_table_is_read_as_float32(layout: str, name: str, memory_map: bool, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    if layout == "ours":
        make_model("wordlevel").save_pretrained(folder)
    else:
        shutil.copytree(GOLDEN / "students" / "sentence-transformers", folder)
    n_rows = len(StaticModel.from_pretrained(folder).tokens)
    bits = np.resize(all_bits(name)[:120], (n_rows, 8))
    write_table(folder / "model.safetensors", "embeddings" if layout == "ours" else "embedding.weight", bits, name)
    try:
        deserialize((folder / "model.safetensors").read_bytes())
    except SafetensorError:
        pytest.skip(f"safetensors {safetensors.__version__} does not know {name}")
    model = StaticModel.from_pretrained(folder, memory_map=memory_map)
    assert model.embedding_dtype == "float32"
    assert np.array_equal(model.embedding, widened(bits, name))
    model.save_pretrained(tmp_path / "again")
    assert np.array_equal(StaticModel.from_pretrained(tmp_path / "again").embedding, model.embedding)


def test_weights_are_read_too(tmp_path: Path) -> None:
    make_model("wordlevel", weights=np.ones(4, np.float32)).save_pretrained(tmp_path)
    header = {
        "embeddings": {"dtype": "F8_E4M3", "shape": [4, 1], "data_offsets": [0, 4]},
        "weights": {"dtype": "BF16", "shape": [4], "data_offsets": [4, 12]},
    }
    text = json.dumps(header).encode()
    weights = np.array([0x3F80, 0x4000, 0x4040, 0x4080], "<u2")  # 1, 2, 3, 4
    data = struct.pack("<Q", len(text)) + text + b"\x38\x38\x38\x38" + weights.tobytes()
    (tmp_path / "model.safetensors").write_bytes(data)
    assert StaticModel.from_pretrained(tmp_path).encode(["good", "day", "bad"]).ravel().tolist() == [2, 3, 4]


@pytest.mark.parametrize("name", ["BF16", "F8_E5M2"])
def test_sizes_are_checked(name: str, tmp_path: Path) -> None:
    make_model("wordlevel").save_pretrained(tmp_path)
    path, bits = tmp_path / "model.safetensors", all_bits(name)[:32].reshape(4, 8)
    write_table(path, "embeddings", bits, name)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFormatError, match=f"expected {path.stat().st_size + 1} bytes by its header"):
        StaticModel.from_pretrained(tmp_path)
    content = bits.tobytes() + b"\0"  # more than the shape says
    header = json.dumps({"embeddings": {"dtype": name, "shape": [4, 8], "data_offsets": [0, len(content)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    with pytest.raises(ModelFormatError, match=r"model\.safetensors"):
        StaticModel.from_pretrained(tmp_path, memory_map=True)
