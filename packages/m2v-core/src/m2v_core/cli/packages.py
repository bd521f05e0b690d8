"""The packages of m2v that are installed: versions, requirements and extras."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from m2v_core.__about__ import __version__

OURS = ("m2v-core", "m2v-distill", "m2v-train", "m2v-hub")

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)(?:;\s*(.*))?")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([0-9.]+)")


@dataclass(frozen=True)
class Requirement:
    """What a package needs.

    Attributes:
        name: Another package.
        bounds: Bounds of its version, such as `>=0.1,<0.2`.
        extra: Extra that needs it; `None` if the package always does.
    """

    name: str
    bounds: str
    extra: str | None

    @property
    def problem(self) -> str | None:
        """Why it is not met; `None` if it is.

        Example:
            >>> Requirement("numpy", ">=1.26", None).problem is None
            True
            >>> Requirement("not-there", ">=1", None).problem
            'not-there>=1 is not installed'
        """
        found = version_of(self.name)
        if found is None:
            return f"{self.name}{self.bounds} is not installed"
        return None if fits(found, self.bounds) else f"{self.name}{self.bounds} is needed; found {found}"


def our_versions() -> dict[str, str | None]:
    """The version of each package of m2v, and `None` for one that is not installed.

    Example:
        >>> list(our_versions())
        ['m2v-core', 'm2v-distill', 'm2v-train', 'm2v-hub']
    """
    return {name: __version__ if name == "m2v-core" else version_of(name) for name in OURS}


def version_of(name: str) -> str | None:
    """The version of a package that is installed, without importing it.

    Example:
        >>> version_of("not-there") is None
        True
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def requirements_of(name: str) -> list[Requirement]:
    """What a package needs, as it was installed; environment markers other than extras are ignored.

    Example:
        >>> [each.name for each in requirements_of("m2v-core") if each.extra is None]
        ['numpy', 'safetensors', 'tokenizers', 'tqdm']
    """
    try:
        return list(_requirements(requires(name) or []))
    except PackageNotFoundError:  # core may run from a folder
        return []


def _requirements(lines: list[str]) -> Iterator[Requirement]:
    for line in lines:
        if found := _REQUIREMENT.fullmatch(line.strip()):
            extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", found[3] or "")
            yield Requirement(found[1], found[2].strip(), extra[1] if extra else None)


def fits(version: str, bounds: str) -> bool:
    """Whether a version is within bounds; only the numbers of a release count.

    Example:
        >>> fits("0.1.0", "<0.2,>=0.1"), fits("0.2.0rc1", "<0.2,>=0.1"), fits("2.10", ">=2.9")
        (True, False, True)
    """
    have = _release(version)
    for sign, number in _BOUND.findall(bounds):
        wanted = _release(number)
        if not {
            ">=": have >= wanted,
            "<=": have <= wanted,
            "==": have == wanted,
            "!=": have != wanted,
            "<": have < wanted,
            ">": have > wanted,
        }[sign]:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    parts = [int(part) for part in numbers[0].split(".")] if numbers else [0]
    while parts[1:] and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
