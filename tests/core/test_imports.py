"""`import m2v_core` stays light: proved in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import m2v_core
from conftest import make_model

HEAVY = (
    "jax",
    "flax",
    "huggingface_hub",
    "transformers",
    "sklearn",
    "scipy",
    "torch",
    "m2v_distill",
    "m2v_train",
    "m2v_hub",
)

#: Needed by some functions alone.
LATER = ("csv", "gzip", "tqdm", "importlib.metadata", "m2v_core.data.columns", "m2v_core.evaluation")

#: Not needed for a first vector of a model with a compiled vocabulary.
NOT_YET = (
    *LATER,
    "tokenizers",
    "difflib",
    "hashlib",
    "logging",
    "shutil",
    "ssl",
    "tempfile",
    "m2v_core.cluster",
    "m2v_core.head",
    "m2v_core.pipeline",
    "m2v_core.quantize",
    "m2v_core.storage.atomic",
    "m2v_core.tokenize.backend",
)

#: Of these a process needs the one of its model.
WORD_MODELS = tuple(f"m2v_core.tokenize.words.{name}" for name in ("bpe", "unigram", "wordlevel", "wordpiece"))

SNIPPET = """
import sys
{what}
loaded = sorted(name for name in {heavy} if name in sys.modules)
print(",".join(loaded))
"""


def loaded(what: str, names: tuple[str, ...] = HEAVY) -> str:
    code = SNIPPET.format(what=what, heavy=names)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()


def test_import_is_light() -> None:
    assert loaded("import m2v_core, m2v_core.cluster") == ""
    assert loaded("import m2v_core", LATER) == ""
    assert loaded("import csv", LATER) == "csv"


def test_import_alone_loads_nothing() -> None:
    assert loaded("import m2v_core", ("numpy", "tokenizers", "m2v_core.model", "m2v_core.errors")) == ""
    assert loaded("from m2v_core import StaticModel", NOT_YET) == loaded("import numpy", NOT_YET)  # 1.26: hashlib


def test_a_first_vector_needs_little(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path, compiled=True)
    code = f"from m2v_core import StaticModel; model = StaticModel.from_pretrained({str(tmp_path)!r}, memory_map=True)"
    assert loaded(f"{code}; model.encode('good day'); model.encode(['good', 'day!'] * 99)", NOT_YET) == loaded(
        "import numpy", NOT_YET
    )
    assert loaded(f"{code}; model.encode('a [CLS]')", ("tokenizers",)) == "tokenizers"


@pytest.mark.parametrize("compiled", [False, True])
def test_a_first_vector_needs_one_word_model(tmp_path: Path, compiled: bool) -> None:
    make_model().save_pretrained(tmp_path, compiled=compiled)
    code = f"from m2v_core import StaticModel; StaticModel.from_pretrained({str(tmp_path)!r}).encode(['good day'] * 99)"
    assert loaded(code, WORD_MODELS) == "m2v_core.tokenize.words.wordpiece"


def test_all_public_names_are_there() -> None:
    assert {name for name in m2v_core.__all__ if getattr(m2v_core, name) is None} == set()
    assert set(m2v_core.__all__) <= set(dir(m2v_core))


def test_the_command_is_light() -> None:
    assert loaded("from m2v_core.cli.main import build_parser; build_parser(['encode'])") == ""
