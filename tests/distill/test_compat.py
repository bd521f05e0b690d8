"""Distillation under the name model2vec.distill: called as model2vec's is."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

import m2v_distill
from m2v_core import InvalidInputError
from m2v_core.compat.model import StaticModel
from m2v_distill.compat.functions import PoolingMode, distill, distill_from_model, select_optimal_device
from m2v_distill.compat.tokenizer import clean_and_create_vocabulary, turn_tokens_into_ids


def test_names_through_the_finder(tmp_path: Path) -> None:
    code = """
import m2v_core.compat.auto, sys, model2vec.distill, model2vec.distill.utils
print(sorted({"jax", "transformers"} & sys.modules.keys()))
from importlib import import_module
from m2v_distill.compat.names import MODULES
for module, names in MODULES.items():
    for name in names:
        assert getattr(import_module(module), name) is not None
from model2vec.distill import distill
print(distill.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "distill"]


def test_options_come_in_model2vecs_order(teacher_folder: Path) -> None:
    named = distill(str(teacher_folder), None, None, 4, 1e-3, None, False, "float32", None, PoolingMode.MEAN)
    plain = m2v_distill.distill(
        teacher_folder,
        pca_dims=4,
        sif_coefficient=1e-3,
        token_remove_pattern=None,
        quantize_to="float32",
        pooling="mean",
    )
    assert type(named) is StaticModel
    assert np.array_equal(named.embedding, plain.embedding)


def test_a_teacher_in_memory(teacher_folder: Path) -> None:
    teacher = m2v_distill.Teacher.from_pretrained(teacher_folder)
    named = distill_from_model(teacher, teacher.tokenizer, None, None, 4)
    assert type(named) is StaticModel
    assert named.dim == 4


def test_the_signature_names_the_options() -> None:
    """sentence-transformers looks there for what it may pass on."""
    assert {"vocabulary", "pca_dims", "use_subword"} <= inspect.signature(distill).parameters.keys()


def test_unknown_options_are_errors(teacher_folder: Path) -> None:
    with pytest.raises(TypeError, match="apply_zipf"):
        distill(str(teacher_folder), apply_zipf=True)


def test_device() -> None:
    assert select_optimal_device("cuda:1") == "cuda:1"
    assert select_optimal_device(None) in {"cpu", "cuda", "tpu"}


def test_the_tokenizer_of_a_student(teacher_folder: Path) -> None:
    """As a distillation makes it."""
    teacher, words = Tokenizer.from_file(str(teacher_folder / "tokenizer.json")), ["zebra", "New York"]
    student = clean_and_create_vocabulary(teacher, words, re.compile(r"\[unused"))
    expected = m2v_distill.distill(teacher_folder, vocabulary=words, pca_dims=2)
    assert json.loads(student.to_str()) == json.loads(expected.stored.tokenizer_json)
    assert student.encode("zebra").tokens == ["zebra"]
    with pytest.raises(InvalidInputError, match="vocabulary should hold texts"):
        clean_and_create_vocabulary(teacher, ["zebra", 1], None)


def test_ids_of_tokens(teacher_folder: Path) -> None:
    teacher = Tokenizer.from_file(str(teacher_folder / "tokenizer.json"))
    token = next(
        token for token, number in sorted(teacher.get_vocab().items(), key=lambda item: item[1]) if token.isalpha()
    )
    found = turn_tokens_into_ids([token, f"{token} {token}"], teacher)
    assert found == [teacher.encode(token).ids, teacher.encode(f"{token} {token}").ids]
    start, *_, end = found[0]
    assert teacher.decode([start, end], skip_special_tokens=False).split() == ["[CLS]", "[SEP]"]
