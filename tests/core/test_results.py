"""`m2v_results.json`: what a command measured stays beside the model that it measured, and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import m2v
from conftest import make_model
from m2v_core import Layer, MLPHead, ModelFormatError, StaticModelPipeline
from m2v_core.results import read_results, results_of, save_results

FILE = "m2v_results.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier."""
    layer = Layer(np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32), np.zeros(2, np.float32))
    StaticModelPipeline(make_model(), MLPHead([layer], "softmax", ["calm", "loud"])).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def entry(metric: str, value: float, dataset: str = "d", **more: str) -> dict[str, Any]:
    return {"metric": metric, "value": value, "dataset": dataset, **more}


def test_results_are_added_and_replaced(folder: Path) -> None:
    speed = {"texts_per_second": 10, "machine": "m", "dataset": "d"}
    save_results(folder, [entry("accuracy", 0.5), entry("f1", 0.25)], speed=speed)
    save_results(folder, [entry("f1", 0.75), entry("f1", 0.5, split="test")])
    assert read_results(folder) == {
        "results": [entry("accuracy", 0.5), entry("f1", 0.75), entry("f1", 0.5, split="test")],
        "speed": speed,
    }


def test_another_model_has_none(folder: Path) -> None:
    """A save leaves the file, which is not the model's; another table or head makes it void."""
    save_results(folder, [entry("accuracy", 0.5)])
    pipeline = StaticModelPipeline.from_pretrained(folder)
    pipeline.model.prompts = {"query": "good "}
    StaticModelPipeline(pipeline.model, MLPHead(pipeline.head.layers, "softmax", ["a", "b"])).save_pretrained(folder)
    layer = Layer(pipeline.head.layers[0].weight * 2, pipeline.head.layers[0].bias)
    StaticModelPipeline(pipeline.model, MLPHead([layer], "softmax", ["a", "b"])).save_pretrained(folder)
    assert (folder / FILE).is_file()
    assert read_results(folder)["results"] == []


@pytest.mark.parametrize(
    "content",
    [
        "[]", "{", '{"results": 3}', '{"results": [{"metric": "a", "value": "b", "dataset": "c"}]}',
        '{"results": [{"metric": "a", "value": NaN, "dataset": "c"}]}', '{"results": [], "speed": 3}',
        '{"results": [{"metric": "a", "value": 1, "dataset": "c", "other": 1}]}',
    ],
)  # fmt: skip
def test_a_damaged_file(folder: Path, content: str) -> None:
    (folder / FILE).write_text(content)
    with pytest.raises(ModelFormatError, match=FILE):
        read_results(folder)


def test_a_name_that_is_no_unicode_costs_no_result(folder: Path) -> None:
    """As the name of a file whose bytes are not UTF-8; the end of a training is no time to refuse it."""
    save_results(folder, [entry("accuracy", 0.5, "d\udcff")])
    assert read_results(folder)["results"] == [entry("accuracy", 0.5, "d\udcff")]
    (folder / FILE).read_bytes().decode()


def test_measures_by_the_names_of_the_hub() -> None:
    report = {"calm": {"f1-score": 1.0}, "accuracy": 0.5, "macro avg": {"f1-score": 0.25}}
    assert results_of(report, dataset="d") == [entry("accuracy", 0.5), entry("f1", 0.25)]
    numbers = {"mean squared error": 0.5, "mean absolute error": 0.25, "R2": None}
    assert [one["metric"] for one in results_of(numbers, dataset="d")] == ["mse", "mae"]
    pairs = {"mean cosine of pairs": 0.5, "nearest text_b is right": 0.25}
    assert [one["metric"] for one in results_of(pairs, dataset="d")] == ["mean_cosine", "accuracy_at_1"]


def test_evaluate_keeps_what_it_prints(folder: Path, tmp_path: Path) -> None:
    rows = ["text,label", *(["good day,calm", "bad,loud"] * 600)]
    (tmp_path / "test.csv").write_text("\n".join(rows) + "\n")
    done = m2v(
        "evaluate", folder, tmp_path / "test.csv", "--json", "--save", "--dataset", "org/data", "--split", "test"
    )
    assert (done.returncode, done.stderr) == (0, f"{folder / FILE}: kept for the model's card\n")
    found, report = read_results(folder), json.loads(done.stdout)
    assert found["results"] == [
        entry("accuracy", report["accuracy"], "org/data", split="test"),
        entry("f1", report["macro avg"]["f1-score"], "org/data", split="test"),
    ]
    assert found["speed"]["texts_per_second"] > 0
    (tmp_path / "few.csv").write_text("\n".join(rows[:3]))
    assert m2v("evaluate", folder, tmp_path / "few.csv", "--save", "-q").returncode == 0
    again = read_results(folder)
    assert again["results"][2]["dataset"] == "few.csv"
    assert again["speed"] == found["speed"]  # three texts say nothing


def test_evaluate_refuses_where_nothing_can_be_kept(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,label\na,calm\n")
    for arguments, part in (
        (["org/name", tmp_path / "test.csv", "--save"], "--save needs a model in a folder"),
        ([folder, tmp_path / "test.csv", "--split", "test"], "Add --save."),
    ):
        done = m2v("evaluate", *arguments)
        assert done.returncode == 1
        assert part in done.stderr
