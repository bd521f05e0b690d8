"""Dtypes that numpy does not have, bfloat16 and the kinds of float8, converted to float32, which holds them exactly."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Narrow dtypes: name in safetensors -> dtype that they are read as.
NARROW_DTYPES = dict.fromkeys(("BF16", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0"), "float32")

_CHUNK = 1 << 20  # numbers that are looked up at a time: their indices take eight bytes each


def raw_dtype(name: str) -> np.dtype[Any]:
    """The unsigned integers that hold the bits of a narrow dtype in a file."""
    return np.dtype("<u2" if name == "BF16" else "u1")


def widened(bits: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Convert numbers of a narrow dtype to float32, exactly.

    Args:
        bits: Bits of the numbers, of `raw_dtype(name)`.
        name: One of `NARROW_DTYPES`.

    Example:
        >>> widened(np.array([0x3F80, 0xC020], "<u2"), "BF16")
        array([ 1. , -2.5], dtype=float32)
        >>> widened(np.array([0x38, 0xFE], np.uint8), "F8_E4M3")
        array([   1., -448.], dtype=float32)
    """
    values = np.empty(bits.shape, np.float32)
    if name == "BF16":  # the first half of a float32
        words = values.view(np.uint32)
        words[...] = bits
        words <<= 16
        return values
    table, flat, indices = _float8_values(name), values.reshape(-1), bits.reshape(-1)
    for start in range(0, len(flat), _CHUNK):
        flat[start : start + _CHUNK] = table.take(indices[start : start + _CHUNK])
    return values


@cache
def _float8_values(name: str) -> NDArray[np.float32]:
    """[256] value of each byte, by the OCP 8-bit Floating Point Specification (2023), and for E8M0 OCP Microscaling.

    FNUZ dtypes are finite, and the byte of -0 is NaN (Noune et al., 8-bit Numerical Formats for Deep Neural Networks).
    """
    values: NDArray[np.float32]
    byte = np.arange(256)
    if name == "F8_E8M0":
        values = np.ldexp(np.ones(256, np.float32), np.minimum(byte, 0xFE) - 127)
        values[0xFF] = np.nan
        return values
    n_mantissa = 3 if "E4M3" in name else 2
    bias = (7 if n_mantissa == 3 else 15) + name.endswith("FNUZ")
    mantissa, exponent = byte & ((1 << n_mantissa) - 1), (byte & 0x7F) >> n_mantissa
    normal = exponent > 0
    significand = ((normal << n_mantissa) + mantissa).astype(np.float32)
    values = np.ldexp(significand, np.where(normal, exponent, 1) - bias - n_mantissa)
    values[0x80:] *= -1
    if name.endswith("FNUZ"):
        values[0x80] = np.nan
    elif n_mantissa == 3:
        values[[0x7F, 0xFF]] = np.nan
    else:
        values[[0x7C, 0xFC]] = np.inf, -np.inf
        values[[*range(0x7D, 0x80), *range(0xFD, 0x100)]] = np.nan
    return values
