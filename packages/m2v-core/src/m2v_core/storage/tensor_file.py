"""A safetensors file, opened once: its header is checked against its size, and its tensors are read or mapped.

What is read is never mapped: a mapped file that another program cuts off ends the process that reads it (SIGBUS), and
a file that is read gives an error. The format is https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import ModelFormatError

#: The longest header that safetensors reads, in bytes.
MAX_HEADER = 100_000_000

#: Bits of a number of each dtype. Those of others are not compared with the bytes of their tensors.
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}

#: dtype in safetensors -> that of numpy, in safetensors' order of dtypes. numpy has bfloat16 and float8 where ml_dtypes
#: is imported.
NUMPY_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}

#: The name of the texts of a header.
METADATA = "__metadata__"

_MOST_AXES = 32
_MOST_NUMBERS = sys.maxsize // 16


class DamagedError(ValueError):
    """A file is no whole safetensors file; the message says what was expected and found."""


@dataclass(frozen=True)
class Entry:
    """A tensor in a file.

    Attributes:
        dtype: Its name in safetensors.
        shape: Its shape.
        start: Position of its first byte in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class TensorFile:
    """An open file.

    Attributes:
        path: Its path.
        file: The file.
        entries: The tensors by name.
        metadata: The texts of the header by name.
    """

    path: Path
    file: BufferedReader
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]

    def read(self, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        """A tensor in memory, of the dtype of its bytes.

        Raises:
            ModelFormatError: The file was cut off meanwhile.
        """
        entry = self.entries[name]
        stored = dtype.newbyteorder("<")
        # A dtype that names its byte order makes buffers that Python's own integers cannot be read from.
        array = np.empty(entry.shape, dtype if stored.isnative else stored)
        self.file.seek(entry.start)
        found = self.file.readinto(array.reshape(-1).view(np.uint8).data) if array.size else 0
        if found != array.nbytes:
            raise ModelFormatError(
                f"{self.path}: expected {array.nbytes} bytes of the tensor {name}; found {found}. Another program "
                f"wrote to the file meanwhile: load the model again."
            )
        return array.astype(dtype, copy=False)

    def tensor(self, name: str) -> NDArray[Any]:
        """A tensor in memory, of its own dtype.

        Raises:
            ModelFormatError: numpy has no such dtype, or the file was cut off meanwhile.
        """
        stored = self.entries[name].dtype
        try:
            dtype = np.dtype(NUMPY_NAMES[stored])
        except (KeyError, TypeError):
            raise ModelFormatError(
                f"{self.path}: expected numbers that numpy has; found the tensor {name} of {stored}."
            ) from None
        return self.read(name, dtype)

    def mapped(self, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        """A tensor that stays in the file, read-only; in memory if numpy would have to copy it at each use."""
        entry, stored = self.entries[name], dtype.newbyteorder("<")
        if entry.start % stored.itemsize or 0 in entry.shape or not stored.isnative:
            return self.read(name, dtype)
        return np.asarray(np.memmap(self.file, dtype, mode="r", offset=entry.start, shape=entry.shape))


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; what is none could be read for ever.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFormatError: It is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ModelFormatError(f"{path}: expected a regular file; found a device, a pipe or a folder.")
        yield file


@contextmanager
def opened_tensors(path: Path) -> Iterator[TensorFile]:
    """Open a safetensors file; sizes and offsets of all tensors are checked.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFormatError: It is damaged, or no regular file.
    """
    with opened(path) as file:
        try:
            entries, metadata = read_header(file)
        except DamagedError as error:
            raise ModelFormatError(f"{path}: {error}") from None
        yield TensorFile(path, file, entries, metadata)


def read_all(path: Path) -> tuple[dict[str, NDArray[Any]], Mapping[str, str]]:
    """All tensors of a file, in memory and of their own dtypes, and its metadata.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFormatError: It is damaged, no regular file, or has numbers that numpy lacks.
    """
    with opened_tensors(path) as file:
        return {name: file.tensor(name) for name in file.entries}, file.metadata


def lazy_tensors(path: Path) -> dict[str, Callable[[], NDArray[Any]]]:
    """The tensors of a file by name, each a function that reads it.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFormatError: It is damaged, or no regular file; functions raise this too, also if the file is not the same
            any more.
    """
    with opened_tensors(path) as file:
        first = _state(file)

    def read(name: str) -> NDArray[Any]:
        with opened_tensors(path) as file:
            if _state(file) != first:
                raise ModelFormatError(
                    f"{path}: expected the file that was opened first; found another, or one that was changed "
                    f"meanwhile. Load the model again."
                )
            return file.tensor(name)

    return {name: partial(read, name) for name in file.entries}


def checksum(tensors: Mapping[str, NDArray[Any]], text: str = "") -> str:
    """SHA-256 of names, dtypes, shapes and bytes of tensors, and of a text.

    Example:
        >>> checksum({"a": np.zeros(2)}) == checksum({"a": np.zeros(2)}) != checksum({"a": np.zeros(3)})
        True
    """
    from hashlib import sha256  # few need it

    digest = sha256(text.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _state(file: TensorFile) -> tuple[object, ...]:
    """What tells a file from another, and from itself after a change."""
    found = os.fstat(file.file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def read_header(file: BufferedReader) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors and the metadata of an open file.

    Raises:
        DamagedError: The header does not describe the file.
    """
    size = os.fstat(file.fileno()).st_size
    first = file.read(8)
    if len(first) < 8:
        raise DamagedError(f"expected a safetensors file; found only {size} bytes. Copy or download it again.")
    (length,) = struct.unpack("<Q", first)
    if 8 + length > size:
        raise DamagedError(
            f"expected a safetensors header of {length} bytes; found a file of {size}. It is truncated, or not "
            f"safetensors: copy or download it again."
        )
    if length > MAX_HEADER:
        raise DamagedError(f"expected a safetensors header of {MAX_HEADER} bytes at the most; found {length}.")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_repeats)
        metadata = header.pop(METADATA, None) or {}
        if not all(isinstance(text, str) for text in metadata.values()):
            raise TypeError
        entries = {name: _entry(raw, 8 + length) for name, raw in header.items()}
        names = chain(header, metadata, metadata.values(), (entry.dtype for entry in entries.values()))
        "".join(names).encode()  # safetensors has no lone surrogates
        spans = sorted((entry.start, entry.start + _n_bytes(entry, header[name])) for name, entry in entries.items())
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise DamagedError(
            "expected a safetensors header; found something else. Copy or download the file again."
        ) from None
    end = 8 + length
    for start, stop in spans:
        if start != end:
            raise DamagedError(
                f"expected a tensor at byte {end} by its header; found one at {start}. Copy or download the file again."
            )
        end = stop
    if end != size:
        raise DamagedError(f"expected {end} bytes by its header; found {size}. Copy or download the file again.")
    return entries, metadata


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _entry(raw: Mapping[str, Any], data: int) -> Entry:
    dtype, shape, (start, _) = raw["dtype"], tuple(raw["shape"]), raw["data_offsets"]
    if not isinstance(dtype, str) or not all(type(n) is int and n >= 0 for n in (*shape, *raw["data_offsets"])):
        raise TypeError
    if len(shape) > _MOST_AXES or math.prod(max(n, 1) for n in shape) > _MOST_NUMBERS:
        raise ValueError  # numpy refuses it, even of tensors without data
    return Entry(dtype, shape, data + start)


def _n_bytes(entry: Entry, raw: Mapping[str, Any]) -> int:
    start, stop = raw["data_offsets"]
    bits = _BITS.get(entry.dtype)
    if stop < start or (bits is not None and (stop - start) * 8 != math.prod(entry.shape) * bits):
        raise ValueError
    return int(stop - start)
