"""Digests of arrays, which need not be in memory as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bytes of an array that are digested at a time, so that a mapped table does not come into memory as a whole.
_BYTES = 1 << 24


def content_digest(text: bytes, arrays: Mapping[str, NDArray[Any]]) -> str:
    """BLAKE2b with 16 bytes, in hexadecimal digits, of a text and of names, dtypes, shapes and bytes of arrays.

    Example:
        >>> content_digest(b"", {"row": np.zeros(2)}) == content_digest(b"", {"row": np.zeros(3)})
        False
    """
    from hashlib import blake2b  # loads OpenSSL

    hashed = blake2b(text, digest_size=16)
    for name, array in arrays.items():
        hashed.update(f"\n{name} {array.dtype.name} {list(array.shape)}\n".encode())
        step = max(1, _BYTES // max(1, array[:1].nbytes))
        for start in range(0, len(array), step):
            hashed.update(np.ascontiguousarray(array[start : start + step]).data)
    return hashed.hexdigest()
