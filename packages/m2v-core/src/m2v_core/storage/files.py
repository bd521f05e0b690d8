"""Read and write files, with errors that name the file, what was expected and what was found."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_core.storage.narrow import NARROW_DTYPES, raw_dtype, widened

T = TypeVar("T")

#: The longest header that safetensors reads, in bytes.
MAX_HEADER = 100_000_000


def read_text(path: Path) -> str:
    """The text of a UTF-8 file of a model.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: The file is not UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        found = ", ".join(sorted(p.name for p in path.parent.iterdir())[:20]) if path.parent.is_dir() else "no folder"
        raise ModelNotFoundError(
            f"{path} is missing, so {path.parent} is not a whole model. Found there: {found or 'nothing'}."
        ) from None
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{path}: expected UTF-8 text; found other bytes at offset {error.start}.") from None


def read_user_text(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file that a user names as an input; a byte-order mark is dropped.

    Raises:
        InvalidInputError: There is no such file, or it is not UTF-8.
    """
    path = Path(path)
    check_is_file(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{path}: expected UTF-8 text; found other bytes at offset {error.start}. Convert it, for instance with "
            f"iconv."
        ) from None


def check_is_file(path: Path) -> None:
    """Raise `InvalidInputError` unless a file that a user names as an input exists; it may be a FIFO or a device."""
    if not path.exists() or path.is_dir():
        found = "which is a folder" if path.is_dir() else "and there is no such file"
        raise InvalidInputError(f"Expected a file; found {str(path)!r}, {found}. Check the spelling.")


def read_json(path: Path, kind: type[Any] = dict) -> Any:
    """The content of a JSON file with a value of type `kind` at the outermost level.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: The file is not JSON, or its outermost value is of another type.
    """
    try:
        raw = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ModelFormatError(f"{path}: expected JSON; found an error in line {error.lineno}: {error.msg}.") from None
    except RecursionError:
        raise ModelFormatError(f"{path}: expected JSON of a sane depth; it is nested too deeply.") from None
    if not isinstance(raw, kind):
        names: dict[type[Any], str] = {dict: "an object", list: "an array"}
        found = names.get(type(raw), repr(raw))
        raise ModelFormatError(f"{path}: expected {names[kind]} as the outermost JSON value; found {found}.")
    return raw


def write_json(path: Path, content: object) -> None:
    """Write a file of indented JSON."""
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def read_tensors(
    path: Path,
    *,
    required: Mapping[str, Mapping[str, str]],
    optional: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    mapped: Collection[str] = (),
) -> dict[str, NDArray[Any]]:
    """Tensors of a safetensors file by name.

    Header, offsets and dtypes are checked before any data is read.

    Args:
        path: The file.
        required: Tensors that must be there: name -> the dtypes that it may have (name in safetensors -> in numpy).
        optional: Tensors that may be there, likewise.
        mapped: Tensors that stay in the file, read-only, and are read when they are used. Those of a dtype that numpy
            does not have are read as float32 all the same.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: The file is truncated or damaged, lacks a required tensor, or has one of another dtype.
    """
    if not path.is_file():
        read_text(path)  # raises the error that lists what the folder holds
    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            if missing := sorted(set(required) - names):
                raise ModelFormatError(
                    f"{path}: expected the tensor {', '.join(missing)}; found {', '.join(sorted(names)) or 'none'}."
                )
            wanted = {**required, **{name: kinds for name, kinds in optional.items() if name in names}}
            dtypes = {name: file.get_slice(name).get_dtype() for name in wanted}
            for name, kinds in wanted.items():
                if dtypes[name] not in kinds:
                    expected = ", ".join(dict.fromkeys(kinds.values()))
                    raise ModelFormatError(
                        f"{path}: the tensor {name} should be one of {expected}; found {dtypes[name]}."
                    )
            plain = [name for name in wanted if name not in mapped and dtypes[name] not in NARROW_DTYPES]
            tensors = {name: file.get_tensor(name) for name in plain}
        return tensors | {
            name: widened(_stored(path, name, raw_dtype(dtype)), dtype)
            if dtype in NARROW_DTYPES
            else _stored(path, name, np.dtype(wanted[name][dtype]), mapped=True)
            for name, dtype in dtypes.items()
            if name not in tensors
        }
    except SafetensorError as error:
        raise ModelFormatError(f"{path}: {describe_damage(path) or error}") from None


def _stored(path: Path, name: str, dtype: np.dtype[Any], *, mapped: bool = False) -> NDArray[Any]:
    """A tensor of an undamaged safetensors file; if `mapped`, a read-only view of the file."""
    with path.open("rb") as file:
        data = _data_start(file)
        entry = json.loads(file.read(data - 8))[name]
    start, shape, stored = data + entry["data_offsets"][0], tuple(entry["shape"]), dtype.newbyteorder("<")
    usable = not start % stored.itemsize and 0 not in shape and stored.isnative  # else numpy copies it at each use
    if not (mapped and usable):
        return np.fromfile(path, stored, math.prod(shape), offset=start).reshape(shape).astype(dtype)
    return np.asarray(np.memmap(path, dtype, mode="r", offset=start, shape=shape))


def mapped_bytes(path: Path) -> NDArray[np.uint8] | None:
    """A read-only view of a file's bytes; `None` if there is no such file, or nothing in it."""
    if not path.is_file() or not path.stat().st_size:
        return None
    return np.asarray(np.memmap(path, np.uint8, mode="r"))


def _data_start(file: IO[bytes]) -> int:
    """Position of the first tensor: after eight bytes that hold the header's length, and the header."""
    (length,) = struct.unpack("<Q", file.read(8))
    return 8 + int(length)


def describe_damage(path: Path) -> str | None:
    """Reason why a safetensors file cannot be read, in bytes expected and found; `None` if its sizes are right."""
    size = path.stat().st_size
    if size < 8:
        return f"expected a safetensors file; found only {size} bytes. Copy or download it again."
    with path.open("rb") as file:
        data = _data_start(file)
        if data > size:
            return (
                f"expected a safetensors header of {data - 8} bytes; found a file of {size}. "
                f"It is truncated, or not safetensors: copy or download it again."
            )
        if data - 8 > MAX_HEADER:
            return f"expected a safetensors header of {MAX_HEADER} bytes at the most; found {data - 8}."
        try:
            header: dict[str, Any] = json.loads(file.read(data - 8))
            ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError):
            return "expected a safetensors header; found something else. Copy or download the file again."
    expected = data + max(ends, default=0)
    if expected != size:
        return f"expected {expected} bytes by its header; found {size}. Copy or download the file again."
    return None


def read_consistently(folder: Path, reader: Callable[[Path], T]) -> T:
    """Result of `reader(folder)`, read again if the folder was replaced meanwhile: no two models are mixed."""
    for _ in range(100):
        with _watched(folder) as is_the_same:
            try:
                result = reader(folder)
            except (ModelNotFoundError, ModelFormatError, OSError):
                if is_the_same():
                    raise
                continue
            if is_the_same():
                return result
    raise ModelFormatError(f"{folder} was replaced 100 times while it was read. Try again when nobody writes to it.")


@contextmanager
def _watched(folder: Path) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether `folder` is still the same folder.

    The folder is held open meanwhile: otherwise the inode number of a removed folder could be given to its successor.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders; there, files are replaced one by one
        yield lambda: True
        return
    try:
        yield lambda: folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat())
    finally:
        os.close(descriptor)
