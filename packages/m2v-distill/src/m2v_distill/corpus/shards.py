"""A shard of a store of features: texts and their vectors in one safetensors file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Int64, UInt8
from numpy import ndarray
from safetensors import safe_open
from safetensors.numpy import save

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.storage.files import read_tensors
from m2v_distill.teacher.engine.resume import checksum

_TENSORS = {"vectors": {"F16": "float16"}, "text": {"U8": "uint8"}, "ends": {"I64": "int64"}}
REMEDY = "Run featurize again with the same corpus and folder: it computes what is amiss anew."


@dataclass(frozen=True)
class Packed:
    """Texts in a row.

    Attributes:
        text: Their UTF-8, one after the other.
        ends: Where each ends, in bytes.

    Example:
        >>> packed = Packed.of(["day", "", "é"])
        >>> packed.ends.tolist(), packed.unpacked()
        ([3, 3, 5], ['day', '', 'é'])
    """

    text: UInt8[ndarray, " b"]
    ends: Int64[ndarray, " n"]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Packed:
        """Pack texts.

        Raises:
            InvalidInputError: One is no text, or no valid Unicode.
        """
        try:
            parts = [text.encode() for text in texts]
        except (AttributeError, UnicodeEncodeError) as error:
            raise InvalidInputError(f"Expected texts (str) of valid Unicode; found another: {error}.") from None
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return cls(np.frombuffer(b"".join(parts), np.uint8), ends)

    def unpacked(self) -> list[str]:
        """The texts.

        Raises:
            UnicodeDecodeError: The bytes are no UTF-8.
        """
        text = self.text.tobytes()
        return [text[start:end].decode() for start, end in pairwise([0, *self.ends.tolist()])]

    def starts_with(self, other: Packed) -> bool:
        """Whether all texts of the other are the first ones here."""
        n, size = len(other.ends), len(other.text)
        return np.array_equal(self.ends[:n], other.ends) and np.array_equal(self.text[:size], other.text)


def write_shard(path: Path, texts: Packed, vectors: Float16[ndarray, "n H"]) -> None:
    """Write a shard beside its name, and rename it: whoever looks finds a whole one or none."""
    tensors = {"vectors": vectors, "text": texts.text, "ends": texts.ends}
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(save(tensors, {"sha256": checksum(tensors)}))
    unfinished.replace(path)


def count_texts(path: Path) -> int:
    """How many texts a shard holds, by its header.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: It is damaged.
    """
    return int(_tensors(path, "ends")["ends"].size)


def read_shard(path: Path, dim: int, *, verify: bool = True) -> tuple[Packed, Float16[ndarray, "n H"]]:
    """The texts and vectors of a shard.

    Args:
        path: The file.
        dim: H, the width that it should have.
        verify: Whether to compute its checksum.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: It is damaged, or its tensors do not fit each other.
    """
    tensors = _tensors(path, *_TENSORS)
    vectors, text, ends = (tensors[name] for name in _TENSORS)
    if ends.ndim != 1 or text.ndim != 1 or vectors.shape != (len(ends), dim):
        raise ModelFormatError(
            f"{path}: expected vectors [n, {dim}], text [bytes] and ends [n]; found {vectors.shape}, {text.shape} and "
            f"{ends.shape}. {REMEDY}"
        )
    if verify:
        with safe_open(path, framework="numpy") as file:
            stated = (file.metadata() or {}).get("sha256")
        if stated != checksum(tensors):
            raise ModelFormatError(f"{path}: its checksum does not hold, so the file is damaged. {REMEDY}")
    if len(ends) == 0 or ends[0] < 0 or ends[-1] != len(text) or (ends[1:] < ends[:-1]).any():
        raise ModelFormatError(
            f"{path}: expected the ends of one text or more, none before the last, up to the {len(text)} bytes of "
            f"text; found others. {REMEDY}"
        )
    if not np.isfinite(vectors).all():
        raise ModelFormatError(f"{path}: expected finite vectors; found others. {REMEDY}")
    return Packed(text, ends), vectors


def texts_of(path: Path, packed: Packed) -> list[str]:
    """The texts of a shard that was read.

    Raises:
        ModelFormatError: They are no UTF-8.
    """
    try:
        return packed.unpacked()
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{path}: expected texts in UTF-8; found other bytes ({error}). {REMEDY}") from None


def _tensors(path: Path, *names: str) -> dict[str, ndarray]:
    try:
        return read_tensors(path, required={name: _TENSORS[name] for name in names})
    except ModelFormatError as error:
        raise ModelFormatError(f"{error} {REMEDY}") from None
