"""A shard of a store of features: texts and their vectors in one safetensors file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float16
from numpy import ndarray

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.ragged import Ragged
from m2v_core.storage.atomic import replaced_file
from m2v_core.storage.files import read_tensors
from m2v_core.storage.tensor_file import checksum, opened_tensors
from m2v_core.storage.tensor_pieces import serialized

_TENSORS = {"vectors": {"F16": "float16"}, "text": {"U8": "uint8"}, "ends": {"I64": "int64"}}
REMEDY = "Run featurize again with the same corpus and folder: it computes missing and damaged shards again."


def pack(texts: Sequence[str]) -> Ragged:
    """Encode texts as packed UTF-8 bytes.

    Raises:
        InvalidInputError: An element is not a text, or not valid Unicode.

    Example:
        >>> packed = pack(["day", "", "é"])
        >>> packed.lengths.tolist(), unpack(packed)
        ([3, 0, 2], ['day', '', 'é'])
    """
    try:
        parts = [text.encode() for text in texts]
    except (AttributeError, UnicodeEncodeError) as error:
        raise InvalidInputError(f"Expected texts (str) of valid Unicode; found another: {error}.") from None
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    return Ragged.with_lengths(np.frombuffer(b"".join(parts), np.uint8), lengths)


def unpack(packed: Ragged) -> list[str]:
    """Decode texts from packed UTF-8 bytes.

    Raises:
        UnicodeDecodeError: The bytes are not UTF-8.
    """
    text = packed.values.tobytes()
    return [text[start:end].decode() for start, end in pairwise(packed.offsets.tolist())]


def starts_with(packed: Ragged, first: Ragged) -> bool:
    """Whether the first texts are the given ones."""
    n, size = len(first.offsets), len(first.values)
    return np.array_equal(packed.offsets[:n], first.offsets) and np.array_equal(packed.values[:size], first.values)


def write_shard(path: Path, texts: Ragged, vectors: Float16[ndarray, "n H"]) -> None:
    """Write a shard, the whole file or nothing."""
    tensors = {"vectors": vectors, "text": texts.values, "ends": texts.offsets[1:]}
    with replaced_file(path, "wb") as file:
        file.write(serialized(tensors, {"sha256": checksum(tensors)}))


def count_texts(path: Path) -> int:
    """The number of texts of a shard, by the header of the file.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: The file is damaged.
    """
    return int(_tensors(path, "ends")["ends"].size)


def read_shard(path: Path, dim: int, *, verify: bool = True) -> tuple[Ragged, Float16[ndarray, "n H"]]:
    """The texts, packed, and vectors of a shard.

    Args:
        path: The file.
        dim: Expected size of the vectors, H.
        verify: Whether to verify the checksum.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: The file is damaged, or its tensors do not fit together.
    """
    tensors = _tensors(path, *_TENSORS)
    vectors, text, ends = (tensors[name] for name in _TENSORS)
    if ends.ndim != 1 or text.ndim != 1 or vectors.shape != (len(ends), dim):
        raise ModelFormatError(
            f"{path}: expected vectors [n, {dim}], text [bytes] and ends [n]; found {vectors.shape}, {text.shape} and "
            f"{ends.shape}. {REMEDY}"
        )
    if verify:
        with opened_tensors(path) as file:
            stated = file.metadata.get("sha256")
        if stated != checksum(tensors):
            raise ModelFormatError(f"{path}: the checksum does not match, so the file is damaged. {REMEDY}")
    if len(ends) == 0 or ends[0] < 0 or ends[-1] != len(text) or (ends[1:] < ends[:-1]).any():
        raise ModelFormatError(
            f"{path}: expected the ends of one text or more, in ascending order up to the {len(text)} bytes of text; "
            f"found others. {REMEDY}"
        )
    if not np.isfinite(vectors).all():
        raise ModelFormatError(f"{path}: expected finite vectors; found others. {REMEDY}")
    return Ragged(text, np.concatenate([np.zeros(1, np.int64), ends])), vectors


def texts_of(path: Path, packed: Ragged) -> list[str]:
    """The texts of a shard that was read.

    Raises:
        ModelFormatError: They are not UTF-8.
    """
    try:
        return unpack(packed)
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{path}: expected texts in UTF-8; found other bytes ({error}). {REMEDY}") from None


def _tensors(path: Path, *names: str) -> dict[str, ndarray]:
    try:
        return read_tensors(path, required={name: _TENSORS[name] for name in names})
    except ModelFormatError as error:
        raise ModelFormatError(f"{error} {REMEDY}") from None
