"""Tiny teachers as folders, with a tokenizer beside the golden weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import GOLDEN
from forks import Forks
from tokenizer_files import special, wordpiece

TEACHERS = GOLDEN / "teachers"

SPECIAL = {
    "bert": {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
    "roberta": {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"},
}


def write_tokenizer(folder: Path, tokenizer_json: str, style: str) -> None:
    (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 40, **SPECIAL[style]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


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
