"""Read and write files, with errors that name the file, what was expected and what was found."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import struct
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_core.storage.narrow import NARROW_DTYPES, raw_dtype, widened

T = TypeVar("T")

#: The key of the id of a save, in `config.json` and in the metadata of safetensors files.
SAVE_ID = "save_id"

#: In a folder: the files of a save that is not finished; see `m2v_core.storage.unfinished`.
UNFINISHED = ".unfinished-save"

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
    path.write_bytes(json_bytes(json.dumps(content, indent=4, ensure_ascii=False) + "\n"))


def json_bytes(text: str) -> bytes:
    r"""The bytes of JSON; what UTF-8 cannot spell is escaped, and read again as it was.

    Example:
        >>> json_bytes(json.dumps("\ud800", ensure_ascii=False))
        b'"\\ud800"'
    """
    return text.encode(errors="backslashreplace")


def read_tensors(
    path: Path,
    *,
    required: Mapping[str, Mapping[str, str]],
    optional: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    mapped: Collection[str] = (),
    save_id: str | None = None,
) -> dict[str, NDArray[Any]]:
    """Tensors of a safetensors file by name.

    Header, offsets and dtypes are checked before any data is read.

    Args:
        path: The file.
        required: Tensors that must be there: name -> the dtypes that it may have (name in safetensors -> in numpy).
        optional: Tensors that may be there, likewise.
        mapped: Tensors that stay in the file, read-only, and are read when they are used. Those of a dtype that numpy
            does not have are read as float32 all the same.
        save_id: The id of the save that the file should be of, if the file says of which it is; `None` for any.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: The file is truncated or damaged, lacks a required tensor, has one of another dtype, or is of
            another save.
    """
    if not path.is_file():
        read_text(path)  # raises the error that lists what the folder holds
    try:
        with safe_open(path, framework="numpy") as file:
            found = (file.metadata() or {}).get(SAVE_ID)
            if save_id is not None and found is not None and found != save_id:
                raise ModelFormatError(
                    f"{path}: expected the file of save {save_id!r:.40}, of which {SAVE_ID} in config.json is; found "
                    f"that of {found!r:.40}. Files of two models are mixed, as by a copy that was interrupted: save "
                    f"or copy the model again. If they belong together, remove {SAVE_ID} from config.json."
                )
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


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, with the permissions of other files.

    Raises:
        OSError: The file cannot be written.
    """
    from safetensors.numpy import save_file  # only saving needs it

    path.touch()
    permissions = path.stat().st_mode
    try:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, dict(metadata or {}) or None
        )
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error), str(path)) from None
    path.chmod(permissions)  # safetensors makes files that only their owner may read


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


def read_consistently(folder: Path, reader: Callable[[Path], T], *, last: Collection[str]) -> T:
    """What `reader` finds in a folder, read again if the folder was saved to meanwhile: no two models are mixed.

    Args:
        folder: The folder.
        reader: Takes the folder to read: this one, or that of a save into it which was not finished.
        last: Files of which a save replaces one at its end; see `m2v_core.storage.unfinished`.
    """
    unfinished = folder / UNFINISHED
    for turn in range(100):
        with _watched([folder, unfinished]) as is_the_same:
            source, files = (unfinished, []) if unfinished.is_dir() else (folder, [folder / name for name in last])
            with _watched(files) as are_the_same:
                try:
                    result = reader(source)
                except (ModelNotFoundError, ModelFormatError, OSError):
                    if is_the_same() and are_the_same():
                        raise
                else:
                    if is_the_same() and are_the_same():
                        return result
        time.sleep(min(0.0001 * 2**turn, 0.05))
    raise ModelFormatError(f"{folder} was replaced 100 times while it was read. Try again when nobody writes to it.")


def check_is_finished(folder: Path) -> None:
    """Raise `ModelFormatError` if a save into a folder was interrupted, for those who would not read its files."""
    if folder.name == UNFINISHED or (folder / UNFINISHED).is_dir():
        folder = folder.parent if folder.name == UNFINISHED else folder
        raise ModelFormatError(
            f"{folder}: expected a whole model; found {UNFINISHED}, the files of a save that was interrupted. Finish "
            f"it: m2v_core.load({str(folder)!r}).save_pretrained({str(folder)!r})."
        )


@contextmanager
def _watched(paths: Collection[Path]) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether there are still the same files and folders at some paths.

    They are held open meanwhile: otherwise the inode number of a removed one could be given to its successor.
    """
    descriptors, before = [], []
    try:
        for path in paths:
            found = None
            if os.name == "posix":  # elsewhere an open file could not be replaced
                with suppress(OSError):
                    descriptors.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                    found = _identity(os.fstat(descriptors[-1]))
            before.append(found or _identity_at(path))
        yield lambda: [_identity_at(path) for path in paths] == before
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _identity_at(path: Path) -> tuple[int, ...] | None:
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What another file or folder does not have, nor a file that was written again."""
    is_file = stat.S_ISREG(status.st_mode)
    return status.st_dev, status.st_ino, *((status.st_mtime_ns, status.st_size) if is_file else ())
