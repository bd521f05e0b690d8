"""The folder of an index: names, the writer, and the reader, which trusts nothing; see `docs/format.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import ModelFormatError, ModelNotFoundError
from m2v_core.ragged import Ragged
from m2v_core.search import precision
from m2v_core.search.entries import MOST, Lines
from m2v_core.search.lexical import Scores
from m2v_core.storage.atomic import replaced_folder
from m2v_core.storage.files import UNFINISHED, mapped_bytes, read_consistently, read_json, read_tensors, write_json
from m2v_core.storage.tensor_pieces import SAFE_NAMES, Tensor, write_tensors

VERSION = 1

INDEX_FILE = "index.json"
VECTOR_FILE = "vectors.safetensors"
ENTRY_FILE = "entries.jsonl"
LEXICAL_FILE = "lexical.safetensors"
MODEL_FOLDER = "model"

#: What a save replaces or removes; all else in the folder stays.
OWNED = frozenset({INDEX_FILE, VECTOR_FILE, ENTRY_FILE, LEXICAL_FILE, MODEL_FOLDER})

ZERO_ROWS, LINE_ENDS, TOKEN_WEIGHTS = "zero_rows", "line_ends", "token_weights"
VOCABULARY, WORDS, OFFSETS, VALUES, DOCUMENTS, STARTS = (
    "vocabulary",
    "words",
    "offsets",
    "scores",
    "documents",
    "starts",
)

_MAX_DIM = 1 << 20
_LARGEST = 1e15  # score: sums and squares of such ones are float32 too
_MAX_ROWS = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True)
class StoredIndex:
    """Content of an index's folder, but for the model.

    Attributes:
        dtype: float32, float16, int8 or binary.
        dim: D, or `None` before the first vector of an index without a model.
        next_id: The next id that is a number, for texts that come without one.
        model_digest: Digest of the model that embeds queries, or `None`.
        model_folder: The folder of that model, or `None` if it is not part of the index.
        arrays: The rows' arrays; see `m2v_core.search.precision`.
        zero_rows: [m] int64, the rows without a vector, in ascending order.
        lines: The entries.
        adapts: Whether tokens are weighted for the collection.
        token_weights: [V] float32, these factors of the model's weights, or `None` before the first text.
        vocabulary: The words of lexical search.
        documents: The numbers of the words of each document, or `None` without lexical search.
        scores: Their scores.
    """

    dtype: str
    dim: int | None
    next_id: int
    model_digest: str | None
    model_folder: Path | None
    arrays: precision.Arrays
    zero_rows: NDArray[np.int64]
    lines: Lines
    adapts: bool
    token_weights: NDArray[np.float32] | None = None
    vocabulary: Sequence[str] = ()
    documents: Ragged | None = None
    scores: Scores | None = None


# --- version 1: write and read, side by side --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What is written; large arrays come in pieces.

    Attributes:
        header: The content of `index.json`, but for the version.
        tensors: Those of `vectors.safetensors`.
        entries: The lines of `entries.jsonl`, in pieces.
        lexical: Those of `lexical.safetensors`, or `None`.
        save_model: Writes the model into a folder, or `None`.
    """

    header: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    entries: Any
    lexical: Mapping[str, Tensor] | None
    save_model: Callable[[Path], None] | None


def write(folder: Path, index: Writing) -> None:
    """Write the folder of an index in one step."""
    with replaced_folder(folder, owned=OWNED, last=INDEX_FILE) as staging:
        write_tensors(staging / VECTOR_FILE, index.tensors)
        with (staging / ENTRY_FILE).open("wb") as file:
            file.writelines(index.entries)
        if index.lexical is not None:
            write_tensors(staging / LEXICAL_FILE, index.lexical)
        if index.save_model is not None:
            index.save_model(staging / MODEL_FOLDER)
        write_json(staging / INDEX_FILE, {"version": VERSION, **index.header})


def read(folder: Path, *, memory_map: bool = True) -> StoredIndex:
    """Read and check the folder of an index; with `memory_map`, vectors, entries and tokens stay in their files.

    Raises:
        ModelNotFoundError: There is no index.
        ModelFormatError: A file is damaged, or of a version that this m2v does not read.
    """
    if not (folder / INDEX_FILE).is_file() and not (folder / UNFINISHED).is_dir():
        found = "a folder without it" if folder.is_dir() else "no such folder"
        raise ModelNotFoundError(
            f"{folder}: expected the folder of an index, which holds {INDEX_FILE}; found {found}. Index.save makes one."
        )
    return read_consistently(folder, partial(_read, memory_map=memory_map), last=(INDEX_FILE,))


def _read(folder: Path, *, memory_map: bool) -> StoredIndex:
    header = _header(folder / INDEX_FILE)
    n, dim, dtype = header["count"], header["dim"], header["dtype"]
    path = folder / VECTOR_FILE
    kinds = {name: _kind(kind) for name, kind in precision.STORED[dtype].items()}
    tensors = read_tensors(
        path,
        required={**kinds, ZERO_ROWS: _kind("int64"), LINE_ENDS: _kind("int64")},
        optional={TOKEN_WEIGHTS: _kind("float32")},
        mapped=tuple(kinds) if checks.truth("memory_map", memory_map) else (),
    )
    for name, width in precision.widths(dtype, dim or 1).items():
        _check(path, tensors[name].shape == (n, *width), f"{name} should have shape {[n, *width]}", tensors[name].shape)
    zero_rows, ends, weights = tensors[ZERO_ROWS], tensors[LINE_ENDS], tensors.get(TOKEN_WEIGHTS)
    _check(path, zero_rows.ndim == 1 and _ascends(zero_rows, 0, n), f"{ZERO_ROWS} should be rows that ascend", "others")
    if weights is not None:
        sound = weights.ndim == 1 and bool(np.isfinite(weights).all()) and bool((weights >= 0).all())
        _check(path, sound, f"{TOKEN_WEIGHTS} should be finite numbers of at least 0", "others")
    return StoredIndex(
        dtype=dtype,
        dim=dim,
        next_id=header["next_id"],
        model_digest=header["model_digest"],
        model_folder=folder / MODEL_FOLDER if (folder / MODEL_FOLDER).is_dir() else None,
        arrays={name: tensors[name] for name in kinds},
        zero_rows=zero_rows,
        lines=_lines(folder / ENTRY_FILE, ends, n),
        adapts=header["adapt"],
        token_weights=weights,
        **(_lexical(folder / LEXICAL_FILE, n, memory_map=memory_map) if header["lexical"] else {}),
    )


def _header(path: Path) -> dict[str, Any]:
    raw: dict[str, Any] = read_json(path)
    version = raw.get("version")
    if version != VERSION:
        raise ModelFormatError(
            f'{path}: expected "version" {VERSION}; found {version!r:.50}. A newer m2v-core may read it; or make the '
            f"index again."
        )
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "count": (lambda value: _is_whole(value, 0, _MAX_ROWS), f"a whole number, at most {_MAX_ROWS}"),
        "dim": (
            lambda value: _is_whole(value, 1, _MAX_DIM) or (value is None and raw["count"] == 0),
            f"a whole number from 1 to {_MAX_DIM} (or null in an index of nothing)",
        ),
        "dtype": (lambda value: isinstance(value, str) and value in precision.STORED, ", ".join(precision.STORED)),
        "next_id": (lambda value: _is_whole(value, 0, MOST), "a whole number of 64 bits"),
        "model_digest": (lambda value: value is None or isinstance(value, str), "a string or null"),
        "lexical": (lambda value: isinstance(value, bool), "true or false"),
        "adapt": (lambda value: isinstance(value, bool), "true or false"),
    }
    for name, (holds, expected) in checks.items():
        if name not in raw or not holds(raw[name]):
            raise ModelFormatError(f'{path}: "{name}" should be {expected}; found {raw.get(name)!r:.50}.')
    return raw


def _lines(path: Path, ends: NDArray[np.int64], n: int) -> Lines:
    if not path.is_file():
        raise ModelNotFoundError(f"{path} is missing, so {path.parent} is not a whole index. Copy it again.")
    data = mapped_bytes(path)
    data = np.zeros(0, np.uint8) if data is None else data
    sound = ends.shape == (n,) and _ascends(ends, 1, len(data) + 1) and (int(ends[-1]) if n else 0) == len(data)
    _check(path, sound, f"{n} lines that end where {LINE_ENDS} of {VECTOR_FILE} says", f"{len(data)} bytes")
    return Lines(data, ends, str(path))


def _lexical(path: Path, n: int, *, memory_map: bool) -> dict[str, Any]:
    kinds = {
        WORDS: "int32",
        OFFSETS: "int64",
        VALUES: "float32",
        DOCUMENTS: "int32",
        STARTS: "int64",
        VOCABULARY: "uint8",
    }
    mapped = (WORDS, VALUES, DOCUMENTS) if memory_map else ()
    found = read_tensors(path, required={name: _kind(kind) for name, kind in kinds.items()}, mapped=mapped)
    for name, array in found.items():
        _check(path, array.ndim == 1, f"{name} should have one axis", array.shape)
    words, offsets, values, documents, starts = (found[name] for name in list(kinds)[:5])
    vocabulary = _vocabulary(path, found[VOCABULARY])
    for name, ends, total, count in ((OFFSETS, offsets, len(words), n), (STARTS, starts, len(values), len(vocabulary))):
        sound = len(ends) == count + 1 and int(ends[0]) == 0 and int(ends[-1]) == total
        _check(path, sound and bool((ends[1:] >= ends[:-1]).all()), f"{name} should go from 0 to {total}", "others")
    _check(path, len(documents) == len(values), f"{DOCUMENTS} should be as long as {VALUES}", len(documents))
    _check(path, _within(words, len(vocabulary)), f"{WORDS} should be below {len(vocabulary)}", "others")
    _check(path, _within(documents, n), f"{DOCUMENTS} should be below {n}", "others")
    _check(path, bool((np.abs(values) < _LARGEST).all()), f"{VALUES} should be numbers below {_LARGEST:g}", "others")
    return {"vocabulary": vocabulary, "documents": Ragged(words, offsets), "scores": Scores(values, documents, starts)}


def _vocabulary(path: Path, text: NDArray[np.uint8]) -> list[str]:
    """Words, each of which ends with a line feed."""
    try:
        *words, rest = text.tobytes().decode().split("\n")
    except UnicodeDecodeError:
        words, rest = [], "?"
    _check(
        path,
        not rest and len(set(words)) == len(words),
        f"{VOCABULARY} should be different words, a line each",
        "others",
    )
    return words


def _kind(dtype: str) -> dict[str, str]:
    return {SAFE_NAMES[dtype]: dtype}


def _is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _ascends(numbers: NDArray[np.int64], least: int, below: int) -> bool:
    """Whether whole numbers are in range, and each is larger than the one before."""
    return not len(numbers) or (
        int(numbers[0]) >= least and int(numbers[-1]) < below and bool((numbers[1:] > numbers[:-1]).all())
    )


def _within(numbers: NDArray[np.int32], below: int) -> bool:
    return not len(numbers) or (int(numbers.min()) >= 0 and int(numbers.max()) < below)


def _check(path: Path, holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise ModelFormatError(f"{path}: {expected}; found {found}. Copy the index again, or make it again.")
