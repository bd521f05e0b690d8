"""Classes of their own behind a known `model_type`: computed where they are known, refused elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_core import InvalidInputError, ModelFormatError
from m2v_distill import Teacher, distill
from m2v_distill.teacher.families.registry import FAMILIES

TEXTS = ["good day", "bad days and good ones"]

Make = Callable[..., Path]


def configured(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def own(name: str, **others: str) -> dict[str, Any]:
    return {"auto_map": {"AutoModel": name, **others}}


def vectors(folder: Path, **options: Any) -> np.ndarray:
    return Teacher.from_pretrained(folder, **options).encode(TEXTS)


@pytest.mark.parametrize("backend", ["auto", "flax"])
@pytest.mark.parametrize("case", ["bert", "llama", "t5"])
def test_an_unknown_class(make_teacher: Make, case: str, backend: Any) -> None:
    folder = make_teacher(case)
    expected = vectors(folder)
    configured(folder, **own("org/code--modeling_own.OwnModel"))
    model_type = case if case in FAMILIES else None
    ways = [r"config\.json", "modeling_own.OwnModel", "auto_map", r"m2v-distill\[torch\]", "trust_remote_code=True"]
    with pytest.raises(ModelFormatError, match=".*".join([*ways, f"compute_as='{model_type}'"])) as caught:
        vectors(folder, backend=backend)
    assert ("bidirectional-llama" in str(caught.value)) == (case == "llama")
    assert np.array_equal(vectors(folder, backend=backend, compute_as=case), expected)
    assert (
        distill(folder, method="token", pca_dims=4, compute_as=case).config.distillation_settings["compute_as"] == case
    )


@pytest.mark.parametrize(
    "listed",
    [
        {},
        {"AutoConfig": "configuration_own.OwnConfig", "AutoTokenizer": ["tokenization.Own", None]},
        {
            "AutoModelForSequenceClassification": "modeling_own.OwnClassifier",
            "AutoModelForCausalLM": "modeling_own.Own",
        },
        {"AutoModel": None},
        {"AutoModel": "transformers.models.bert.modeling_bert.BertModel"},
    ],
)
def test_code_that_autoModel_does_not_take(teacher_folder: Path, listed: object) -> None:  # noqa: N802
    expected = vectors(teacher_folder)
    assert np.array_equal(vectors(configured(teacher_folder, auto_map=listed)), expected)


@pytest.mark.parametrize("case", ["nomic_bert", "gte"])
def test_kinds_that_we_compute_in_place_of_their_code(make_teacher: Make, case: str) -> None:
    folder = make_teacher(case)
    expected = vectors(folder)
    assert np.array_equal(vectors(configured(folder, **own("org/code--modeling.OwnModel"))), expected)


@pytest.mark.parametrize(
    ("case", "model_type", "name"),
    [
        ("llama", "llama", "modeling_llama_encoder.LlamaEncoderModel"),
        ("llama", "llama", "LlamaBiModel"),
        ("llama", "llama_bidirec", "llama_bidirectional_model.LlamaBidirectionalModel"),
        ("mistral-left", "mistral", "org/repo--modeling_mistral_encoder.MistralEncoderModel"),
        ("mistral-left", "bidir_mistral", "modeling_nvembed.BidirectionalMistralModel"),
        ("qwen2", "qwen2", "modeling_qwen.Qwen2Model"),
    ],
)
def test_known_classes_see_both_sides(make_teacher: Make, case: str, model_type: str, name: str) -> None:
    folder = make_teacher(case)
    causal = vectors(folder)
    configured(folder, model_type=model_type, **own(name), **({"is_causal": False} if case == "qwen2" else {}))
    teacher = Teacher.from_pretrained(folder)
    assert not teacher.encoder.config.causal
    assert set(teacher.encoder.config.reaches) == {None}
    assert np.abs(teacher.encode(TEXTS) - causal).max() > 0.1
    family = case.partition("-")[0]
    assert np.array_equal(vectors(folder, compute_as=f"bidirectional-{family}"), teacher.encode(TEXTS))
    assert np.array_equal(vectors(folder, compute_as=family), causal) == (case != "qwen2")  # its config says so too


def test_near_misses_of_known_classes(make_teacher: Make) -> None:
    for case, changes in (
        ("qwen2", own("modeling_qwen.Qwen2Model")),  # causal or not: neither its name nor its config tells
        ("bert", own("modeling.LlamaEncoderModel")),
        ("llama", {"model_type": "nvembed", **own("modeling_nvembed.NVEmbedModel")}),
    ):
        folder = configured(make_teacher(case), **changes)
        with pytest.raises(ModelFormatError, match=r"auto_map.*trust_remote_code"):
            vectors(folder)


def test_another_name_for_a_known_architecture(teacher_folder: Path) -> None:
    expected = vectors(teacher_folder)
    configured(teacher_folder, model_type="my_bert")
    with pytest.raises(ModelFormatError, match=r"found 'my_bert'.*compute_as="):
        vectors(teacher_folder)
    assert np.array_equal(vectors(teacher_folder, compute_as="bert"), expected)


def test_wrong_options(teacher_folder: Path) -> None:
    with pytest.raises(
        InvalidInputError, match=r"compute_as should be one of .*bert.*bidirectional-llama.*found 'birt'"
    ):
        vectors(teacher_folder, compute_as="birt")
    with pytest.raises(InvalidInputError, match="compute_as='bert' and backend='torch'"):
        vectors(teacher_folder, compute_as="bert", backend="torch")
    # Earlier releases of transformers 5 take a BERT's settings for a T5; then the weights do not fit.
    with pytest.raises(ModelFormatError, match=r"config\.json: transformers cannot load|the weights do not fit"):
        vectors(teacher_folder, compute_as="t5")
