"""The examples in docstrings run.

Each has the names of its own module, those that `docs/api.md` defines at its start, and the public names of the packages.
"""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conftest import GOLDEN
from m2v_core import MissingPackageError
from tokenizer_files import wordpiece

PACKAGES = [
    pytest.importorskip(name, reason="needs all four packages: nox -s tests")
    for name in ("m2v_core", "m2v_distill", "m2v_train", "m2v_hub")
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
API = Path(__file__).parents[1] / "docs" / "api.md"


def modules_of(package: ModuleType) -> list[str]:
    found = (module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    return [package.__name__, *(name for name in found if not name.endswith("__main__"))]


MODULES = [name for package in PACKAGES for name in modules_of(package)]
WITH_EXAMPLES = [
    name for name in MODULES if ">>>" in Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a reader of the API page has: the names of its first block, and a small teacher in place of theirs."""
    found: dict[str, Any] = {
        name: getattr(package, name) for package in PACKAGES for name in package.__all__ if not name.startswith("__")
    }
    exec(re.search(r"```python\n(.*?)```", API.read_text(encoding="utf-8"), re.DOTALL)[1], found)  # noqa: S102
    folder = tmp_path_factory.mktemp("teacher") / "tiny-bert"
    shutil.copytree(GOLDEN / "teachers" / "bert", folder)
    (folder / "tokenizer.json").write_text(wordpiece(), encoding="utf-8")
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
    return {**found, "teacher_folder": lambda: str(folder)}


def marked(name: str) -> Any:
    """The adapters of m2v-core are for libraries that `nox -s integrations` or `nox -s engines` has."""
    marks = {"m2v_core.integrations": pytest.mark.integrations, "m2v_core.embed.engines": pytest.mark.engines}
    return pytest.param(name, marks=[mark for package, mark in marks.items() if name.startswith(package)])


@pytest.mark.parametrize("name", [marked(name) for name in WITH_EXAMPLES])
def test_examples(name: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name)
    except MissingPackageError as error:
        pytest.skip(str(error))
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for test in doctest.DocTestFinder(recurse=True).find(module, name, globs={**names, **vars(module)}):
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
