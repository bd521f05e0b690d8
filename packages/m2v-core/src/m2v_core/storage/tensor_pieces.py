"""Safetensors files that are written piece by piece, so that large arrays need no copy in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: numpy's name of a dtype -> that of safetensors.
SAFE_NAMES = {
    "float16": "F16",
    "float32": "F32",
    "int8": "I8",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
}

#: What the place of the first tensor is a multiple of, in bytes.
_ALIGNED = 64


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
    header, start = {}, 0
    for name in order:
        tensor = tensors[name]
        stop = start + tensor.nbytes
        header[name] = {"dtype": SAFE_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNED)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            tensor, written = tensors[name], 0
            for piece in tensor.pieces:
                stored = np.ascontiguousarray(piece, np.dtype(tensor.dtype).newbyteorder("<"))
                if stored.size:
                    file.write(stored.data)
                written += stored.nbytes
            if written != tensor.nbytes:
                raise ValueError(f"{name}: {written} bytes of {tensor.nbytes}")
