"""The tables of `docs/architecture.md` name the modules that there are, each once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def named(package: str) -> list[str]:
    """The modules in the first column of a package's table, and folders with a slash after them."""
    section = re.search(rf"^## {package}$.*?(?=^## )", PAGE, flags=re.M | re.S)
    assert section
    cells = re.findall(r"^\| (`.*?) \|", section[0], flags=re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("package", ["m2v-core", "m2v-distill", "m2v-train", "m2v-hub"])
def test_modules_are_those_of_the_table(package: str) -> None:
    source = ROOT / "packages" / package / "src" / package.replace("-", "_")
    modules = {str(path.relative_to(source).with_suffix("")) for path in source.rglob("*.py")}
    modules = {name for name in modules if not name.rsplit("/", 1)[-1].startswith("__")}
    names = named(package)
    assert len(names) == len(set(names))
    folders = {name.rstrip("/") for name in names if (source / name).is_dir()}
    assert set(names) - {name for name in names if name.rstrip("/") in folders} - modules == set(), "no such modules"
    covered = {name for name in modules if any(name.startswith(f"{folder}/") for folder in folders)}
    assert modules - covered - set(names) == set(), "modules that the table lacks"
