"""Tiny teachers as folders, with a tokenizer beside the golden weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import GOLDEN
from forks import Forks
from teacher_files import write_tokenizer
from tokenizer_files import special, wordpiece

TEACHERS = GOLDEN / "teachers"


@pytest.fixture
def make_teacher(tmp_path: Path) -> Callable[..., Path]:
    """A function that copies a golden teacher and gives it a WordPiece tokenizer, with one [unused] token."""

    def make(case: str = "bert") -> Path:
        folder = tmp_path / case
        shutil.copytree(TEACHERS / case, folder)
        tokenizer = json.loads(wordpiece())
        tokenizer["model"]["vocab"]["[unused0]"] = len(tokenizer["model"]["vocab"])
        tokenizer["model"]["vocab"]["[MASK]"] = len(tokenizer["model"]["vocab"])
        tokenizer["added_tokens"].append(special("[MASK]", tokenizer["model"]["vocab"]["[MASK]"]))
        write_tokenizer(folder, json.dumps(tokenizer), "bert")
        return folder

    return make


@pytest.fixture
def teacher_folder(make_teacher: Callable[..., Path]) -> Path:
    return make_teacher()


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Runs code in processes that have imported what a distillation needs; each starts JAX for itself."""
    needed = ("m2v_core.cli.main", "m2v_distill.pipeline", "m2v_distill.corpus.featurize", "sklearn.decomposition")
    lazy = ("transformers.models.auto.tokenization_auto", "transformers.models.auto.configuration_auto")
    forks = Forks(*needed, *lazy)
    yield forks
    forks.close()
