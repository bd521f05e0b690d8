"""Live: pipelines that model2vec trains load here, and ours load there (nox -s interop)."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for name in ("datasets", "model2vec", "torch"):
    pytest.importorskip(name, reason="needs model2vec[train]: nox -s interop")

from model2vec import train
from model2vec.inference import StaticModelPipeline as TheirPipeline

from conftest import make_model
from m2v_core import Layer, MLPHead, StaticModel, StaticModelPipeline, quantize_model

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]  # the peer warns of its own parts

TOLERANCE = 1e-5

WORDS = ["good", "bad", "day", "days", "sunny", "unable", "a"]
TEXTS = [" ".join(np.random.default_rng(seed).choice(WORDS, size=1 + seed % 5)) for seed in range(80)]
TEXTS += ["", "✪", "GOOD, day!"]


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}", end="")


def as_lists(labels: Any) -> list[Any]:
    return [label.tolist() if hasattr(label, "tolist") else label for label in labels]


def agree(one: Any, other: Any, texts: list[str]) -> float:
    """The largest difference of two pipelines' numbers; their labels and reports are asserted to be the same."""
    if one.classes_ is None:
        return float(np.abs(one.predict(texts) - other.predict(texts)).max())
    assert one.classes_.tolist() == other.classes_.tolist()
    assert as_lists(one.predict(texts)) == as_lists(other.predict(texts))
    proba, expected = one.predict_proba(texts), other.predict_proba(texts)
    if one.head.activation == "sigmoid":
        for threshold in (0.3, 0.7):
            assert as_lists(one.predict(texts, threshold=threshold)) == as_lists(
                other.predict(texts, threshold=threshold)
            )
    labels = as_lists(one.predict(texts))
    wrong = [*labels[1:], labels[0]]
    for y in (labels, wrong):
        here, there = one.evaluate(texts, y), other.evaluate(texts, y)
        assert list(here) == list(there)
        assert all(here[name] == pytest.approx(there[name]) for name in here)
    return float(np.abs(proba - expected).max())


# --- bases: what is fine-tuned --------------------------------------------------------------------------------------


def weighted(model: StaticModel) -> StaticModel:
    weights = np.random.default_rng(1).uniform(0.5, 2, size=model.n_tokens).astype(np.float32)
    return StaticModel(model.embedding, model.stored.tokenizer_json, model.config, weights=weights)


BASES: dict[str, Callable[[], StaticModel]] = {
    "plain": make_model,
    "normalized": lambda: make_model(normalize=True, max_length=99),
    "float16": lambda: make_model(dtype="float16"),
    "weighted": lambda: weighted(make_model("byte_bpe")),
    "clustered": lambda: quantize_model(make_model(), vocabulary_quantization=10),
    "int8": lambda: quantize_model(make_model("unigram"), quantize_to="int8"),
}


# --- tasks: what is learned -----------------------------------------------------------------------------------------


def strings() -> list[Any]:
    return ["good" if "good" in text else "bad" if "bad" in text else "日 other" for text in TEXTS]


TASKS: dict[str, tuple[type, Callable[[], Any]]] = {
    "strings": (train.StaticModelForClassification, strings),
    "numbers": (train.StaticModelForClassification, lambda: [{"good": 7, "bad": -1}.get(y, 3) for y in strings()]),
    "lists": (
        train.StaticModelForClassification,
        lambda: [[word for word in ("good", "day", "a") if word in text.split()] for text in TEXTS],
    ),
    "lists of numbers": (
        train.StaticModelForClassification,
        lambda: [[number for number, word in enumerate(("good", "day")) if word in text] for text in TEXTS],
    ),
    "regression": (train.StaticModelForRegression, lambda: [[float(len(text)), 1.0] for text in TEXTS]),
    "similarity": (train.StaticModelForSimilarity, lambda: np.random.default_rng(0).normal(size=(len(TEXTS), 4))),
}


def trained(model: StaticModel, task: str, folder: Path, *, n_layers: int = 1) -> TheirPipeline:
    """model2vec's pipeline, fine-tuned for a moment from a model of ours."""
    model.save_pretrained(folder / "base")
    kind, targets = TASKS[task]
    learner = kind.from_pretrained(path=folder / "base", n_layers=n_layers, hidden_dim=16)
    y = targets()
    if task == "similarity":
        import torch

        y = torch.tensor(y, dtype=torch.float32)
    learner.fit(TEXTS, y, max_epochs=2, batch_size=16, learning_rate=0.05, device="cpu")
    return learner.to_pipeline()


def both_ways(theirs: TheirPipeline, texts: list[str], folder: Path) -> tuple[float, float]:
    """Differences of what we load of theirs, and of what they load of ours; both to the pipeline in memory."""
    theirs.save_pretrained(str(folder / "theirs"))
    ours = StaticModelPipeline.from_pretrained(folder / "theirs")
    ours.save_pretrained(folder / "ours")
    there = TheirPipeline.from_pretrained(folder / "ours")
    return agree(ours, theirs, texts), agree(there, theirs, texts)


@pytest.mark.parametrize("task", TASKS)
def test_each_task(task: str, tmp_path: Path, capsys) -> None:
    theirs = trained(make_model(normalize=True), task, tmp_path, n_layers=2 if task == "lists" else 1)
    loaded, given = both_ways(theirs, TEXTS, tmp_path)
    report(capsys, f"{task:16} model2vec's here: off by {loaded:.1e}; ours there: {given:.1e}")
    assert max(loaded, given) <= TOLERANCE


@pytest.mark.parametrize("task", ["strings", "lists"])
@pytest.mark.parametrize("base", BASES)
def test_each_base(base: str, task: str, tmp_path: Path, capsys) -> None:
    loaded, given = both_ways(trained(BASES[base](), task, tmp_path), TEXTS, tmp_path)
    report(capsys, f"{base:10} {task:8} model2vec's here: off by {loaded:.1e}; ours there: {given:.1e}")
    assert max(loaded, given) <= TOLERANCE


@pytest.mark.parametrize("base", ["plain", "normalized", "weighted", "clustered"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_heads_of_ours(base: str, activation: str, n_layers: int, tmp_path: Path) -> None:
    model, generator = BASES[base](), np.random.default_rng(0)
    widths = [model.dim, *generator.integers(3, 9, size=n_layers).tolist()]
    layers = [
        Layer(generator.normal(size=(wide, narrow)).astype(np.float32), np.ones(wide, np.float32))
        for narrow, wide in pairwise(widths)
    ]
    classes = None if activation == "identity" else [f"class {n}" for n in range(widths[-1])]
    pipeline = StaticModelPipeline(model, MLPHead(layers, activation, classes))
    pipeline.save_pretrained(tmp_path / "m")
    assert agree(TheirPipeline.from_pretrained(tmp_path / "m"), pipeline, TEXTS) <= TOLERANCE


def test_a_table_with_nan(tmp_path: Path) -> None:
    model = make_model()
    table = model.embedding.copy()
    table[model.tokenize("good")[0], 1] = np.nan
    broken = StaticModel(table, model.stored.tokenizer_json)
    head = MLPHead([Layer(np.ones((2, 8), np.float32), np.zeros(2, np.float32))], "identity")
    StaticModelPipeline(broken, head).save_pretrained(tmp_path / "m")
    here, there = (kind.from_pretrained(tmp_path / "m") for kind in (StaticModelPipeline, TheirPipeline))
    assert agree(here, there, TEXTS) <= TOLERANCE


def test_a_real_classifier(minilm_student: Path, data: Path, tmp_path: Path, capsys) -> None:
    """Banking questions of many kinds, trained by model2vec for two epochs."""
    with (data / "banking_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [row["text"] for row in rows], [row["category"] for row in rows]
    learner = train.StaticModelForClassification.from_pretrained(path=minilm_student)
    learner.fit(texts[::4], labels[::4], max_epochs=2, device="cpu", learning_rate=5e-3)
    theirs = learner.to_pipeline()
    loaded, given = both_ways(theirs, texts[:2000], tmp_path)
    accuracy = StaticModelPipeline.from_pretrained(tmp_path / "theirs").evaluate(texts, labels)["accuracy"]
    report(
        capsys,
        f"{data.name}, 2,000 texts, {len(set(labels))} classes ({accuracy:.2f} right): model2vec's here: off by {loaded:.1e}; "
        f"ours there: {given:.1e}",
    )
    assert max(loaded, given) <= TOLERANCE
    assert accuracy > 0.2
