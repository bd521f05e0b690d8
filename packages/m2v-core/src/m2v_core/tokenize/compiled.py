"""A tokenizer whose vocabulary is compiled to arrays: all that is needed of `tokenizer.json` without parsing it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.tokenize.splitting import CannotSplitError, check_not_shared, splitting_of
from m2v_core.tokenize.vocabulary import in_all_versions, numbering, ordinary_unknown, parsed

_CHUNK = 1 << 20

#: What may be large in the model of a `tokenizer.json`.
_LARGE = ("vocab", "merges")


@dataclass(frozen=True)
class MappedText:
    """The text of a `tokenizer.json` that stays in its file.

    Attributes:
        data: [n] uint8, the bytes of the file.
        digest: What `digest_of` gave when the model was loaded.
        where: Name of the file in errors.
        inode: Number of the file, if it is mapped: to read what was cut off would end the process.
    """

    data: NDArray[np.uint8]
    digest: str
    where: str
    inode: int | None = None

    def text(self) -> str:
        """The text.

        Raises:
            ModelFormatError: The file was changed since the model was loaded.
        """
        if self._is_shorter() or digest_of(self.data) != self.digest:
            raise ModelFormatError(
                f"{self.where} was overwritten after the model was loaded, which needs its old content now. Load the "
                f"model again; m2v replaces files instead."
            )
        return self.data.tobytes().decode()

    def _is_shorter(self) -> bool:
        try:
            now = os.stat(self.where)  # noqa: PTH116 - pathlib is not needed here
        except OSError:  # a file that was removed or replaced lives on while it is mapped
            return False
        return now.st_ino == self.inode and now.st_size < len(self.data)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (np.array(self.data), self.digest, self.where)


@dataclass(frozen=True)
class CompiledTokenizer:
    """A tokenizer with a compiled vocabulary.

    Attributes:
        source: The text of its `tokenizer.json`.
        n_tokens: Number of ids, including unused ones.
        unused_ids: [n] int64, ids below the largest that no token has.
        unk_id: Id of the unknown token, or `None`.
        ordinary_unknown: The unknown token if it looks like an ordinary piece, else `None`.
        outline: The content of `tokenizer.json` without vocabulary and merges.
        settings: Settings of the word model; see `m2v_core.tokenize.words.packed`.
        arrays: Arrays of the word model.
    """

    source: MappedText
    n_tokens: int
    unused_ids: NDArray[np.int64]
    unk_id: int | None
    ordinary_unknown: str | None
    outline: dict[str, Any]
    settings: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def text(self) -> str:
        """The text of `tokenizer.json`; see `MappedText.text`."""
        return self.source.text()


def compiled(content: bytes, where: str) -> CompiledTokenizer:
    """Compile the vocabulary of a `tokenizer.json`, given by its bytes; `where` names it in errors.

    Raises:
        InvalidInputError: Our own word models do not know a part of the tokenizer; the message names it.
        ModelFormatError: It is not a tokenizer.
    """
    from m2v_core.tokenize.words.build import CannotModelError
    from m2v_core.tokenize.words.packed import BadVocabularyError, check, packed
    from m2v_core.tokenize.words.piece_encoder import PieceEncoder

    data = np.frombuffer(content, np.uint8)
    raw = parsed(_decoded(content, where), where)
    ids = numbering(raw, where)
    try:
        check_not_shared(ids)
        splitting_of(raw)
        _check_same_in_all_versions(raw)
        settings, arrays = packed(PieceEncoder(raw).model)
        check(settings, arrays, ids.n_tokens)
    except (CannotSplitError, CannotModelError, BadVocabularyError) as why:
        raise InvalidInputError(
            f"{where}: the vocabulary cannot be compiled: {why}. The model works without that, by the tokenizers "
            f"library."
        ) from None
    model = {name: value for name, value in raw["model"].items() if name not in _LARGE}
    names = ("version", "added_tokens", "normalizer", "pre_tokenizer")
    return CompiledTokenizer(
        source=MappedText(data, digest_of(data), where),
        n_tokens=ids.n_tokens,
        unused_ids=ids.unused_ids,
        unk_id=ids.unk_id,
        ordinary_unknown=ordinary_unknown(raw),
        outline={**{name: raw[name] for name in names if name in raw}, "model": model},
        settings=settings,
        arrays=arrays,
    )


def digest_of(data: NDArray[np.uint8]) -> str:
    """BLAKE2b of bytes, 32 bytes in hexadecimal digits.

    Example:
        >>> digest_of(np.zeros(0, np.uint8))[:16]
        '0e5751c026e543b2'
    """
    try:
        from _blake2 import blake2b  # hashlib would load OpenSSL
    except ImportError:
        from hashlib import blake2b
    hashed = blake2b(digest_size=32)
    for start in range(0, len(data), _CHUNK):
        hashed.update(data[start : start + _CHUNK].data)
    return hashed.hexdigest()


def _check_same_in_all_versions(raw: dict[str, Any]) -> None:
    vocab = raw["model"]["vocab"]
    ids = {token: index for index, (token, _) in enumerate(vocab)} if isinstance(vocab, list) else vocab
    first, *others = in_all_versions(ids, raw.get("added_tokens") or []).values()
    if any(other != first for other in others):
        raise CannotSplitError("versions of the tokenizers library give different ids to its added tokens")


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{where}: expected UTF-8 text; found other bytes at offset {error.start}.") from None
