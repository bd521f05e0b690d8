"""Core without the package tokenizers: what needs no library runs, and all else names the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import make_model

#: An import hook that hides some packages.
HIDE = """
import importlib.abc, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tokenizers", "tqdm"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
from m2v_core import BadTextError, MissingPackageError, StaticModel

def missing(call):
    try:
        call()
    except MissingPackageError as error:
        assert "pip install tokenizers" in str(error), error
    else:
        raise AssertionError("MissingPackageError expected")
"""

RUNS = """
model = StaticModel.from_pretrained(sys.argv[1])
texts = ["good day", "Bad, sunny days!", "", "never seen"]
assert model.encode("good day").any()
assert model.encode("c\u00e4f\u00e9 d\u00e4").any()
assert model.encode(texts * 500).shape == (2000, 8)
assert [model.tokenize(text) for text in texts] == model.tokenize(texts)
model.save_pretrained(sys.argv[2])
missing(lambda: model.encode("\\u0b95"))
missing(lambda: model.encode(["\\u0b95"] * 100))
missing(lambda: model.encode(["good day", "a [CLS]"] * 30))
missing(lambda: model.tokenizer)
try:
    model.encode(["good day", 3])
except BadTextError as error:
    assert "found int at index 1" in str(error), error
assert model.encode("good day").any()
"""


def run(code: str, *arguments: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HIDE + code, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("compiled", [True, False])
def test_core_without_tokenizers(compiled: bool, tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "m", compiled=compiled)
    run(RUNS, tmp_path / "m", tmp_path / "again")


def test_a_small_vocabulary_of_bpe_needs_it(tmp_path: Path) -> None:
    make_model("byte_bpe").save_pretrained(tmp_path / "m")
    run("missing(lambda: StaticModel.from_pretrained(sys.argv[1]))", tmp_path / "m")


def test_a_pickled_model_and_the_command(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "m", compiled=True)
    (tmp_path / "texts.txt").write_text("good day\n")
    code = """
import pickle
from m2v_core.cli.main import main
model = pickle.loads(pickle.dumps(StaticModel.from_pretrained(sys.argv[1])))
assert model.encode("good day").any()
assert main(["encode", sys.argv[1], sys.argv[2], "--out", sys.argv[2] + ".npy", "-q"]) == 0
assert main(["info", sys.argv[1]]) == 0
assert main(["compile", sys.argv[1], "-q"]) == 0
"""
    run(code, tmp_path / "m", tmp_path / "texts.txt")
