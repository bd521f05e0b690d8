from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from m2v_core import InvalidInputError
from m2v_distill import Teacher, distill, distill_from_model
from m2v_distill.teacher.tokenizer import read_tokenizer


def test_a_prompt_stands_between_start_and_token(teacher_folder: Path) -> None:
    tokenizer = read_tokenizer(teacher_folder)
    ids = tokenizer.ids
    prompted, length = tokenizer.with_prompt([[2, 7, 3], [2, 9, 8, 3]], "good day")
    words = [ids["good"], ids["day"]]
    assert prompted == [[2, *words, 7, 3], [2, *words, 9, 8, 3]]
    assert length == 3
    assert tokenizer.encode("good day good") == tokenizer.with_prompt([[2, ids["good"], 3]], "good day")[0][0]
    assert tokenizer.with_prompt([[2, 7, 3]], "") == ([[2, 7, 3]], 0)


def test_students_of_a_prompt(teacher_folder: Path) -> None:
    """A row is what the teacher makes of prompt and token together."""
    (teacher_folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            ]
        )
    )
    (teacher_folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True, "include_prompt": False}
    (teacher_folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    (teacher_folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "good day "}}))
    teacher = Teacher.from_pretrained(teacher_folder)
    options = {"method": "token", "pca_dims": None, "sif_coefficient": None}
    options |= {"quantize_to": "float32", "precision": "float32"}
    student = distill(teacher_folder, prompt_name="query", **options)
    row = student.embedding[list(student.tokens).index("bad")]
    np.testing.assert_allclose(row, teacher.encode("bad", prompt_name="query"), atol=1e-5)
    assert not np.allclose(row, teacher.encode("bad"), atol=1e-2)
    assert student.config.prompts is None, "the table contains the prompt, so that it must not come twice"
    assert np.array_equal(student.encode_query("bad"), student.encode("bad"))
    same = distill_from_model(teacher, read_tokenizer(teacher_folder), prompt="good day ", **options)
    assert np.array_equal(same.embedding, student.embedding)
    with pytest.raises(InvalidInputError, match="query"):
        distill(teacher_folder, prompt_name="passage", **options)
