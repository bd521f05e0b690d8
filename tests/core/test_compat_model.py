"""What the name model2vec stands for: models, pipelines and functions that take what model2vec takes."""

from __future__ import annotations

import inspect
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

import m2v_core
from conftest import make_model
from m2v_core import Layer, MLPHead
from m2v_core.compat import calls, tools
from m2v_core.compat.model import StaticModel, quantize_model
from m2v_core.compat.pipeline import StaticModelPipeline, evaluate_single_or_multi_label
from m2v_core.errors import ModelNotFoundError
from m2v_core.tokenize.backend import IS_IMMUTABLE

TEXTS = ["good day", "", "never seen words", "a good day " * 50]


@pytest.fixture
def folder(model: m2v_core.StaticModel, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def ours(folder: Path) -> StaticModel:
    return StaticModel.from_pretrained(folder)


@pytest.fixture(autouse=True)
def nothing_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_dropped", set())


def test_the_class_has_the_name(ours: StaticModel) -> None:
    assert "model2vec" in str(type(ours))
    assert isinstance(ours, m2v_core.StaticModel)


def test_vectors_are_those_of_m2v(ours: StaticModel, model: m2v_core.StaticModel) -> None:
    assert np.array_equal(ours.encode(TEXTS), model.encode(TEXTS))
    assert ours.tokenize(TEXTS) == model.tokenize(TEXTS)


@pytest.mark.parametrize("name", ["encode", "encode_as_sequence", "tokenize"])
def test_unknown_keywords_are_dropped_with_one_warning_each(
    name: str, ours: StaticModel, model: m2v_core.StaticModel, caplog: pytest.LogCaptureFixture
) -> None:
    call = getattr(ours, name)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = call(TEXTS, prompt_name="query", task_name="x")
    assert sorted(record.args[1] for record in caplog.records) == ["prompt_name", "task_name"]
    expected = getattr(model, name)(TEXTS)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    with pytest.raises(TypeError, match="prompt_name"):
        getattr(model, name)(TEXTS, prompt_name="query")  # m2v's own stays strict


def test_known_keywords_keep_their_meaning(ours: StaticModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        unit = ours.encode(TEXTS, normalize_embeddings=True, convert_to_numpy=True, show_progressbar=False)
    assert not np.array_equal(unit, ours.encode(TEXTS))
    assert np.array_equal(unit, ours.encode(TEXTS, normalize=True))
    assert caplog.records == []
    assert np.array_equal(ours.encode(TEXTS, convert_to_tensor=True), ours.encode(TEXTS))
    assert [record.args[1] for record in caplog.records] == ["convert_to_tensor"]


def test_the_signature_of_encode_is_ours() -> None:
    assert inspect.signature(StaticModel.encode) == inspect.signature(m2v_core.StaticModel.encode)


def test_the_constructor_is_model2vecs(model: m2v_core.StaticModel) -> None:
    tokenizer = Tokenizer.from_str(model.stored.tokenizer) if not IS_IMMUTABLE else model.stored.tokenizer
    config = {"normalize": True, "max_length": 3, "custom": [1]}
    own = StaticModel(model.embedding, tokenizer, config, False, "org/teacher", ["en"], None, None, 7)
    assert (own.normalize, own.max_length, own.base_model_name, own.language) == (False, 7, "org/teacher", ["en"])
    assert own.config["custom"] == [1]
    assert list(inspect.signature(StaticModel).parameters) == [
        *("vectors", "tokenizer", "config", "normalize", "base_model_name", "language"),
        *("weights", "token_mapping", "max_length"),
    ]
    assert StaticModel(model.embedding, tokenizer, config).max_length == 512  # not the config's, as in model2vec
    with pytest.raises(ValueError, match="tokens"):
        StaticModel(model.embedding[1:], tokenizer)


def test_the_config_is_a_record_and_a_dictionary(ours: StaticModel) -> None:
    ours.max_length = 9
    assert ours.config["max_length"] == ours.config.max_length == ours.config.get("max_length") == 9
    assert ours.config["hidden_dim"] == ours.dim
    assert ours.config["model_type"] == "model2vec"
    assert ours.config == dict(ours.config)
    assert "nothing" not in ours.config
    with pytest.raises(KeyError):
        ours.config["nothing"]
    with pytest.raises(TypeError):
        ours.config["max_length"] = 3  # type: ignore[index]


def test_saved_folders_are_those_of_m2v(ours: StaticModel, folder: Path, tmp_path: Path) -> None:
    ours.max_length = ours.max_length  # stores the config that was read as a dictionary
    ours.save_pretrained(tmp_path, "a name", "inner")
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (tmp_path / "inner" / file).read_bytes() == (folder / file).read_bytes()


def test_options_come_by_position(folder: Path) -> None:
    model = StaticModel.from_pretrained(folder, None, True, None, "float16", 4)
    assert (model.normalize, model.embedding_dtype, model.dim) == (True, "float16", 4)
    assert type(model) is StaticModel
    smaller = quantize_model(model, None, "int8", 2)
    assert (type(smaller), smaller.embedding_dtype, smaller.dim) == (StaticModel, "int8", 2)
    assert StaticModel.from_pretrained(model_name=folder).dim == 8
    with pytest.raises(TypeError, match="more than one value for token"):
        StaticModel.from_pretrained(folder, None, token="x")  # noqa: S106
    with pytest.raises(TypeError, match="takes 4 positional arguments"):
        quantize_model(model, *range(9))
    with pytest.raises(TypeError, match="unknown"):
        StaticModel.from_pretrained(folder, unknown=1)


@pytest.mark.parametrize("name", ["no such model", "missing/folder/here"])
def test_a_missing_model_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="neither a folder") as caught:
        StaticModel.from_pretrained(name)
    assert isinstance(caught.value, ModelNotFoundError)
    with pytest.raises(ValueError, match="neither a folder"):
        StaticModelPipeline.from_pretrained(name)


@pytest.mark.skipif(IS_IMMUTABLE, reason="calls truncate in tokenizers 1.x")
def test_the_tokenizer_truncates(ours: StaticModel) -> None:
    text = "good day " * 600
    assert len(ours.tokenizer.encode(text, add_special_tokens=False).ids) == ours.max_length == 512
    assert ours.tokenizer is ours.tokenizer
    ours.max_length = 3
    assert len(ours.tokenizer.encode(text, add_special_tokens=False).ids) == 3
    ours.max_length = None
    assert len(ours.tokenizer.encode(text, add_special_tokens=False).ids) > 512
    ours.tokenizer.enable_truncation(1)  # its own: the model does not change
    assert len(ours.tokenize([text])[0]) > 512
    assert ours._tokenizer.backend.truncation is None


def test_tables_can_be_set(ours: StaticModel) -> None:
    before = ours.encode(TEXTS)
    ours.embedding = ours.embedding * 2
    assert np.allclose(ours.encode(TEXTS), before * 2, atol=1e-6)
    ours.weights = np.full(ours.n_tokens, 0.5, "float32")
    assert np.allclose(ours.encode(TEXTS), before, atol=1e-6)
    with pytest.raises(ValueError, match="tokens"):
        ours.embedding = ours.embedding[1:]
    with pytest.raises(AttributeError):
        make_model().embedding = ours.embedding  # type: ignore[misc]


def test_a_pickle_needs_no_name(ours: StaticModel, tmp_path: Path) -> None:
    assert np.array_equal(pickle.loads(pickle.dumps(ours)).encode(TEXTS), ours.encode(TEXTS))
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(ours))
    code = "import pickle, sys; print(type(pickle.load(open(sys.argv[1], 'rb'))))"
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.pickle")], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "<class 'model2vec.model.StaticModel'>"


def test_a_pipeline(model: m2v_core.StaticModel, tmp_path: Path) -> None:
    layer = Layer(np.eye(2, model.dim, dtype="float32"), np.zeros(2, "float32"))
    plain = m2v_core.StaticModelPipeline(model, MLPHead([layer], "softmax", ["a", "b"]))
    plain.save_pretrained(tmp_path)
    pipeline = StaticModelPipeline.from_pretrained(tmp_path, None)
    assert str(type(pipeline)) == "<class 'model2vec.inference.model.StaticModelPipeline'>"
    assert type(pipeline.model) is StaticModel
    assert pipeline.predict(TEXTS, False, 512, 2).tolist() == plain.predict(TEXTS).tolist()
    assert np.array_equal(pipeline.predict_proba(TEXTS, False), plain.predict_proba(TEXTS))
    assert pipeline.classes_.tolist() == ["a", "b"]
    assert pipeline.evaluate(["good", "day"], ["a", "b"]) == plain.evaluate(["good", "day"], ["a", "b"])
    report = evaluate_single_or_multi_label(predictions=np.array(["a", "b"]), y=["a", "a"])
    assert report["accuracy"] == 0.5


def test_push_to_hub_of_a_pipeline_has_model2vecs_order(
    model: m2v_core.StaticModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = Layer(np.eye(2, model.dim, dtype="float32"), np.zeros(2, "float32"))
    pipeline = StaticModelPipeline(model, MLPHead([layer], "softmax", ["a", "b"]))
    asked: dict[str, object] = {}
    monkeypatch.setattr("m2v_core.pipeline.publish", lambda model, name, **options: asked.update(options) or name)
    assert pipeline.push_to_hub("org/name", "inner", "hf_token", True) == "org/name"
    assert asked == {"subfolder": "inner", "token": "hf_token", "private": True}


def test_tables_in_other_dtypes() -> None:
    table = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    small = tools.quantize_and_reduce_dim(table, tools.DType.Int8, 3)
    assert (small.dtype, small.shape) == (np.int8, (5, 3))
    assert np.abs(small * (np.abs(table[:, :3]).max() / 127) - table[:, :3]).max() < 0.01
    assert tools.quantize_embeddings(table, "float16").dtype == np.float16
    assert tools.quantize_and_reduce_dim(table, None, None) is not None
    with pytest.raises(ValueError, match="at most 4"):
        tools.quantize_and_reduce_dim(table, None, 5)
    with pytest.raises(ValueError, match="bfloat16"):
        tools.quantize_embeddings(table, "bfloat16")


@pytest.mark.skipif(IS_IMMUTABLE, reason="an object of tokenizers 1.x cannot be saved")
def test_parts_of_a_folder(ours: StaticModel, folder: Path, tmp_path: Path) -> None:
    embeddings, tokenizer, config, origin, weights, mapping = tools.load_pretrained(folder)
    assert origin == {"base_model": None, "language": None}
    tools.save_pretrained(tmp_path / "again", embeddings, tokenizer, config, weights=weights, mapping=mapping)
    again = StaticModel.from_pretrained(tmp_path / "again")
    assert np.array_equal(again.encode(TEXTS), ours.encode(TEXTS))


def test_packages_of_an_extra() -> None:
    assert list(tools.get_package_extras("m2v-core", "quantization")) == ["scikit-learn"]
    assert list(tools.get_package_extras("m2v-core", "nothing")) == []
    with pytest.raises(ImportError, match="no-such-package"):
        list(tools.get_package_extras("no-such-package", "extra"))
    tools.importable("json", "extra")
    with pytest.raises(ImportError, match=r"no_such_module.*the extra train"):
        tools.importable("no_such_module", "train")
