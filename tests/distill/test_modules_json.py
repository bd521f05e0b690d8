"""Folders of sentence-transformers: what they say is read, and what we do not compute is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_core import MissingPackageError, ModelFormatError
from m2v_distill import Teacher
from m2v_distill.teacher.modules_json import SWITCHES, read_sentence_settings
from m2v_distill.teacher.pickled import has_torch
from sentence_folders import HERE, write_dense, write_json, write_modules

MEAN = {"word_embedding_dimension": 24, "pooling_mode": "mean"}
TANH = "torch.nn.modules.activation.Tanh"


def poolings(folder: Path) -> tuple[str, ...]:
    return read_sentence_settings(folder).pooling.poolings


def test_without_modules_it_is_the_mean(teacher_folder: Path) -> None:
    found = read_sentence_settings(teacher_folder)
    assert (found.pooling.poolings, len(found.pooling.layers)) == (("mean",), 0)
    assert (found.encoder_folder, found.texts.max_seq_length, found.texts.positions) == (teacher_folder, None, 40)
    assert read_sentence_settings(teacher_folder, pooling="last").pooling.poolings == ("last",)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode": "cls"}, ("first",)),
        ({"pooling_mode": ["lasttoken", "max"]}, ("last", "max")),
        ({"pooling_mode": "weightedmean", "pooling_mode_cls_token": True}, ("weightedmean",)),
        (dict.fromkeys(SWITCHES, True), tuple(SWITCHES.values())),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, ("last",)),
        ({"pooling_mode_mean_tokens": False}, ("mean",)),
        ({}, ("mean",)),
    ],
)
def test_names_of_poolings(teacher_folder: Path, config: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert poolings(write_modules(teacher_folder, "Pooling", Pooling=config)) == expected


@pytest.mark.parametrize("named", ["attention", ["mean", "attention"], [], 3, [None]])
def test_an_unknown_pooling(teacher_folder: Path, named: object) -> None:
    write_modules(teacher_folder, "Pooling", Pooling={"pooling_mode": named})
    with pytest.raises(ModelFormatError, match=r"1_Pooling.*pooling_mode.*found"):
        Teacher.from_pretrained(teacher_folder)


@pytest.mark.parametrize("place", ["sentence_transformers.base.modules.transformer", HERE, f"{HERE}.Transformer"])
def test_packages_have_moved(teacher_folder: Path, place: str) -> None:
    write_modules(teacher_folder, "Pooling", Pooling=MEAN)
    listing = json.loads((teacher_folder / "modules.json").read_text())
    listing[0]["type"] = f"{place}.Transformer"
    write_json(teacher_folder / "modules.json", listing)
    assert poolings(teacher_folder) == ("mean",)


def test_dense_layers_are_in_their_order(teacher_folder: Path) -> None:
    write_modules(teacher_folder, "Pooling", "Dense", "Normalize", "Dense", "Dropout", Pooling=MEAN)
    one = write_dense(teacher_folder / "2_Dense", 24, 7, activation_function=TANH)
    other = write_dense(
        teacher_folder / "4_Dense", 7, 3, bias=False, activation_function="torch.nn.modules.linear.Identity"
    )
    teacher = Teacher.from_pretrained(teacher_folder)
    plain = teacher.pooled("mean").encode(["good day", "bad"])
    expected = np.tanh(plain @ one["linear.weight"].T + one["linear.bias"])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(teacher.encode(["good day", "bad"]), expected @ other["linear.weight"].T, atol=1e-5)


@pytest.mark.parametrize(
    "found",
    [
        "sentence_transformers.models.WordWeights",
        "sentence_transformers.base.modules.router.Router",
        "sentence_transformers.models.WeightedLayerPooling",
        "pylate.models.Dense",
        "custom_st.Transformer",
        "Dense",
        None,
    ],
)
def test_an_unknown_module(teacher_folder: Path, found: object) -> None:
    write_modules(teacher_folder, "Pooling", "Normalize", Pooling=MEAN)
    listing = json.loads((teacher_folder / "modules.json").read_text())
    listing[-1]["type"] = found
    write_json(teacher_folder / "modules.json", listing)
    with pytest.raises(ModelFormatError) as caught:
        Teacher.from_pretrained(teacher_folder)
    assert repr(found) in str(caught.value)
    assert "pooling=" in str(caught.value)
    assert Teacher.from_pretrained(teacher_folder, pooling="last").pooling == "last"


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        ("models.CLIPModel", "images"),
        ("models.Router", "folder of one"),
        ("base.modules.router.Router", "folder of one"),
        ("models.Asym", "folder of one"),
        ("models.WordEmbeddings", "table"),
        ("models.BoW", "table"),
        ("models.StaticEmbedding", "static already"),
        ("sparse_encoder.models.SparseStaticEmbedding", "no vector"),
    ],
)
def test_first_modules_without_an_encoder(teacher_folder: Path, found: str, remedy: str) -> None:
    write_modules(teacher_folder, "Pooling", Pooling=MEAN)
    listing = json.loads((teacher_folder / "modules.json").read_text())
    listing[0]["type"] = f"sentence_transformers.{found}"
    write_json(teacher_folder / "modules.json", listing)
    for pooling in (None, "mean"):
        with pytest.raises(ModelFormatError, match=rf'modules\.json: .*"type".*found .*{found}.*{remedy}') as caught:
            Teacher.from_pretrained(teacher_folder, pooling=pooling)
        assert "pooling=" not in str(caught.value)


def test_a_sparse_encoder(teacher_folder: Path) -> None:
    write_modules(teacher_folder, "SpladePooling", SpladePooling={})
    listing = json.loads((teacher_folder / "modules.json").read_text())
    for module, kind in zip(listing, ("MLMTransformer", "SpladePooling"), strict=True):
        module["type"] = f"sentence_transformers.sparse_encoder.models.{kind}"
    write_json(teacher_folder / "modules.json", listing)
    with pytest.raises(ModelFormatError, match=r"MLMTransformer.*sparse encoder.*dense.*pooling="):
        Teacher.from_pretrained(teacher_folder)
    assert Teacher.from_pretrained(teacher_folder, pooling="mean").pooling == "mean"


@pytest.mark.parametrize("kinds", [(), ("Normalize", "Pooling"), ("Pooling", "Pooling"), ("Pooling", "Transformer")])
def test_another_order(teacher_folder: Path, kinds: tuple[str, ...]) -> None:
    write_modules(teacher_folder, *kinds, Pooling=MEAN)
    with pytest.raises(ModelFormatError, match=r"modules\.json: expected .*found"):
        Teacher.from_pretrained(teacher_folder)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", None, 3, "a/../../b"])
@pytest.mark.parametrize("pooling", [None, "mean"])
def test_paths_stay_inside(teacher_folder: Path, path: object, pooling: Any) -> None:
    write_modules(teacher_folder, "Pooling", Pooling=MEAN)
    listing = json.loads((teacher_folder / "modules.json").read_text())
    listing[1]["path"] = path
    write_json(teacher_folder / "modules.json", listing)
    with pytest.raises(ModelFormatError, match="expected paths inside the folder"):
        Teacher.from_pretrained(teacher_folder, pooling=pooling)


@pytest.mark.parametrize("content", [[], {}, "text", ["text"], [3]])
def test_a_listing_that_is_none(teacher_folder: Path, content: object) -> None:
    write_json(teacher_folder / "modules.json", content)
    with pytest.raises(ModelFormatError, match=r"modules\.json"):
        Teacher.from_pretrained(teacher_folder)
    if content in ([], {}):
        with pytest.raises(ModelFormatError, match=r"modules\.json"):
            Teacher.from_pretrained(teacher_folder, pooling="mean")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"in_features": None}, "in_features"),
        ({"out_features": 0}, "out_features"),
        ({"out_features": 8}, "linear.weight"),
        ({"in_features": 23}, "linear.weight"),
        ({"bias": False}, "linear.bias"),
        ({"use_residual": True}, "residual.weight"),
        ({"activation_function": "torch.nn.modules.activation.Softsign"}, "Softsign"),
        ({"activation_function": "os.system"}, "os.system"),
        ({"activation_function": None}, "activation_function"),
        ({"module_input_name": "token_embeddings"}, "token_embeddings"),
        ({"module_output_name": "other"}, "other"),
    ],
)
def test_a_dense_layer_that_we_cannot_compute(teacher_folder: Path, changes: dict[str, Any], part: str) -> None:
    write_modules(teacher_folder, "Pooling", "Dense", Pooling=MEAN)
    write_dense(teacher_folder / "2_Dense", 24, 7, activation_function=TANH)
    config = json.loads((teacher_folder / "2_Dense/config.json").read_text())
    write_json(teacher_folder / "2_Dense/config.json", {**config, **changes})
    with pytest.raises(ModelFormatError, match=part):
        Teacher.from_pretrained(teacher_folder)
    Teacher.from_pretrained(teacher_folder, pooling="mean")


def test_layers_that_do_not_fit_the_encoder(teacher_folder: Path) -> None:
    write_modules(teacher_folder, "Pooling", "Dense", Pooling=MEAN)
    write_dense(teacher_folder / "2_Dense", 25, 7)
    with pytest.raises(ModelFormatError, match=r"takes vectors of 25 .* give 24"):
        Teacher.from_pretrained(teacher_folder)


@pytest.mark.skipif(has_torch(), reason="PyTorch is installed")
def test_pickled_dense_weights(teacher_folder: Path) -> None:
    write_modules(teacher_folder, "Pooling", "Dense", Pooling=MEAN)
    write_dense(teacher_folder / "2_Dense", 24, 7)
    (teacher_folder / "2_Dense/model.safetensors").rename(teacher_folder / "2_Dense/pytorch_model.bin")
    with pytest.raises(MissingPackageError, match=r"2_Dense/pytorch_model\.bin.*m2v-distill\[torch\]"):
        Teacher.from_pretrained(teacher_folder)


def test_normalize_of_tokens(teacher_folder: Path) -> None:
    write_modules(
        teacher_folder, "Pooling", "Normalize", Pooling=MEAN, Normalize={"module_input_name": "token_embeddings"}
    )
    with pytest.raises(ModelFormatError, match=r"2_Normalize.*token_embeddings"):
        Teacher.from_pretrained(teacher_folder)
    (teacher_folder / "2_Normalize/config.json").unlink()  # as releases before 5 left it
    assert np.linalg.norm(Teacher.from_pretrained(teacher_folder).encode("good day")) == pytest.approx(1)


@pytest.mark.parametrize(
    "setting",
    [
        {"transformer_task": "fill-mask"},
        {"processing_kwargs": {"text": {"max_length": 3}}},
        {"module_output_name": "sentence_embedding"},
        {"tokenizer_name_or_path": "other/tokenizer"},
        {"model_args": {"num_hidden_layers": 1}},
        {"config_kwargs": {"num_hidden_layers": 1}},
        {"processor_kwargs": {"truncation_side": "left"}},
        {"modality_config": {"message": {"method": "forward", "method_output_name": "last_hidden_state"}}},
        {"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}},
        {"something_new": True},
        {"modality_config": None},
        {"tokenizer_args": ["x"]},
    ],
)
def test_settings_that_we_do_not_compute(teacher_folder: Path, setting: dict[str, Any]) -> None:
    write_modules(teacher_folder, "Pooling", Pooling=MEAN)
    write_json(teacher_folder / "sentence_bert_config.json", setting)
    with pytest.raises(ModelFormatError, match=r"sentence_bert_config\.json: m2v-distill does not compute") as caught:
        Teacher.from_pretrained(teacher_folder)
    assert next(iter(setting)) in str(caught.value)
    assert Teacher.from_pretrained(teacher_folder, pooling="max").pooling == "max"


def test_settings_without_effect(teacher_folder: Path) -> None:
    write_modules(teacher_folder, "Pooling", Pooling=MEAN)
    modalities = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    plain = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings", "unpad_inputs": None}
    more = {"model_args": {"add_pooling_layer": False}, "tokenizer_args": None, "config_args": {}}
    write_json(teacher_folder / "sentence_bert_config.json", {**plain, **more, "modality_config": modalities})
    assert Teacher.from_pretrained(teacher_folder).settings.texts.max_seq_length is None


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_xlm-roberta_config.json"])
def test_the_longest_text(teacher_folder: Path, name: str) -> None:
    write_modules(teacher_folder, "Pooling", Pooling=MEAN)
    write_json(teacher_folder / name, {"max_seq_length": 9, "do_lower_case": True})
    found = read_sentence_settings(teacher_folder)
    assert (found.texts.max_seq_length, found.texts.lower_case) == (9, True)
    for wrong in (0, "9", [9]):
        write_json(teacher_folder / name, {"max_seq_length": wrong})
        with pytest.raises(ModelFormatError, match="max_seq_length"):
            Teacher.from_pretrained(teacher_folder)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"prompts": ["query: "]}, "prompts"),
        ({"prompts": {"query": 3}}, "prompts"),
        ({"prompts": {"query": "q"}, "default_prompt_name": "passage"}, "'passage'.*query"),
        ({"prompts": {"query": "q"}, "default_prompt_name": ["query"]}, "'query'.*query"),
        ({"default_prompt_name": {}}, "default_prompt_name"),
        ({"truncate_dim": 0}, "truncate_dim"),
        ({"truncate_dim": "8"}, "truncate_dim"),
    ],
)
def test_settings_of_the_whole(teacher_folder: Path, content: dict[str, Any], part: str) -> None:
    write_modules(teacher_folder, "Pooling", Pooling=MEAN)
    write_json(teacher_folder / "config_sentence_transformers.json", content)
    with pytest.raises(ModelFormatError, match=rf"config_sentence_transformers\.json.*{part}"):
        Teacher.from_pretrained(teacher_folder)


def test_fewer_dimensions(teacher_folder: Path) -> None:
    write_modules(teacher_folder, "Pooling", Pooling=MEAN)
    write_json(teacher_folder / "config_sentence_transformers.json", {"truncate_dim": 10, "prompts": {"query": None}})
    teacher = Teacher.from_pretrained(teacher_folder)
    np.testing.assert_allclose(teacher.encode("good"), teacher.pooled("mean").encode("good")[:10], atol=1e-6)
    assert teacher.settings.texts.prompts == {"query": ""}
