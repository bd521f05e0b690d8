from __future__ import annotations

from pathlib import Path

import pytest

from m2v_core import InvalidInputError, ModelNotFoundError
from m2v_core.storage.resolve import resolve


def test_a_folder_wins(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "org/name/inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("org/name") == Path("org/name")
    assert resolve("org/name", subfolder="inner") == Path("org/name/inner")


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "/no/where", "org/", "org/na me", "../x", "org/name\n", ""])
def test_what_is_neither_folder_nor_repository(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "":
        assert resolve(name) == Path(".")
        return
    with pytest.raises(ModelNotFoundError, match="neither a folder"):
        resolve(name)


@pytest.mark.parametrize("subfolder", ["..", "a/../..", "/etc", "a\\b"])
def test_subfolders_stay_inside(subfolder: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="inside the model"):
        resolve(tmp_path, subfolder=subfolder)


def test_a_missing_subfolder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="inner"):
        resolve(tmp_path, subfolder="inner")
