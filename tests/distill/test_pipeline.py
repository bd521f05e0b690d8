from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from m2v_core import Config, InvalidInputError, ModelFormatError, StaticModel, quantize_model
from m2v_distill import Teacher, distill, distill_from_model
from m2v_distill.teacher.tokenizer import read_tokenizer
from m2v_distill.vocabulary.build import student_vocabulary
from m2v_distill.vocabulary.weights import sif_weights, zipf_frequencies


def test_steps_by_hand(teacher_folder: Path) -> None:
    teacher = Teacher.from_pretrained(teacher_folder)
    vocabulary = student_vocabulary(read_tokenizer(teacher_folder), r"\[unused\d+\]")
    outputs = teacher.encode_ids(vocabulary.sequences)
    options = {"pca_dims": None, "quantize_to": "float32", "precision": "float32"}
    student = distill(teacher_folder, method="token", **options)
    expected = outputs * sif_weights(zipf_frequencies(len(outputs)), 1e-4)[:, None]
    expected[student.unk_token_id] = 0
    np.testing.assert_allclose(student.embedding, expected, rtol=1e-6)
    versions = student.config.package_versions
    assert versions is not None
    assert set(versions) == {"m2v-distill", "m2v-core", "jax", "transformers"}
    assert student.config == Config(
        normalize=True,
        base_model=None,
        pooling="mean",
        apply_pca=None,
        sif_coefficient=1e-4,
        distillation="token",
        distillation_settings={"precision": "float32"},
        package_versions=versions,
    )


def test_options(teacher_folder: Path) -> None:
    assert distill(teacher_folder, pca_dims=5).embedding_dtype == "float16"
    assert distill(teacher_folder, pca_dims=5).dim == 5
    assert distill(teacher_folder, pca_dims="auto").dim == 24
    assert 1 <= distill(teacher_folder, pca_dims=0.6).dim < 24
    assert distill(teacher_folder, pca_dims=4, quantize_to="int8").weights is not None
    raw = distill(teacher_folder, pca_dims=None, sif_coefficient=None, quantize_to="float32", device="cpu")
    weighted = distill(teacher_folder, pca_dims=None, quantize_to="float32")
    assert not np.allclose(raw.embedding, weighted.embedding)
    tables = [
        distill(teacher_folder, pca_dims=None, pooling=pooling).embedding
        for pooling in ("mean", "first", "last", "pooler")
    ]
    for one in range(4):
        for other in range(one):
            assert not np.allclose(tables[one], tables[other])


def test_clusters(teacher_folder: Path, tmp_path: Path) -> None:
    options = {"pca_dims": 6, "quantize_to": "float32"}
    whole = distill(teacher_folder, **options)
    student = distill(teacher_folder, vocabulary_quantization=9, **options)
    assert (student.embedding.shape, student.weights.shape) == ((9, 6), (whole.n_tokens,))
    assert student.weights[student.unk_token_id] == 0
    finished = quantize_model(whole, vocabulary_quantization=9)
    texts = ["good day", "sunny, bad days", "unknown ✪", ""]
    np.testing.assert_allclose(student.encode(texts), finished.encode(texts), atol=1e-6)
    student.save_pretrained(tmp_path / "student")
    np.testing.assert_array_equal(
        StaticModel.from_pretrained(tmp_path / "student").encode(texts), student.encode(texts)
    )
    small = distill(teacher_folder, vocabulary_quantization=9, pca_dims=6, quantize_to="int8")
    np.testing.assert_allclose(small.encode(texts), student.encode(texts), atol=2e-2)


def test_as_many_clusters_as_tokens(teacher_folder: Path) -> None:
    n_tokens = distill(teacher_folder, pca_dims=None).n_tokens
    with pytest.raises(InvalidInputError, match=f"fewer than the {n_tokens} tokens; found {n_tokens}"):
        distill(teacher_folder, pca_dims=None, vocabulary_quantization=n_tokens)


def test_routes_agree(teacher_folder: Path) -> None:
    by_path = distill(teacher_folder, pca_dims=6)
    by_teacher = distill_from_model(Teacher.from_pretrained(teacher_folder), read_tokenizer(teacher_folder), pca_dims=6)
    assert np.array_equal(by_path.embedding, by_teacher.embedding)
    assert by_path.config == by_teacher.config


@pytest.mark.parametrize("case", ["bert", "distilbert", "mpnet", "gemma3"])
def test_each_family_saves_and_loads(make_teacher, case: str, tmp_path: Path) -> None:
    student = distill(str(make_teacher(case)), pca_dims=6, quantize_to="float32")
    student.save_pretrained(tmp_path / "student")
    assert (tmp_path / "student/modules.json").exists()
    loaded = StaticModel.from_pretrained(tmp_path / "student")
    texts = ["good day", "sunny, bad days", "unknown ✪", ""]
    assert np.array_equal(loaded.encode(texts), student.encode(texts))
    assert not loaded.encode("✪").any()


def test_a_tokenizer_that_cannot_be_loaded(teacher_folder: Path) -> None:
    (teacher_folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelFormatError, match="tokenizer"):
        distill(teacher_folder)


def test_a_tokenizer_with_more_tokens_than_the_teacher(teacher_folder: Path) -> None:
    import json

    raw = json.loads((teacher_folder / "tokenizer.json").read_text())
    raw["model"]["vocab"].update({f"word{i}": len(raw["model"]["vocab"]) + i for i in range(30)})
    (teacher_folder / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match="0 to 59"):
        distill(teacher_folder)
