"""Files that are no whole models: cut off while they are read, devices and pipes, and headers that lie."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load_file, save, save_file

from conftest import make_model
from m2v_core import ModelFormatError, StaticModel
from m2v_core.storage.tensor_file import NUMPY_NAMES, lazy_tensors, opened_tensors, read_all
from m2v_core.storage.tensor_pieces import Tensor, serialized, write_tensors


def content_of(header: dict[str, Any] | str, data: bytes = b"") -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


WRONG = {
    "a hole": content_of({"a": entry(offsets=[8, 16])}, bytes(16)),
    "an overlap": content_of({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)),
    "more data": content_of({"a": entry()}, bytes(16)),
    "less data": content_of({"a": entry()}, bytes(4)),
    "another shape": content_of({"a": entry(shape=[3])}, bytes(8)),
    "a negative shape": content_of({"a": entry(shape=[-2])}, bytes(8)),
    "a shape of fractions": content_of({"a": entry(shape=[2.0])}, bytes(8)),
    "a shape of booleans": content_of({"a": entry(shape=[True, 2])}, bytes(8)),
    "offsets in the wrong order": content_of({"a": entry(offsets=[8, 0])}, bytes(8)),
    "three offsets": content_of({"a": entry(offsets=[0, 8, 8])}, bytes(8)),
    "the same name twice": content_of('{"a": %s, "a": %s}' % ((json.dumps(entry()),) * 2), bytes(8)),
    "metadata of numbers": content_of({"__metadata__": {"a": 1}, "a": entry()}, bytes(8)),
    "a list": content_of("[]"),
    "a huge number": content_of('{"a": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 0]}}' % ("9" * 5000)),
    "deep nesting": content_of("[" * 100_000),
    **{
        f"the shape {shape}": content_of({"a": entry(shape=shape, offsets=[0, 0])})
        for shape in ([0, 2**62], [2**63, 0], [0, 2**64 - 1], [0] * 100)
    },
}


@pytest.mark.parametrize("name", WRONG)
def test_a_header_that_lies(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(WRONG[name])
    with pytest.raises(ModelFormatError, match=r"x\.safetensors: expected"), opened_tensors(path):
        pass
    for read in read_all, lazy_tensors:
        with pytest.raises(ModelFormatError, match=r"x\.safetensors: expected"):
            read(path)
    if not name.startswith("the shape") and name != "the same name twice":  # safetensors takes these
        with pytest.raises(SafetensorError):
            deserialize(WRONG[name])


@pytest.mark.parametrize("memory_map", [False, True])
@pytest.mark.parametrize("shape", [[0, 2**62], [2**63, 0]])
def test_a_model_of_a_shape_that_numpy_refuses(tmp_path: Path, shape: list[int], memory_map: bool) -> None:
    make_model().save_pretrained(tmp_path / "m")
    (tmp_path / "m/model.safetensors").write_bytes(content_of({"embeddings": entry(shape=shape, offsets=[0, 0])}))
    with pytest.raises(ModelFormatError, match=r"model\.safetensors"):
        StaticModel.from_pretrained(tmp_path / "m", memory_map=memory_map)


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = [(), (0,), (3,), (2, 0, 4), (5, 7)]
    kinds = ("float16", "float32", "float64", "int8", "int32", "int64", "uint16", "uint32", "uint8")
    tensors = {f"{kind} {shape}": rng.integers(0, 99, shape).astype(kind) for kind in kinds for shape in shapes}
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(tensors, {"a": "é"}))
    with opened_tensors(path) as file:
        assert file.metadata == {"a": "é"}
        assert set(file.entries) == set(tensors)
        for name, expected in tensors.items():
            for found in (file.read(name, expected.dtype), file.mapped(name, expected.dtype)):
                assert found.dtype == expected.dtype
                assert found.shape == expected.shape
                assert np.array_equal(found, expected)


def test_our_own_writers_write_what_the_library_writes(tmp_path: Path) -> None:
    """Order, places and padding are its own, and the metadata, which it has in any order, is sorted."""
    rng = np.random.default_rng(0)
    kinds = [name for safe, name in NUMPY_NAMES.items() if not safe.startswith(("F8", "BF16"))]
    arrays = {f"{kind} é {i}": rng.integers(0, 2, (3, i)).astype(kind) for kind in kinds for i in (0, 1, 2)}
    arrays |= {"none": np.zeros(()), "turned": np.arange(6).reshape(2, 3).T, "other order": np.arange(2, dtype=">i4")}
    own = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    own["none"] = own["none"].reshape(())
    assert serialized(arrays, {"a": "é"}) == save(own, {"a": "é"})
    texts = {name: str(number) for number, name in enumerate("zayb")}
    content = serialized(arrays, texts)
    header, expected = (
        json.loads(each[8 : 8 + int.from_bytes(each[:8], "little")]) for each in (content, save(own, texts))
    )
    assert header == expected
    assert list(header["__metadata__"]) == sorted(texts)
    path = tmp_path / "x"
    write_tensors(path, {name: Tensor.of(array) for name, array in own.items()})
    found = load_file(path)
    assert found.keys() == own.keys()
    assert all(np.array_equal(found[name], own[name]) for name in own)
    with opened_tensors(path) as file:
        assert min(entry.start for entry in file.entries.values()) % 64 == 0
    with pytest.raises(ValueError, match="a: 4 bytes of 8"):
        write_tensors(path, {"a": Tensor("int32", (2,), [np.zeros(1, np.int32)])})


def test_a_file_that_is_cut_off_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(save({"a": np.ones((4096, 256), np.float32)}))
    with opened_tensors(path) as file:
        os.truncate(path, 5000)
        with pytest.raises(
            ModelFormatError, match=r"expected 4194304 bytes of the tensor a; found \d+\. Another program"
        ):
            file.read("a", np.dtype("float32"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    make_model().save_pretrained(tmp_path / "m")
    (tmp_path / "m" / name).unlink()
    os.mkfifo(tmp_path / "m" / name)
    with pytest.raises((ModelFormatError, FileNotFoundError), match="m"):
        StaticModel.from_pretrained(tmp_path / "m")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device without end")
def test_a_link_to_a_device_is_not_read(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "m")
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / "m" / name).unlink()
        (tmp_path / "m" / name).symlink_to("/dev/zero")
        with pytest.raises(ModelFormatError, match=rf"{name}: expected a regular file"):
            StaticModel.from_pretrained(tmp_path / "m")


def test_a_number_of_many_digits(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "m")
    (tmp_path / "m/config.json").write_text('{"max_length": %s}' % ("9" * 5000))
    with pytest.raises(ModelFormatError, match=r"config\.json: expected JSON; found a value that Python does not read"):
        StaticModel.from_pretrained(tmp_path / "m")


def test_tensors_are_read_later(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.zeros((), np.int64), "c": np.zeros((0, 4))}
    save_file(tensors, path, {"k": "v"})
    whole, metadata = read_all(path)
    later = lazy_tensors(path)
    for name, tensor in tensors.items():
        for found in whole[name], later[name]():
            assert (found.dtype, found.shape, found.tolist()) == (tensor.dtype, tensor.shape, tensor.tolist())
    assert metadata == {"k": "v"}
    assert set(whole) == set(later) == set(tensors)


@pytest.mark.parametrize("change", ["cut", "replaced", "rewritten", "gone"])
def test_a_file_that_changes_between_two_reads(tmp_path: Path, change: str) -> None:
    """No tensors of two files are mixed, and a shorter file does not end the process."""
    path, other = tmp_path / "x.safetensors", tmp_path / "y.safetensors"
    save_file({"a": np.zeros(100_000)}, path)
    save_file({"a": np.ones(100_000)}, other)
    tensors = lazy_tensors(path)
    tensors["a"]()
    if change == "cut":
        os.truncate(path, 1000)
    elif change == "replaced":
        other.replace(path)
    elif change == "rewritten":
        os.utime(path, ns=(0, 0))
        path.write_bytes(other.read_bytes())
    else:
        path.unlink()
    with pytest.raises(FileNotFoundError if change == "gone" else ModelFormatError, match=r"x\.safetensors"):
        tensors["a"]()


def test_numbers_that_numpy_lacks(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content_of({"a": entry("F99", [1], [0, 8])}, bytes(8)))
    with pytest.raises(ModelFormatError, match=r"x\.safetensors: expected numbers that numpy has; found .* a of F99"):
        read_all(path)
