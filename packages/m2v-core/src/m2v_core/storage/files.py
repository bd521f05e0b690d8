"""Read and write files, with errors that name the file, what was expected and what was found."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_core.storage.narrow import NARROW_DTYPES, raw_dtype, widened
from m2v_core.storage.tensor_file import opened, opened_tensors

T = TypeVar("T")

#: The key of the id of a save, in `config.json` and in the metadata of safetensors files.
SAVE_ID = "save_id"

#: In a folder: the files of a save that is not finished; see `m2v_core.storage.unfinished`.
UNFINISHED = ".unfinished-save"


def read_text(path: Path) -> str:
    """The text of a UTF-8 file of a model.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: The file is not UTF-8.
    """
    try:
        with opened(path) as file:
            return file.read().decode()
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
    path = checks.path("path", path)
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
    raw = _parsed(path, read_text(path), ModelFormatError)
    if not isinstance(raw, kind):
        names: dict[type[Any], str] = {dict: "an object", list: "an array"}
        found = names.get(type(raw), repr(raw))
        raise ModelFormatError(f"{path}: expected {names[kind]} as the outermost JSON value; found {found}.")
    return raw


def read_user_json(path: str | os.PathLike[str]) -> Any:
    """The value in a UTF-8 file of JSON that a user names as an input.

    Raises:
        InvalidInputError: There is no such file, or it is not JSON.
    """
    path = checks.path("path", path)
    return _parsed(path, read_user_text(path), InvalidInputError)


def _parsed(path: Path, text: str, kind_of_error: type[ModelFormatError] | type[InvalidInputError]) -> Any:
    """The value of JSON; `path` names it in errors."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise kind_of_error(f"{path}: expected JSON; found an error in line {error.lineno}: {error.msg}.") from None
    except RecursionError:
        raise kind_of_error(f"{path}: expected JSON of a sane depth; it is nested too deeply.") from None
    except ValueError as error:  # a whole number of too many digits
        raise kind_of_error(f"{path}: expected JSON; found a value that Python does not read: {error}.") from None


def path_inside(folder: Path, name: object, where: Path) -> Path:
    """The path of a file or folder that the file `where` names, which should be inside a folder.

    Raises:
        ModelFormatError: The name is no text, leads elsewhere or in a circle, or can be no path.
    """
    try:
        if isinstance(name, str) and (folder / name).resolve().is_relative_to(folder.resolve()):
            return folder / name
    except (ValueError, RuntimeError, OSError):  # a zero or a lone surrogate, a circle of links, too long a name
        pass
    raise ModelFormatError(f"{where}: expected paths inside the folder; found {name!r:.200}.")


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
    with opened_tensors(path) as file:
        found = file.metadata.get(SAVE_ID)
        if save_id is not None and found is not None and found != save_id:
            raise ModelFormatError(
                f"{path}: expected the file of save {save_id!r:.40}, as {SAVE_ID} in config.json says; found that "
                f"of {found!r:.40}. Files of two models are mixed, as by a copy that was interrupted: save or copy "
                f"the model again. If they belong together, remove {SAVE_ID} from config.json."
            )
        if missing := sorted(set(required) - set(file.entries)):
            raise ModelFormatError(
                f"{path}: expected the tensor {', '.join(missing)}; found {', '.join(sorted(file.entries)) or 'none'}."
            )
        tensors = {}
        for name, kinds in {**optional, **required}.items():
            if name not in file.entries:
                continue
            dtype = file.entries[name].dtype
            if dtype not in kinds:
                expected = ", ".join(dict.fromkeys(kinds.values()))
                raise ModelFormatError(f"{path}: the tensor {name} should be one of {expected}; found {dtype}.")
            if dtype in NARROW_DTYPES:
                tensors[name] = widened(file.read(name, raw_dtype(dtype)), dtype)
            else:
                tensors[name] = (file.mapped if name in mapped else file.read)(name, np.dtype(kinds[dtype]))
        return tensors


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, with the permissions of other files.

    Raises:
        OSError: The file cannot be written.
    """
    from safetensors import SafetensorError  # only saving needs these
    from safetensors.numpy import save_file

    path.touch()
    permissions = path.stat().st_mode
    try:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, dict(metadata or {}) or None
        )
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code) if number else str(error), str(path)) from None
    path.chmod(permissions)  # safetensors makes files that only their owner may read


def mapped_bytes(path: Path) -> NDArray[np.uint8] | None:
    """A read-only view of a file's bytes; `None` if there is no such file, or nothing in it."""
    if not path.is_file() or not path.stat().st_size:
        return None
    with opened(path) as file:
        return np.asarray(np.memmap(file, np.uint8, mode="r"))


def read_consistently(folder: Path, reader: Callable[[Path], T], *, last: Collection[str]) -> T:
    """What `reader` finds in a folder, read again if the folder was saved to meanwhile: no two models are mixed.

    Args:
        folder: The folder.
        reader: Takes the folder to read: this one, or that of a save into it which was not finished.
        last: Files of which a save replaces one at its end; see `m2v_core.storage.unfinished`.
    """
    for turn in range(100):
        with _source(folder, last) as (source, is_unchanged):
            try:
                result = reader(source)
            except (ModelNotFoundError, ModelFormatError, OSError):
                if is_unchanged():
                    raise
            else:
                if is_unchanged():
                    return result
        time.sleep(min(0.0001 * 2**turn, 0.05))
    raise ModelFormatError(f"{folder} was replaced 100 times while it was read. Try again when nobody writes to it.")


@contextmanager
def _source(folder: Path, last: Collection[str]) -> Iterator[tuple[Path, Callable[[], bool]]]:
    """Yield the folder to read, that of a save which was not finished first, and whether it is unchanged since."""
    unfinished = folder / UNFINISHED
    with _watched([folder, unfinished]) as is_the_same:
        source, files = (unfinished, []) if unfinished.is_dir() else (folder, [folder / name for name in last])
        with _watched(files) as are_the_same:
            # An unfinished save may come and go within a tick of the file system's clock.
            yield source, lambda: is_the_same() and are_the_same() and (source == folder or source.is_dir())


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
