"""Safetensors files of our own, whose bytes are the same in each process.

Large arrays are written piece by piece, so that they need no copy in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from m2v_core.storage.tensor_file import METADATA, NUMPY_NAMES

#: numpy's name of a dtype -> that of safetensors, in safetensors' order of dtypes.
SAFE_NAMES = {name: safe for safe, name in NUMPY_NAMES.items()}

#: What the place of the first tensor is a multiple of, in bytes: in a file that may be mapped, and in safetensors' own.
_MAPPED, _PACKED = 64, 8


class Tensor(NamedTuple):
    """A tensor to be written.

    Attributes:
        dtype: Name of the dtype in numpy.
        shape: Shape.
        pieces: Arrays of that dtype that are its rows, one after the other.
    """

    dtype: str
    shape: tuple[int, ...]
    pieces: Iterable[NDArray[Any]]

    @classmethod
    def of(cls, array: NDArray[Any]) -> Tensor:
        """An array as a tensor of one piece."""
        return cls(array.dtype.name, array.shape, (array,))

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file; tensors of wide numbers come first, so that each is aligned.

    Raises:
        OSError: The file cannot be written.
        ValueError: The pieces of a tensor are not all of it.

    Example:
        >>> import tempfile
        >>> from safetensors.numpy import load_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_tensors(Path(folder) / "x", {"a": Tensor.of(np.arange(3, dtype=np.int8))})
        ...     load_file(Path(folder) / "x")
        {'a': array([0, 1, 2], dtype=int8)}
    """
    order = sorted(tensors, key=lambda name: (-np.dtype(tensors[name].dtype).itemsize, name))
    with path.open("wb") as file:
        file.writelines(_parts(tensors, order, _MAPPED))


def serialized(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file, as the library has them but for the order of the metadata, which it leaves open.

    Example:
        >>> serialized({"a": np.zeros(())}, {"y": "1", "x": "2"})[8:83]
        b'{"__metadata__":{"x":"2","y":"1"},"a":{"dtype":"F64","shape":[],"data_offse'
    """
    ranks = {name: rank for rank, name in enumerate(SAFE_NAMES)}
    found = {name: Tensor.of(np.asarray(array)) for name, array in tensors.items()}
    order = sorted(found, key=lambda name: (-ranks[found[name].dtype], name))
    return b"".join(_parts(found, order, _PACKED, metadata))


def _parts(
    tensors: Mapping[str, Tensor],
    order: Sequence[str],
    aligned: int,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[bytes | memoryview]:
    """The bytes of a file in parts: header and tensors in an order, the first of them at a multiple of `aligned`."""
    header: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))} if metadata else {}
    start = 0
    for name in order:
        tensor = tensors[name]
        stop = start + tensor.nbytes
        header[name] = {"dtype": SAFE_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % aligned)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        tensor, written = tensors[name], 0
        for piece in tensor.pieces:
            stored = np.ascontiguousarray(piece, np.dtype(tensor.dtype).newbyteorder("<"))
            yield stored.reshape(-1).view(np.uint8).data
            written += stored.nbytes
        if written != tensor.nbytes:
            raise ValueError(f"{name}: {written} bytes of {tensor.nbytes}")
