"""Rotary position embeddings: pairs of a head's values are rotated by angles that grow with the position.

Su et al., RoFormer, 2021, section 3.2.2, with all scaling types of transformers, for queries and keys of any family.
Everything except `rotate` depends on shapes alone and is computed by NumPy while a program is traced, in float32 where
PyTorch computes in float32: at distant positions the rounding of an angle matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from numpy import ndarray

from m2v_core.errors import ModelFormatError

#: Keys of `rope_parameters`. A key that the rope type does not use is ignored, as in transformers.
KNOWN = {
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "short_factor",
    "long_factor",
    "low_freq_factor",
    "high_freq_factor",
    "mscale",
    "mscale_all_dim",
    "truncate",
}


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """The rotary settings of a layer; called with a length, it returns the tables for `rotate`.

    Attributes:
        kind: transformers' `rope_type`.
        dim: Number of rotated values of a head, R: the first ones.
        theta: Base: at each position, pair i of R / 2 is rotated by theta^(-2i / R).
        positions: The config's `max_position_embeddings`.
        original: Longest sequence before scaling.
        factor: Scaling factor of positions; the default of yarn and longrope is positions / original.
        attention_factor: Factor of queries and keys, if the config sets it.
        low, high: Frequency factors of llama3.
        fast, slow: Bounds of yarn, in rotations over the original length.
        mscale: Yarn's two weights of log(factor), if the config has both.
        truncate: Whether yarn's bounds are rounded to whole pairs.
        short, long: Divisors of longrope, R / 2 each, for sequences up to the original length and longer ones.

    Example:
        >>> rotary = Rotary.of({"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}, head_dim=4, positions=64)
        >>> cos, sin = rotary(3)
        >>> cos.shape, round(float(sin[2, 0]), 4)  # at position 2 the first pair is rotated by 2 / factor
        ((3, 2), 0.8415)
    """

    kind: str
    dim: int
    theta: float
    positions: int
    original: int
    factor: float = 1.0
    attention_factor: float | None = None
    low: float = 1.0
    high: float = 4.0
    fast: float = 32.0
    slow: float = 1.0
    mscale: tuple[float, float] | None = None
    truncate: bool = True
    short: tuple[float, ...] = ()
    long: tuple[float, ...] = ()

    @classmethod
    def of(cls, rope: Mapping[str, Any], *, head_dim: int, positions: int) -> Rotary:
        """Make the settings from `rope_parameters` of transformers 5 (of one layer type, where they differ).

        Args:
            rope: The settings.
            head_dim: Size of a head, K; `partial_rotary_factor` is the fraction of it that is rotated.
            positions: The config's `max_position_embeddings`.

        Raises:
            ModelFormatError: A type or key is unknown, or a setting is missing or out of range.
        """
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind not in KINDS:
            raise ModelFormatError(f"expected rope_type to be one of {', '.join(KINDS)}; found {kind!r}.")
        if unknown := sorted(set(rope) - KNOWN):
            raise ModelFormatError(f"rope_parameters: found {', '.join(unknown)}, which m2v-distill does not compute.")

        def number(name: str, default: float | None = None) -> float:
            value = default if rope.get(name) is None else rope[name]
            if not isinstance(value, (int, float)) or value <= 0:
                raise ModelFormatError(f"rope_parameters of type {kind}: expected {name} > 0; found {value!r}.")
            return float(value)

        needs_factor = kind in ("linear", "dynamic", "llama3")
        needs_bounds = kind == "llama3"
        weighted = rope.get("mscale") and rope.get("mscale_all_dim")
        original = int(number("original_max_position_embeddings", float(positions)))
        rotary = cls(
            kind=kind,
            dim=int(head_dim * number("partial_rotary_factor", 1.0)),
            theta=number("rope_theta"),
            positions=positions,
            original=original,
            factor=number("factor", None if needs_factor else positions / original),
            attention_factor=number("attention_factor") if rope.get("attention_factor") is not None else None,
            low=number("low_freq_factor", None if needs_bounds else 1.0),
            high=number("high_freq_factor", None if needs_bounds else 4.0),
            fast=number("beta_fast", 32.0),
            slow=number("beta_slow", 1.0),
            mscale=(number("mscale"), number("mscale_all_dim")) if weighted else None,
            truncate=rope.get("truncate") is not False,
            short=tuple(map(float, rope.get("short_factor") or ())),
            long=tuple(map(float, rope.get("long_factor") or ())),
        )
        if rotary.high <= rotary.low:
            raise ModelFormatError(
                f"rope_parameters: expected high_freq_factor > low_freq_factor; found {rotary.high} and {rotary.low}."
            )
        if rotary.dim % 2 or not 0 < rotary.dim <= head_dim or (kind == "dynamic" and rotary.dim == 2):
            raise ModelFormatError(f"expected an even number of rotated values in each head; found {rotary.dim}.")
        if kind == "longrope" and not len(rotary.short) == len(rotary.long) == rotary.dim // 2:
            raise ModelFormatError(
                f"expected short_factor and long_factor of longrope to have {rotary.dim // 2} numbers each; "
                f"found {len(rotary.short)} and {len(rotary.long)}."
            )
        return rotary

    def __call__(self, length: int) -> tuple[Float32[ndarray, "L R2"], Float32[ndarray, "L R2"]]:
        """Cosines and sines of the positions 0 ... length - 1 of a batch, times the attention factor.

        With the types dynamic and longrope, all positions depend on the length of the batch, padding included, as in
        transformers.
        """
        inverse, scale = KINDS[self.kind](self, length)
        return tables(inverse, length, scale=scale)


def tables(
    inverse: Float32[ndarray, " R2"], length: int, *, scale: float = 1.0
) -> tuple[Float32[ndarray, "L R2"], Float32[ndarray, "L R2"]]:
    """Cosines and sines of position times inverse frequency, times `scale`."""
    angles = (np.arange(length, dtype=np.float32)[:, None] * inverse).astype(np.float64)
    return (scale * np.cos(angles)).astype(np.float32), (scale * np.sin(angles)).astype(np.float32)


def rotate(x: Float[Array, "B L N K"], cos: Float32[Any, "L R2"], sin: Float32[Any, "L R2"]) -> Float[Array, "B L N K"]:
    """Rotate the pairs (x[i], x[i + R/2]), i < R/2, of each head; values from R on stay as they are.

    Example:
        >>> rotate(jnp.array([[[[1.0, 0.0, 5.0]]]]), np.float32([[0.0]]), np.float32([[1.0]])).tolist()
        [[[[0.0, 1.0, 5.0]]]]
    """
    half = cos.shape[1]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    cos, sin = cos[:, None, :], sin[:, None, :]  # the same for all heads
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)


def _default(rotary: Rotary, _length: int) -> tuple[Float32[ndarray, " R2"], float]:
    return _inverse(rotary.theta, rotary.dim), 1.0


def _linear(rotary: Rotary, _length: int) -> tuple[Float32[ndarray, " R2"], float]:
    """Position interpolation: positions are scaled linearly (Chen et al., 2023)."""
    return _inverse(rotary.theta, rotary.dim) / np.float32(rotary.factor), 1.0


def _dynamic(rotary: Rotary, length: int) -> tuple[Float32[ndarray, " R2"], float]:
    """The base grows for sequences longer than `positions` (Peng et al., YaRN, 2023, appendix B.1)."""
    stretch = rotary.factor * max(length, rotary.positions) / rotary.positions - (rotary.factor - 1)
    return _inverse(rotary.theta * stretch ** (rotary.dim / (rotary.dim - 2)), rotary.dim), 1.0


def _llama3(rotary: Rotary, _length: int) -> tuple[Float32[ndarray, " R2"], float]:
    """Llama 3.1: low frequencies are scaled, high ones kept, those between interpolated."""
    inverse = _inverse(rotary.theta, rotary.dim)
    rotations = rotary.original * inverse / np.float32(2 * math.pi)
    kept = np.clip((rotations - rotary.low) / (rotary.high - rotary.low), 0, 1).astype(np.float32)
    return (1 - kept) * inverse / np.float32(rotary.factor) + kept * inverse, 1.0


def _yarn(rotary: Rotary, _length: int) -> tuple[Float32[ndarray, " R2"], float]:
    """YaRN (Peng et al., 2023, sections 3.2 to 3.4), with `mscale` as in DeepSeek's models."""
    inverse = _inverse(rotary.theta, rotary.dim)

    def pair(rotations: float) -> float:
        """The index (a fraction) of the pair that makes so many rotations over the original length."""
        return rotary.dim * math.log(rotary.original / (rotations * 2 * math.pi)) / (2 * math.log(rotary.theta))

    first, last = pair(rotary.fast), pair(rotary.slow)
    if rotary.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rotary.dim - 1)
    last += 0.001 * (first == last)
    scaled = np.clip((np.arange(rotary.dim // 2) - first) / (last - first), 0, 1).astype(np.float32)

    def temperature(weight: float) -> float:
        return 0.1 * weight * math.log(rotary.factor) + 1 if rotary.factor > 1 else 1.0

    scale = rotary.attention_factor
    if scale is None:
        scale = temperature(rotary.mscale[0]) / temperature(rotary.mscale[1]) if rotary.mscale else temperature(1.0)
    return inverse / np.float32(rotary.factor) * scaled + inverse * (1 - scaled), float(scale)


def _longrope(rotary: Rotary, length: int) -> tuple[Float32[ndarray, " R2"], float]:
    """LongRoPE (Ding et al., 2024): one set of divisors of the frequencies up to the original length, one beyond."""
    divisors = np.array(rotary.long if length > rotary.original else rotary.short, np.float32)
    scale = rotary.attention_factor
    if scale is None:
        scale = math.sqrt(1 + max(0.0, math.log(rotary.factor)) / math.log(rotary.original))
    return _inverse(rotary.theta, rotary.dim) / divisors, float(scale)


#: Functions that compute inverse frequencies and attention factor for a length, by transformers' `rope_type`.
KINDS: dict[str, Callable[[Rotary, int], tuple[Float32[ndarray, " R2"], float]]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}


def _inverse(theta: float, dim: int) -> Float32[ndarray, " R2"]:
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    return np.float32(1) / np.float32(theta) ** exponents
