"""Pipelines in memory and on disk. What model2vec wrote is in golden/heads; live it is met in tests/integration."""

from __future__ import annotations

import json
import shutil
import threading
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN, make_model
from m2v_core import (
    InvalidInputError,
    Layer,
    MissingPackageError,
    MLPHead,
    ModelFormatError,
    ModelNotFoundError,
    StaticModel,
    StaticModelPipeline,
    quantize_model,
)

TEXTS = ["good day", "Bad, sunny days!", "", "unable day good"]
HEADS = sorted(path.name for path in (GOLDEN / "heads").iterdir())
MODEL_FILES = {"config.json", "model.safetensors", "tokenizer.json"}


def random_head(dim: int, activation: str = "softmax", classes: Any = ("a", "b", "c"), seed: int = 0) -> MLPHead:
    generator = np.random.default_rng(seed)
    widths = [dim, 5, 3]
    layers = [
        Layer(generator.normal(size=(wide, narrow)).astype(np.float32), generator.normal(size=wide).astype(np.float32))
        for narrow, wide in pairwise(widths)
    ]
    return MLPHead(layers, activation, None if activation == "identity" else classes)


def pipeline_of(activation: str = "softmax", *, kind: str = "wordpiece", **options: Any) -> StaticModelPipeline:
    model = make_model(kind, **options)
    return StaticModelPipeline(model, random_head(model.dim, activation))


def as_lists(labels: np.ndarray) -> list[Any]:
    return [label.tolist() if hasattr(label, "tolist") else label for label in labels]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"modules.json"}


# --- what model2vec wrote -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", HEADS)
def test_golden_heads(case: str, tmp_path: Path) -> None:
    expected = json.loads((GOLDEN / "heads" / case / "expected.json").read_text(encoding="utf-8"))
    pipeline = StaticModelPipeline.from_pretrained(GOLDEN / "heads" / case)
    pipeline.save_pretrained(tmp_path / "m")
    for loaded in (pipeline, StaticModelPipeline.from_pretrained(tmp_path / "m")):
        if loaded.classes_ is None:
            np.testing.assert_allclose(loaded.predict(expected["texts"]), expected["outputs"], atol=1e-5)
        else:
            assert as_lists(loaded.predict(expected["texts"])) == expected["labels"]
            np.testing.assert_allclose(loaded.predict_proba(expected["texts"]), expected["outputs"], atol=1e-5)
    theirs, ours = (load_file(folder / "head.safetensors") for folder in (GOLDEN / "heads" / case, tmp_path / "m"))
    assert theirs.keys() == ours.keys()
    assert all(np.array_equal(theirs[name], ours[name]) for name in theirs)
    configs = [json.loads((folder / "config.json").read_text()) for folder in (GOLDEN / "heads" / case, tmp_path / "m")]
    assert configs[0]["head_config"] == configs[1]["head_config"]


# --- what it says ---------------------------------------------------------------------------------------------------


def test_it_is_the_head_of_the_models_vectors() -> None:
    pipeline = pipeline_of(normalize=True)
    vectors = pipeline.model.encode(TEXTS)
    assert np.array_equal(pipeline.predict_proba(TEXTS), pipeline.head.predict_proba(vectors))
    assert pipeline.predict(TEXTS).tolist() == pipeline.classes_[pipeline.head.predict_index(vectors)].tolist()
    limited = pipeline.head.predict_proba(pipeline.model.encode(TEXTS, max_length=1))
    assert np.array_equal(pipeline.predict_proba(iter(TEXTS), max_length=1, batch_size=2), limited)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
def test_one_text_many_and_none(activation: str) -> None:
    pipeline = pipeline_of(activation)
    one, many, none = pipeline.predict("good day"), pipeline.predict(TEXTS), pipeline.predict([])
    assert (len(one), len(many), len(none)) == (1, 4, 0)
    if activation == "identity":
        np.testing.assert_allclose(one, many[:1], rtol=1e-5)
    else:
        assert as_lists(one) == as_lists(many)[:1]
        assert pipeline.predict_proba("good day").shape == (1, 3)
        assert pipeline.predict_proba([]).shape == (0, 3)


def test_several_labels() -> None:
    pipeline = pipeline_of("sigmoid")
    proba = pipeline.predict_proba(TEXTS)
    for threshold in (0.5, 0.9, 0.0, 1.0):
        found = pipeline.predict(TEXTS, threshold=threshold)
        assert (found.shape, found.dtype) == ((4,), np.dtype(object))
        assert as_lists(found) == [[name for name, p in zip("abc", row, strict=True) if p > threshold] for row in proba]


def test_evaluate() -> None:
    pipeline = pipeline_of()
    right = pipeline.predict(TEXTS)
    assert pipeline.evaluate(TEXTS, right)["accuracy"] == 1
    assert pipeline.evaluate(iter(TEXTS), right.tolist())["accuracy"] == 1
    other = ["z", *right[1:]]
    assert pipeline.evaluate(TEXTS, other)["accuracy"] == 0.75
    assert pipeline.evaluate(TEXTS, other)["z"] == {"precision": 0, "recall": 0, "f1-score": 0, "support": 1}
    several = pipeline_of("sigmoid")
    found = several.predict(TEXTS, threshold=0.6)
    assert several.evaluate(TEXTS, [set(row) for row in found], threshold=0.6)["accuracy"] == 1
    assert several.evaluate(TEXTS, found, 2, 0.6)["accuracy"] == 1


@pytest.mark.parametrize(
    ("classes", "activation", "y", "message"),
    [
        (["a", "b"], "softmax", ["a", 1], r"such as 'a' \(str\); found 1 \(int\) at index 1. .* str\(label\)"),
        ([0, 1], "softmax", ["0", "1"], r"such as 0 \(int\); found '0' \(str\) at index 0. .* int\(label\)"),
        ([0, 1], "softmax", [0, 1.0], r"found 1.0 \(float\) at index 1"),
        ([False, True], "softmax", [True, 1], r"such as False \(bool\); found 1 \(int\) at index 1"),
        (["a", "b"], "softmax", [None, "a"], r"found None \(NoneType\) at index 0. Leave its text out"),
        (["a", "b"], "softmax", ["a", ["b"]], r"one label for each text, and no lists.*\['b'\] \(list\) at index 1"),
        (["a", "b"], "sigmoid", [["a"], "b"], r"a list of labels for each text.*; found 'b' \(str\) at index 1"),
        (["a", "b"], "sigmoid", [[], ["a", 2]], r"such as 'a' \(str\); found 2 \(int\) at index 1"),
        ([0, 1], "sigmoid", np.array([[0, 1], [1, 0]]), r"found an array of shape \(2, 2\). Convert a matrix"),
    ],
)
def test_labels_of_another_kind(classes: list[Any], activation: str, y: Any, message: str) -> None:
    layer = Layer(np.ones((2, 8)), np.zeros(2))
    pipeline = StaticModelPipeline(make_model(), MLPHead([layer], activation, classes))
    with pytest.raises(InvalidInputError, match=rf"y should .*{message}"):
        pipeline.evaluate(["good", "day"], y)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_unknown_classes_are_wrong_and_reported(activation: str, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = pipeline_of(activation)
    found = pipeline.predict(TEXTS)
    pipeline.evaluate(TEXTS, found)
    assert not caplog.records
    labels = ["z", "z", *found[2:]] if activation == "softmax" else [["z"], ["a", "z"], *found[2:]]
    assert pipeline.evaluate(TEXTS, labels)["accuracy"] == 0.5
    assert caplog.messages == ["2 of the labels in y are not among the model's 3 classes, and count as errors: 'z'"]


def test_what_is_wrong_with_the_input() -> None:
    pipeline = pipeline_of()
    for call in (pipeline.predict, pipeline.predict_proba):
        with pytest.raises(InvalidInputError, match="text"):
            call([1])
        with pytest.raises(InvalidInputError, match="batch_size"):
            call(TEXTS, batch_size=0)
    for threshold in (2, -0.1, float("nan"), "0.5", True, None):
        with pytest.raises(InvalidInputError, match=r"threshold should be a probability, .* such as 0.5; found"):
            pipeline.predict(TEXTS, threshold=threshold)
    assert len(pipeline.predict(TEXTS, threshold=np.float32(0.3))) == len(TEXTS)
    with pytest.raises(InvalidInputError, match="found 4 texts, 1 labels"):
        pipeline.evaluate(TEXTS, ["a"])
    with pytest.raises(InvalidInputError, match=r"needs texts in X .* found 0 texts, 0 labels"):
        pipeline.evaluate([], [])
    regression = pipeline_of("identity")
    for call in (regression.predict_proba, lambda texts: regression.evaluate(texts, TEXTS)):
        with pytest.raises(InvalidInputError, match="needs a head with classes; this one has none"):
            call(TEXTS)
    with pytest.raises(InvalidInputError, match="takes vectors of 8 dimensions; the model gives 4"):
        StaticModelPipeline(make_model(dim=4), random_head(8))


def test_threads_share_a_pipeline() -> None:
    pipeline, found = pipeline_of(), []
    threads = [threading.Thread(target=lambda: found.append(pipeline.predict_proba(TEXTS * 50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(found[0], other) for other in found)


# --- on disk --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
def test_round_trip(tmp_path: Path, activation: str, dtype: str) -> None:
    pipeline = pipeline_of(activation, normalize=True, base_model_name="org/teacher", max_length=7)
    pipeline = StaticModelPipeline(quantize_model(pipeline.model, quantize_to=dtype), pipeline.head)
    pipeline.save_pretrained(tmp_path, subfolder="m")
    assert names(tmp_path / "m") == MODEL_FILES | {"head.safetensors"}
    modes = {path.stat().st_mode for path in (tmp_path / "m").iterdir()}
    assert len(modes) == 1  # as public as each other
    loaded = StaticModelPipeline.from_pretrained(tmp_path, subfolder="m")
    assert loaded.model.config == pipeline.model.config
    assert np.array_equal(loaded.head.logits(loaded.model.encode(TEXTS)), pipeline._logits(TEXTS))
    loaded.save_pretrained(tmp_path / "again")
    for path in (tmp_path / "m").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_the_bytes_of_a_head(tmp_path: Path) -> None:
    """The format itself: change it only with its version and docs/format.md."""
    model = make_model("wordlevel", dim=2)
    head = MLPHead([Layer(np.array([[1, 2], [3, 4]], np.float32), np.array([5, 6], np.float16))], "softmax", [1, 0])
    StaticModelPipeline(model, head).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["head_config"] == {"n_layers": 1, "activation": "softmax", "classes": [1, 0]}
    tensors = load_file(tmp_path / "head.safetensors")
    assert {name: (array.dtype.name, array.tolist()) for name, array in tensors.items()} == {
        "head.0.weight": ("float32", [[1, 2], [3, 4]]),
        "head.0.bias": ("float16", [5, 6]),
    }


def test_weights_that_lie_otherwise_in_memory(tmp_path: Path) -> None:
    model = make_model(dim=3)
    weight = np.arange(6, dtype=np.float32).reshape(3, 2).T
    StaticModelPipeline(model, MLPHead([Layer(weight, np.zeros(2))], "identity")).save_pretrained(tmp_path)
    assert np.array_equal(StaticModelPipeline.from_pretrained(tmp_path).head.layers[0].weight, weight)


def test_a_model_in_a_pipelines_folder(tmp_path: Path) -> None:
    """It loads without the head, and goes elsewhere without it; saved over the pipeline it takes the head along."""
    pipeline_of().save_pretrained(tmp_path / "m")
    (tmp_path / "m/README.md").write_text("mine")
    model = StaticModel.from_pretrained(tmp_path / "m")
    model.save_pretrained(tmp_path / "other")
    assert names(tmp_path / "other") == MODEL_FILES
    assert "head_config" not in json.loads((tmp_path / "other/config.json").read_text())
    with pytest.warns(UserWarning, match="holds a trained head, which this save removes") as caught:
        model.save_pretrained(tmp_path / "m")
    assert caught[0].filename == __file__
    assert names(tmp_path / "m") == MODEL_FILES | {"README.md"}
    with pytest.raises(ModelNotFoundError, match="holds no trained head"):
        StaticModelPipeline.from_pretrained(tmp_path / "m")
    pipeline_of("identity").save_pretrained(tmp_path / "m")
    assert StaticModelPipeline.from_pretrained(tmp_path / "m").classes_ is None
    assert (tmp_path / "m/README.md").read_text() == "mine"


def test_options_of_from_pretrained(tmp_path: Path) -> None:
    pipeline = pipeline_of(normalize=True)
    pipeline.save_pretrained(tmp_path)
    expected = pipeline.predict_proba(TEXTS)
    mapped = StaticModelPipeline.from_pretrained(tmp_path, memory_map=True, cache_bytes=0)
    assert isinstance(mapped.model.embedding, np.ndarray)
    assert not mapped.model.embedding.flags.owndata
    assert np.array_equal(mapped.predict_proba(TEXTS), expected)
    small = StaticModelPipeline.from_pretrained(tmp_path, quantize_to="int8")
    assert small.model.embedding_dtype == "int8"
    np.testing.assert_allclose(small.predict_proba(TEXTS), expected, atol=0.05)
    assert StaticModelPipeline.from_pretrained(tmp_path, max_length=1).model.max_length == 1
    with pytest.raises(TypeError):
        StaticModelPipeline.from_pretrained(tmp_path, dimensionality=2)  # type: ignore[call-arg]
    with pytest.raises(InvalidInputError, match="quantize_to"):
        StaticModelPipeline.from_pretrained(tmp_path, quantize_to="int4")


def test_a_table_with_nan(tmp_path: Path) -> None:
    """As in model2vec, such values count as 0 in a pipeline."""
    pipeline = pipeline_of("identity")
    model = pipeline.model
    row = model.tokenize("good")[0]
    table = model.embedding.copy()
    table[row, 3] = 0
    sound = StaticModel(table, model.stored.tokenizer_json)
    table = table.copy()
    table[row, 3] = np.nan
    broken = StaticModel(table, model.stored.tokenizer_json)
    StaticModelPipeline(broken, pipeline.head).save_pretrained(tmp_path)
    loaded = StaticModelPipeline.from_pretrained(tmp_path)
    expected = StaticModelPipeline(sound, pipeline.head).predict(TEXTS)
    assert np.array_equal(loaded.predict(TEXTS), expected)
    assert np.isnan(StaticModel.from_pretrained(tmp_path).encode("good")).any()


def test_no_two_pipelines_are_mixed(tmp_path: Path) -> None:
    """A reader while others save gets the table and the head of one save."""
    pipelines = [
        StaticModelPipeline(model, random_head(8, seed=seed))
        for seed in (1, 2)
        for model in [StaticModel(make_model().embedding * seed, make_model().stored.tokenizer_json)]
    ]
    pipelines[0].save_pretrained(tmp_path / "m")
    whole = [pipeline.predict_proba(TEXTS) for pipeline in pipelines]
    stop = threading.Event()

    def save() -> None:
        while not stop.is_set():
            for pipeline in pipelines:
                pipeline.save_pretrained(tmp_path / "m")

    writer = threading.Thread(target=save)
    writer.start()
    try:
        for _ in range(60):
            found = StaticModelPipeline.from_pretrained(tmp_path / "m").predict_proba(TEXTS)
            assert any(np.array_equal(found, one) for one in whole)
    finally:
        stop.set()
        writer.join()


# --- what strangers wrote -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / "heads" / "softmax", tmp_path / "m")
    return tmp_path / "m"


def rejects(folder: Path, *parts: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        StaticModelPipeline.from_pretrained(folder)
    for part in parts:
        assert part in str(caught.value)


GOOD = {"n_layers": 2, "activation": "softmax", "classes": ["calm", "schön", "日 本"]}


@pytest.mark.parametrize(
    ("head_config", "part"),
    [
        (None, "should be an object"),
        ([], "should be an object"),
        ({}, "n_layers"),
        (GOOD | {"n_layers": "2"}, "n_layers"),
        (GOOD | {"n_layers": True}, "n_layers"),
        (GOOD | {"n_layers": -1}, "n_layers"),
        (GOOD | {"n_layers": 2.0}, "n_layers"),
        (GOOD | {"n_layers": 10**12}, "found 1000000000000"),
        (GOOD | {"n_layers": 3}, "expected the tensor head.2.bias, head.2.weight"),
        (GOOD | {"n_layers": 1}, "each of its 4 outputs; found 3"),
        (GOOD | {"n_layers": 0}, "each of its 6 outputs; found 3"),
        (GOOD | {"activation": None}, "one of softmax, sigmoid, identity"),
        (GOOD | {"activation": ["softmax"]}, "one of softmax, sigmoid, identity"),
        (GOOD | {"activation": "relu"}, "found 'relu'"),
        (GOOD | {"activation": "identity"}, "no classes"),
        (GOOD | {"classes": None}, "should have classes"),
        (GOOD | {"classes": "abc"}, "list"),
        (GOOD | {"classes": {"a": 1, "b": 2, "c": 3}}, "list"),
        (GOOD | {"classes": ["a", "b"]}, "each of its 3 outputs; found 2"),
        (GOOD | {"classes": ["a", "b", 1]}, "all of one kind"),
        (GOOD | {"classes": [0.5, 1, 2]}, "all of one kind"),
        (GOOD | {"classes": ["a", "b", "a"]}, "found 'a' twice"),
        (GOOD | {"classes": [1, 2, 10**30]}, "64 bits"),
    ],
)
def test_damaged_configs(folder: Path, head_config: object, part: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"head_config": head_config}))
    rejects(folder, str(folder), part)


def test_a_config_that_says_nothing(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["head_config"]
    (folder / "config.json").write_text(json.dumps(config))
    rejects(folder, "config.json", "head_config", "found None")


@pytest.mark.parametrize(
    ("name", "array", "part"),
    [
        ("head.0.weight", np.ones((4, 5), np.float32), "takes vectors of 5 dimensions; the model gives 6"),
        ("head.0.weight", np.ones((5, 6), np.float32), "found [5, 6] and [4]"),
        ("head.0.weight", np.ones(24, np.float32), "found [24] and [4]"),
        ("head.0.bias", np.ones(4, np.int64), "head.0.bias should be one of float16, float32, float64; found I64"),
        ("head.0.bias", np.full(4, np.nan, np.float32), "finite"),
        ("head.1.weight", np.ones((3, 5), np.float32), "take the 4 outputs of layer 0"),
        ("head.1.bias", None, "expected the tensor head.1.bias"),
    ],
)
def test_damaged_tensors(folder: Path, name: str, array: np.ndarray | None, part: str) -> None:
    tensors = load_file(folder / "head.safetensors")
    tensors.pop(name)
    save_file(tensors | ({} if array is None else {name: array}), folder / "head.safetensors")
    rejects(folder, "head.safetensors", part)


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_truncated_heads(folder: Path, keep: int) -> None:
    file = folder / "head.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    rejects(folder, "head.safetensors", "bytes")


def test_folders_without_a_head(folder: Path) -> None:
    (folder / "head.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"holds no trained head.*StaticModel.from_pretrained.*m2v-train"):
        StaticModelPipeline.from_pretrained(folder)
    (folder / "pipeline.skops").write_bytes(b"never read")
    rejects(folder, "pipeline.skops", "m2v-train", f"m2v_train.convert_legacy_pipeline({str(folder)!r})")
    with pytest.raises(ModelNotFoundError, match="neither a folder"):
        StaticModelPipeline.from_pretrained(folder / "none")


# --- publishing -----------------------------------------------------------------------------------------------------


def test_publishing_needs_a_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    for one in (make_model(), pipeline_of()):
        with pytest.raises(MissingPackageError, match="pip install m2v-hub"):
            one.push_to_hub("org/name")


def test_the_first_publisher_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def push(one: object, repo_id: str, **options: object) -> str:
        calls.append((one, repo_id, options))
        return f"at {repo_id}"

    points = {
        "m2v.publishers": [
            SimpleNamespace(name="z", load=lambda: pytest.fail("not the first")),
            SimpleNamespace(name="hub", load=lambda: push),
        ]
    }
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points[group])
    for one in (make_model(), pipeline_of()):
        assert one.push_to_hub("org/name", True, "a-token", "s", create_pr=True) == "at org/name"  # model2vec's order
        options = {"private": True, "token": "a-token", "subfolder": "s", "create_pr": True}
        assert calls.pop() == (one, "org/name", options)
