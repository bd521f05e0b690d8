"""The file of a compiled vocabulary, `vocabulary.safetensors`: written, and read as a stranger's.

Its arrays stay in the file, so that processes share them, and `tokenizer.json` is compared by its digest alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import ModelFormatError
from m2v_core.storage import tensor_pieces
from m2v_core.storage.files import mapped_bytes, read_tensors
from m2v_core.storage.tensor_file import opened_tensors
from m2v_core.tokenize.compiled import CompiledTokenizer, MappedText, compiled, digest_of
from m2v_core.tokenize.words import packed

VERSION = 1

#: Keys of the metadata: the version of this format, the digest of `tokenizer.json`, and the checksum of the tensors.
VERSION_KEY, DIGEST_KEY, CHECKSUM_KEY = "version", "tokenizer_digest", "checksum"

#: A tensor of JSON: what else is needed of `tokenizer.json`.
SETTINGS = "settings"

#: Ids that no token has; absent if there are none.
UNUSED_IDS = "unused_ids"

_DTYPES = {"uint8": "U8", "int32": "I32", "uint32": "U32", "int64": "I64", "float64": "F64"}
_MAX_TOKENS = 1 << 24


def compiled_from(tokenizer: bytes, where: str) -> bytes:
    """The content of `vocabulary.safetensors` for that of a `tokenizer.json`; `where` names it in errors.

    Raises:
        InvalidInputError: Our own word models do not know a part of the tokenizer; the message names it.
        ModelFormatError: It is not a tokenizer.
    """
    return serialized(compiled(tokenizer, where))


def serialized(tokenizer: CompiledTokenizer) -> bytes:
    """The content of `vocabulary.safetensors`."""
    content = {
        "n_tokens": tokenizer.n_tokens,
        "unk_id": tokenizer.unk_id,
        "ordinary_unknown": tokenizer.ordinary_unknown,
        "model": tokenizer.settings,
        "tokenizer": tokenizer.outline,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    tensors = {SETTINGS: np.frombuffer(text, np.uint8), **tokenizer.arrays}
    if len(tokenizer.unused_ids):
        tensors[UNUSED_IDS] = tokenizer.unused_ids
    metadata = {
        VERSION_KEY: str(VERSION),
        DIGEST_KEY: tokenizer.source.digest,
        CHECKSUM_KEY: _checksum(tensors),
    }
    return tensor_pieces.serialized(tensors, metadata)


def read(path: Path, tokenizer_path: Path) -> CompiledTokenizer | None:
    """Read a compiled vocabulary; `None`, with a log line, if it is not that of the `tokenizer.json` beside it.

    Args:
        path: The file.
        tokenizer_path: Path of `tokenizer.json`.

    Raises:
        ModelFormatError: The file is damaged, or its arrays are not sound.
    """
    try:
        metadata = _metadata(path)
        version, digest, checksum = (metadata[key] for key in (VERSION_KEY, DIGEST_KEY, CHECKSUM_KEY))
        if int(version) > VERSION:
            _log_ignored(path, f"it is of version {version}, and this m2v reads {VERSION}")
            return None
        if int(version) != VERSION:
            raise ModelFormatError(f"there is no version {version}")
        source = _source(tokenizer_path)
        if source is None or source.digest != digest:
            _log_ignored(path, f"it was compiled from another {tokenizer_path.name}")
            return None
        return _checked(path, source, checksum)
    except (ModelFormatError, packed.BadVocabularyError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
        raise ModelFormatError(
            f"{path} is damaged: {reason.rstrip('.')}. Compile the model again (m2v compile {path.parent}), or delete "
            f"this file, without which the model works too."
        ) from None


def _checked(path: Path, source: MappedText, checksum: str) -> CompiledTokenizer:
    kinds = {name: {_DTYPES[dtype]: dtype} for name, dtype in packed.DTYPES.items()}
    optional = {**kinds, UNUSED_IDS: {"I64": "int64"}}
    tensors = read_tensors(path, required={SETTINGS: {"U8": "uint8"}}, optional=optional, mapped={SETTINGS, *optional})
    if _checksum(tensors) != checksum:
        raise ModelFormatError("its checksum is another")
    content = json.loads(tensors.pop(SETTINGS).tobytes())
    unused = tensors.pop(UNUSED_IDS, np.zeros(0, np.int64))
    n_tokens, unk_id, unknown = content["n_tokens"], content["unk_id"], content["ordinary_unknown"]
    if type(n_tokens) is not int or not 0 <= n_tokens <= _MAX_TOKENS:
        raise ModelFormatError(f"n_tokens should be a whole number up to {_MAX_TOKENS}; found {n_tokens!r}")
    if unk_id is not None and (type(unk_id) is not int or not 0 <= unk_id < n_tokens):
        raise ModelFormatError(f"unk_id should be an id or null; found {unk_id!r}")
    if not isinstance(unknown, str | None) or not isinstance(content["tokenizer"], dict):
        raise ModelFormatError("its settings are of an unknown form")
    if unused.ndim != 1 or (len(unused) and not (unused.min() >= 0 and unused.max() < n_tokens)):
        raise ModelFormatError("unused_ids should have ids")
    packed.check(content["model"], tensors, n_tokens)
    return CompiledTokenizer(
        source=source,
        n_tokens=n_tokens,
        unused_ids=unused,
        unk_id=unk_id,
        ordinary_unknown=unknown,
        outline=content["tokenizer"],
        settings=content["model"],
        arrays=tensors,
    )


def _metadata(path: Path) -> Mapping[str, str]:
    with opened_tensors(path) as file:
        return file.metadata


def _source(path: Path) -> MappedText | None:
    data = mapped_bytes(path)
    return None if data is None else MappedText(data, digest_of(data), str(path), path.stat().st_ino)


def _checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    """CRC-32 of all tensors by name: of a line of name, dtype and shape, and then of the bytes."""
    checksum = 0
    for name, array in sorted(tensors.items()):
        line = f"{name} {_DTYPES[array.dtype.name]} {list(array.shape)}\n"
        checksum = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, zlib.crc32(line.encode(), checksum))
    return f"{checksum:08x}"


def _log_ignored(path: Path, why: str) -> None:
    import logging  # few need it

    logging.getLogger("m2v_core").warning(
        "%s is ignored: %s. Compile the model again for a quick start: m2v compile %s", path, why, path.parent
    )
