"""The ASCII part of a SentencePiece character map (`Precompiled`): one string for each character.

The map is a Darts double array: 32-bit units of a child's label, its offset, and whether a key ends there. See
"Darts-clone" and SentencePiece's `normalizer.cc`.
"""

from __future__ import annotations

import base64
import binascii
import struct


def ascii_map(charsmap: str | None) -> dict[str, str] | None:
    """The replacement of each ASCII character in a base64 map; `None` if the map has an unknown form."""
    if not charsmap:
        return {chr(code): chr(code) for code in range(128)}
    try:
        data = base64.b64decode(charsmap, validate=True)
        (size,) = struct.unpack_from("<I", data)
        units = struct.unpack_from(f"<{size // 4}I", data, 4)
        texts = data[4 + size :]
        return {chr(code): _mapped(units, texts, code) for code in range(128)}
    except (binascii.Error, struct.error, ValueError, IndexError):
        return None


def _mapped(units: tuple[int, ...], texts: bytes, byte: int) -> str:
    node = _offset(units[0])
    position = node ^ byte
    unit = units[position]
    if unit & 0x800000FF != byte or not unit >> 8 & 1:  # another label, or no key ends here
        return chr(byte)
    at = units[position ^ _offset(unit)] & 0x7FFFFFFF
    return texts[at : texts.index(b"\0", at)].decode()


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 0x200) >> 6)
