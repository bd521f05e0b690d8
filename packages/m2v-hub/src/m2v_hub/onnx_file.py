"""What goes into an ONNX file and comes out of it, read from its first layer of protocol buffers alone.

The fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. The `onnx` package, with what it needs,
weighs more than all of m2v; of a file of any size only the few bytes that name inputs and outputs are read here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from m2v_core.errors import ModelFormatError

GRAPH = 7  # of ModelProto
INPUT, OUTPUT = 11, 12  # of GraphProto
LONGEST = 1 << 16  # bytes of one input's or output's description

#: ONNX's number of a dtype -> its name, of those that models put out.
DTYPES = {1: "float32", 10: "float16", 11: "float64"}


@dataclass(frozen=True)
class Value:
    """Attributes:
    name: What an input or output is called.
    dtype: Its dtype; `None` if it is none of `DTYPES`.
    shape: Its shape; `None` for an axis of any length.
    """

    name: str
    dtype: str | None
    shape: tuple[int | None, ...]


def read_signature(path: Path) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Inputs and outputs of an ONNX file.

    Raises:
        ModelFormatError: It is none.
    """
    try:
        with path.open("rb") as file:
            graphs = [place for number, place in _fields(file, 0, path.stat().st_size) if number == GRAPH]
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
    described = dict(_parts(tensor))  # TypeProto.Tensor: 1 elem_type, 2 shape
    axes = [dict(_parts(axis)).get(1) for number, axis in _parts(described.get(2, b"")) if number == 1]
    shape = tuple(None if axis is None else _varint(io.BytesIO(axis)) for axis in axes)
    dtype = _varint(io.BytesIO(described.get(1, b"\0")))
    return Value(parts[1].decode("utf-8"), DTYPES.get(dtype), shape)


def _parts(raw: bytes) -> Iterator[tuple[int, bytes]]:
    file = io.BytesIO(raw)
    for number, (start, end) in _fields(file, 0, len(raw)):
        yield number, _read(file, start, end)


def _fields(file: IO[bytes], start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Numbers of a message's fields, and where the value of each lies."""
    place = start
    while place < end:
        file.seek(place)
        key = _varint(file)
        first = file.tell()
        match key & 7:
            case 0:  # a number of variable length
                _varint(file)
                last = file.tell()
            case 1:  # eight bytes
                last = first + 8
            case 2:  # a message, text or bytes, behind their length
                length = _varint(file)
                first = file.tell()
                last = first + length
            case 5:  # four bytes
                last = first + 4
            case kind:
                raise ValueError(f"no field is of kind {kind}")
        if last > end:
            raise ValueError("a field reaches beyond its message")
        yield key >> 3, (first, last)
        place = last


def _read(file: IO[bytes], start: int, end: int) -> bytes:
    if end - start > LONGEST:
        raise ValueError("an input or output is described at great length")
    file.seek(start)
    return file.read(end - start)


def _varint(file: IO[bytes]) -> int:
    """Seven bits a byte, the lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        (byte,) = file.read(1)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise ValueError("a number of more than 64 bits")
