"""The normalizers and pre-tokenizers of a `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def flattened(part: dict[str, Any] | None, inner: str) -> Iterator[dict[str, Any]]:
    """The normalizers or pre-tokenizers of a `tokenizer.json` without the sequences that hold them."""
    if part is None:
        return
    if part["type"] == "Sequence":
        for member in part[inner]:
            yield from flattened(member, inner)
    else:
        yield part
