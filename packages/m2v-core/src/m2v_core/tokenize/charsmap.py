"""SentencePiece's character maps (`Precompiled`): keys of one or more characters, and the strings that replace them.

A map is a Darts double array: 32-bit units of a child's label, its offset, and whether a key ends there. See
"Darts-clone" and SentencePiece's `normalizer.cc`. The normalizer replaces a cluster of characters, or one of them, by
the string of the shortest key that it begins with.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2v_core.forking import cached

_LEAF, _VALUE, _LABEL = 1 << 8, 1 << 31, 1 << 31 | 0xFF
_MAX_DEPTH = 64
_MAX_KEYS = 4096

Positions = NDArray[np.int64]


class UnknownMapError(ValueError):
    """A character map has an unknown form."""


@dataclass(frozen=True)
class CharsMap:
    r"""A character map.

    Attributes:
        labels: [U] int64, the byte that leads to each unit; a number above 255 for a unit without one.
        bases: [U] int64, the position of each unit's children, to be combined with their bytes by xor.
        ends: [U] whether a key ends at each unit.
        values: [U] int64, position of a string among the texts, held by the unit at a key's base.
        texts: The strings, each followed by a zero byte.
    """

    labels: Positions
    bases: Positions
    ends: NDArray[np.bool_]
    values: Positions
    texts: bytes

    @classmethod
    def of(cls, encoded: str | None) -> CharsMap:
        """Read a map of `tokenizer.json`, in base64; an empty one replaces nothing.

        Raises:
            UnknownMapError: It is not a map.
        """
        try:
            data = binascii.a2b_base64(encoded or "", strict_mode=True)
        except (ValueError, TypeError) as error:
            raise UnknownMapError(str(error)) from None
        size = int.from_bytes(data[:4], "little")
        if (data and size < 4) or size % 4 or 4 + size > max(len(data), 4):
            raise UnknownMapError("the sizes of its parts do not fit")
        units = np.frombuffer(data, "<u4", size // 4, 4 if size else 0).astype(np.int64)
        offsets = units >> 10 << ((units & 0x200) >> 6)
        return cls(
            labels=units & _LABEL,
            bases=np.arange(len(units)) ^ offsets,
            ends=(units & _LEAF) != 0,
            values=units & (_VALUE - 1),
            texts=data[4 + size :],
        )

    def ascii(self) -> dict[str, str]:
        """What replaces each ASCII character that stands alone.

        Raises:
            UnknownMapError: A position lies outside the map.
        """
        return {chr(code): self.replaced(chr(code)) for code in range(128)}

    def replaced(self, char: str) -> str:
        """What replaces a character that stands alone: the string of the shortest key that it begins with.

        Raises:
            UnknownMapError: A position lies outside the map.
        """
        labels, bases, ends = self._plain
        unit = 0
        for byte in char.encode() if len(labels) else b"":
            unit = bases[unit] ^ byte
            self._check(unit)
            if labels[unit] != byte:  # another byte leads there
                break
            if ends[unit]:
                return self._text(bases[unit])
        return char

    @cached
    def _plain(self) -> tuple[memoryview, memoryview, memoryview]:
        """Labels, bases and ends for Python's own integers, which are quicker for one character."""
        return self.labels.data, self.bases.data, self.ends.data

    def _text(self, unit: int) -> str:
        self._check(unit)
        start = int(self.values[unit])
        end = self.texts.find(b"\0", start)
        try:
            return self.texts[start : end if end >= 0 else None].decode()
        except UnicodeDecodeError as error:
            raise UnknownMapError(str(error)) from None

    def _check(self, unit: int) -> None:
        if not 0 <= unit < len(self.labels):
            raise UnknownMapError("a unit lies outside the map")

    def keys_that_yield(self, part: str) -> list[str]:
        """Every key whose replacement contains a part, which holds no zero byte.

        Raises:
            UnknownMapError: There are too many, or one is not valid Unicode.
        """
        reachable, by_base = self._reachable()
        ends = reachable.compress(self.ends.take(reachable))
        at = self.bases.take(ends)
        if len(at) and (at.min() < 0 or at.max() >= len(self.labels)):
            raise UnknownMapError("a unit lies outside the map")
        starts = self.values.take(at)
        return self._spelt(ends.compress(self._contain(starts, part.encode())), by_base)

    def keeps(self, char: str) -> bool:
        """Whether an ASCII character stays in every text, alone or with marks after it."""
        if not len(self.labels):
            return True
        unit = int(self.bases[0]) ^ ord(char)
        self._check(unit)
        return bool(self.labels[unit] != ord(char) or (self.ends[unit] and self._text(int(self.bases[unit])) == char))

    def _contain(self, starts: Positions, part: bytes) -> NDArray[np.bool_]:
        """[n] whether the string at each position contains a part."""
        position, found = self.texts.find(part), []
        while position >= 0:
            found.append(position)
            position = self.texts.find(part, position + 1)
        hits = np.array([*found, len(self.texts)], np.int64)
        stops = np.append(np.flatnonzero(np.frombuffer(self.texts, np.uint8) == 0), len(self.texts))
        starts = np.minimum(starts, len(self.texts))
        contains: NDArray[np.bool_] = hits[np.searchsorted(hits, starts)] < stops[np.searchsorted(stops, starts)]
        return contains

    def _reachable(self) -> tuple[Positions, Positions]:
        """All units on a path from the root, the root first, and the units whose children lie at each position.

        Units in between may hold anything. A unit may be a child of several, because equal ends of keys are shared.
        """
        positions = np.arange(len(self.labels))
        seen, has_children = np.zeros(len(positions), bool), np.zeros(len(positions), bool)
        seen[:1] = True
        frontier = positions[:1]
        while len(frontier):
            bases = self.bases.take(frontier)
            has_children[bases[(bases >= 0) & (bases < len(positions))]] = True
            base = positions ^ self.labels
            inside = (self.labels > 0) & (self.labels < 256) & (base < len(positions))
            is_new = inside & ~seen & has_children.take(np.where(inside, base, 0))
            frontier = np.flatnonzero(is_new)
            seen[frontier] = True
        reachable = np.flatnonzero(seen)
        return reachable, reachable[np.argsort(self.bases.take(reachable), kind="stable")]

    def _spelt(self, units: Positions, by_base: Positions) -> list[str]:
        """The keys that end at some units, followed back to the root over all paths."""
        bases, found = self.bases.take(by_base), set[str]()
        rest = [(int(unit), b"") for unit in units.tolist()]
        for _ in range(_MAX_DEPTH):
            before: list[tuple[int, bytes]] = []
            for unit, after in rest:
                if unit == 0:
                    found.add(_decoded(after))
                    continue
                label = int(self.labels[unit])
                first, last = (
                    np.searchsorted(bases, unit ^ label, "left"),
                    np.searchsorted(bases, unit ^ label, "right"),
                )
                before += [(parent, bytes([label]) + after) for parent in by_base[first:last].tolist()]
            rest = before
            if len(rest) + len(found) > _MAX_KEYS:
                break
            if not rest:
                return sorted(found)
        raise UnknownMapError("too many keys")


def _decoded(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise UnknownMapError(str(error)) from None
