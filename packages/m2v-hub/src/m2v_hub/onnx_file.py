"""Read the names and shapes of an ONNX model's inputs and outputs, without the `onnx` package and without its weights.

The fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. The `onnx` package and its dependencies
are larger than all of m2v. Of a file of any size, only the few bytes that describe inputs and outputs are read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from m2v_core.errors import ModelFormatError

GRAPH = 7  # field of ModelProto
INPUT, OUTPUT = 11, 12  # fields of GraphProto
MAX_DESCRIPTION = 1 << 16  # bytes of the description of one input or output


@dataclass(frozen=True)
class Value:
    """An input or output of an ONNX model.

    Attributes:
        name: Its name.
        shape: Lengths of its axes; `None` for an axis of variable length.
    """

    name: str
    shape: tuple[int | None, ...]


def read_signature(path: Path) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Read the inputs and the outputs of an ONNX file.

    Raises:
        ModelFormatError: The file is not an ONNX model.
    """
    try:
        with path.open("rb") as file:
            graphs = [span for number, span in _fields(file, 0, path.stat().st_size) if number == GRAPH]
            (start, end) = graphs[-1]
            values: dict[int, list[Value]] = {INPUT: [], OUTPUT: []}
            for number, (first, last) in _fields(file, start, end):
                if number in values:
                    values[number].append(_value(_read(file, first, last)))
    except (ValueError, LookupError):
        raise ModelFormatError(f"{path}: expected an ONNX model; found something else. Export it again.") from None
    return tuple(values[INPUT]), tuple(values[OUTPUT])


def _value(raw: bytes) -> Value:
    parts = dict(_parts(raw))  # ValueInfoProto: 1 name, 2 type
    tensor = dict(_parts(parts.get(2, b""))).get(1, b"")  # TypeProto: 1 tensor_type
    dimensions = dict(_parts(tensor)).get(2, b"")  # TypeProto.Tensor: 2 shape
    axes = [dict(_parts(axis)).get(1) for number, axis in _parts(dimensions) if number == 1]
    return Value(parts[1].decode("utf-8"), tuple(None if axis is None else _varint(io.BytesIO(axis)) for axis in axes))


def _parts(raw: bytes) -> Iterator[tuple[int, bytes]]:
    file = io.BytesIO(raw)
    for number, (start, end) in _fields(file, 0, len(raw)):
        yield number, _read(file, start, end)


def _fields(file: IO[bytes], start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the number of each field of a message, and the start and end of its value in the file."""
    position = start
    while position < end:
        file.seek(position)
        key = _varint(file)
        first = file.tell()
        match key & 7:
            case 0:  # an integer of variable length
                _varint(file)
                last = file.tell()
            case 1:  # eight bytes
                last = first + 8
            case 2:  # a message, a string or bytes, after their length
                length = _varint(file)
                first = file.tell()
                last = first + length
            case 5:  # four bytes
                last = first + 4
            case kind:
                raise ValueError(f"unknown wire type {kind}")
        if last > end:
            raise ValueError("a field reaches beyond its message")
        yield key >> 3, (first, last)
        position = last


def _read(file: IO[bytes], start: int, end: int) -> bytes:
    if end - start > MAX_DESCRIPTION:
        raise ValueError("the description of an input or output is too long")
    file.seek(start)
    return file.read(end - start)


def _varint(file: IO[bytes]) -> int:
    """Read an integer of variable length: seven bits per byte, the lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        (byte,) = file.read(1)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise ValueError("an integer of more than 64 bits")
