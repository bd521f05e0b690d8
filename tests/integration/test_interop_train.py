"""Live: what we train loads in model2vec, and trains as model2vec does (nox -s interop)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for name in ("datasets", "model2vec", "torch"):
    pytest.importorskip(name, reason="needs model2vec[train]: nox -s interop")

import jax.numpy as jnp
import torch
from flax import nnx
from model2vec import StaticModel as TheirModel
from model2vec import train as theirs
from model2vec.inference import StaticModelPipeline as TheirPipeline
from model2vec.train import base, classifier, pairs, similarity, trainer

import m2v_train as ours
from conftest import make_model
from m2v_core import StaticModel, quantize_model
from m2v_train.config import TrainConfig
from m2v_train.engine.loop import TrainingState, batch_size_of, validation_interval
from m2v_train.engine.losses import Objective
from m2v_train.engine.module import MLP

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]  # the peer warns of its own parts

TOLERANCE = 1e-5
DRAW = np.random.default_rng(0)
WORDS = ["good", "bad", "day", "days", "sunny", "unable", "a"]
TEXTS = [" ".join(DRAW.choice(WORDS, size=1 + i % 5)) for i in range(80)] + ["", "✪", "GOOD, day!"]


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}", end="")


def as_lists(labels: Any) -> list[Any]:
    return [label.tolist() for label in labels]


def weighted() -> StaticModel:
    model = make_model("byte_bpe")
    weights = np.random.default_rng(1).uniform(0.5, 2, size=model.n_tokens).astype(np.float32)
    return StaticModel(model.embedding, model.stored.tokenizer_json, model.config, weights=weights)


BASES: dict[str, Callable[[], StaticModel]] = {
    "plain": make_model,
    "weighted": weighted,
    "clustered": lambda: quantize_model(make_model(), vocabulary_quantization=10),
}

TARGETS: dict[str, tuple[str, list[Any]]] = {
    "classes": ("Classification", ["good" if "good" in text else "bad" if "bad" in text else "日" for text in TEXTS]),
    "numbered": ("Classification", [len(text) % 3 + 7 for text in TEXTS]),
    "lists": ("Classification", [[word for word in ("good", "day", "a") if word in text.split()] for text in TEXTS]),
    "regression": ("Regression", [[float(len(text)), 1.0] for text in TEXTS]),
    "similarity": ("Similarity", DRAW.normal(size=(len(TEXTS), 4)).astype(np.float32).tolist()),
    "pairs": ("PairSimilarity", [" ".join(reversed(text.split())) + " days" for text in TEXTS]),
}


def kind_of(package: Any, task: str) -> Any:
    return getattr(package, f"StaticModelFor{TARGETS[task][0]}")


# --- what comes out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("base_name", BASES)
def test_our_pipelines_there(task: str, base_name: str, tmp_path: Path, capsys) -> None:
    """The same labels, and numbers that are off by rounding."""
    learner = kind_of(ours, task)(BASES[base_name](), max_epochs=3, hidden_dim=16, learning_rate=0.02)
    learner.fit(TEXTS, TARGETS[task][1]).to_pipeline().save_pretrained(tmp_path / "out")
    there = TheirPipeline.from_pretrained(tmp_path / "out")
    if there.classes_ is None:
        found, expected = there.predict(TEXTS), learner.predict(TEXTS)
    else:
        assert there.classes_.tolist() == learner.classes_.tolist()
        assert as_lists(there.predict(TEXTS)) == as_lists(learner.predict(TEXTS))
        found, expected = there.predict_proba(TEXTS), learner.predict_proba(TEXTS)
    off = np.abs(found - expected).max()
    vectors = TheirModel.from_pretrained(tmp_path / "out").encode(TEXTS)
    off_vectors = np.abs(vectors - learner.to_static_model().encode(TEXTS)).max()
    report(capsys, f"{task:10} {base_name:9} off by {off:.1e}, vectors by {off_vectors:.1e}")
    assert max(off, off_vectors) <= TOLERANCE


@pytest.mark.parametrize("base_name", BASES)
def test_a_model_without_a_head_there(base_name: str, tmp_path: Path) -> None:
    learner = ours.StaticModelForPairSimilarity(BASES[base_name](), max_epochs=2, n_layers=0)
    model = learner.fit(TEXTS, TARGETS["pairs"][1]).to_static_model()
    model.save_pretrained(tmp_path / "out")
    found = TheirModel.from_pretrained(tmp_path / "out").encode(TEXTS)
    np.testing.assert_allclose(found, model.encode(TEXTS), atol=TOLERANCE)
    np.testing.assert_allclose(found, learner.predict(TEXTS), atol=TOLERANCE)


# --- how it is trained ----------------------------------------------------------------------------------------------


def head_of(dims: list[int], seed: int) -> torch.nn.Sequential:
    """The head that our training starts from, as PyTorch's."""
    layers: list[torch.nn.Module] = []
    for (narrow, wide), own in zip(pairwise(dims), MLP(dims, nnx.Rngs(seed)).layers, strict=True):
        linear = torch.nn.Linear(narrow, wide)
        linear.weight.data = torch.tensor(np.asarray(own.kernel[...]).T)
        linear.bias.data = torch.tensor(np.asarray(own.bias[...]))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def our_order(seed: int) -> type:
    """The order in which our training takes texts, in the place of PyTorch's sampler."""

    class Order(torch.utils.data.Sampler):
        def __init__(self, data: Any) -> None:
            self.n, self.epoch = len(data), 0

        def __len__(self) -> int:
            return self.n

        def __iter__(self) -> Iterator[int]:
            rng = np.random.default_rng([seed, self.epoch])
            self.epoch += 1
            return iter(rng.permutation(self.n).tolist())

    return Order


VARIANTS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    **{f"{task}, {name}": (task, name, {}, {}) for task in TARGETS if task != "numbered" for name in BASES},
    "frozen table": ("classes", "plain", {"freeze": True}, {}),
    "learned weights": ("classes", "plain", {"freeze_weights": False}, {}),
    "frozen weights": ("classes", "clustered", {"freeze_weights": True}, {}),
    "as long as they are": ("similarity", "plain", {"normalize": False}, {}),
    "a linear head": ("lists", "plain", {"n_layers": 0}, {}),
    "three layers": ("classes", "plain", {"n_layers": 3}, {}),
    "no head": ("pairs", "plain", {"n_layers": 0}, {}),
    "validated within epochs": ("classes", "plain", {}, {"validation_steps": 5}),
    "stopped early": ("classes", "plain", {}, {"early_stopping_patience": 2, "max_epochs": -1}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_training(variant: str, tmp_path: Path, capsys, monkeypatch) -> None:
    """From the same head over the same batches, six texts each: the same table, weights and head.

    model2vec's Adam goes over the whole table, ours over the rows that occur in the texts.
    """
    task, base_name, head_options, fit_options = VARIANTS[variant]
    seed, targets, model = 3, TARGETS[task][1], BASES[base_name]()
    options: dict[str, Any] = {"batch_size": 6, "max_epochs": 6, "learning_rate": 2e-3, "token_dropout": 0.0}
    options |= fit_options
    head_options = {"n_layers": 1, "hidden_dim": 12} | head_options
    if TARGETS[task][0] == "Classification":
        options |= {"focal_gamma": 1.5, "class_weight": "balanced"}
    names = ("text_a_val", "text_b_val") if task == "pairs" else ("X_val", "y_val")
    options |= zip(names, (TEXTS[:6], targets[:6]), strict=True)
    mine = kind_of(ours, task)(model, random_seed=seed, device="cpu", **head_options)
    mine.fit(TEXTS[6:], targets[6:], **options)

    model.save_pretrained(tmp_path / "base")
    layers = mine.to_pipeline().head.layers
    dims = [model.dim, *(len(layer.bias) for layer in layers)]
    learner = kind_of(theirs, task).from_pretrained(path=tmp_path / "base", **head_options)
    learner.construct_head = lambda: head_of(dims, seed)
    monkeypatch.setattr("model2vec.train.dataset.RandomSampler", our_order(seed))
    learner.fit(TEXTS[6:], targets[6:], **options, device="cpu")

    one, other = (trained_values(learner) for learner in (mine, learner))
    assert len(one) == len(other)
    off = max(np.abs(mine - its).max() for mine, its in zip(one, other, strict=True))
    moved = np.abs(layers[0].bias).max() if layers else np.abs(one[0] - model.embedding).max()
    report(capsys, f"{variant:24} moved by {moved:.1e}, off by {off:.1e}")
    assert off < 5e-5
    assert moved > 2e-3


def test_the_same_training_of_a_head_of_their_own(tmp_path: Path, capsys, monkeypatch) -> None:
    """A LayerNorm before the layers, as users of each write it."""
    seed, targets = 3, TARGETS["classes"][1]
    options: dict[str, Any] = {"batch_size": 6, "max_epochs": 6, "learning_rate": 2e-3, "token_dropout": 0.0}
    options |= {"X_val": TEXTS[:6], "y_val": targets[:6], "device": "cpu"}

    class Mine(ours.StaticModelForClassification):
        def construct_head(self, dim: int, out_dim: int, config: TrainConfig, rngs: nnx.Rngs) -> nnx.Module:
            own = super().construct_head(dim, out_dim, config, rngs)
            return nnx.Sequential(nnx.LayerNorm(dim, epsilon=1e-5, rngs=rngs), own)

    class Theirs(theirs.StaticModelForClassification):
        def construct_head(self) -> torch.nn.Module:
            own = head_of([self.embed_dim, self.hidden_dim, self.out_dim], seed)
            return torch.nn.Sequential(torch.nn.LayerNorm(self.embed_dim), own)

    mine = Mine(make_model(), random_seed=seed, hidden_dim=12).fit(TEXTS[6:], targets[6:], **options)
    make_model().save_pretrained(tmp_path)
    learner = Theirs.from_pretrained(tmp_path, hidden_dim=12)
    monkeypatch.setattr("model2vec.train.dataset.RandomSampler", our_order(seed))
    learner.fit(TEXTS[6:], targets[6:], **options)
    off = np.abs(mine.predict_proba(TEXTS) - learner.predict_proba(TEXTS)).max()
    off_vectors = np.abs(mine.to_static_model().embedding - learner.to_static_model().embedding).max()
    report(capsys, f"with a LayerNorm         off by {off:.1e}, vectors by {off_vectors:.1e}")
    assert max(off, off_vectors) < 5e-5
    assert np.abs(learner.head[0].weight.detach().numpy() - 1).max() > 2e-3


def trained_values(learner: Any) -> list[np.ndarray]:
    pipeline = learner.to_pipeline()
    layers = [value for layer in pipeline.head.layers for value in (layer.weight, layer.bias)]
    weights = pipeline.model.weights
    return [pipeline.model.embedding, *layers, *([] if weights is None else [weights])]


# --- losses ---------------------------------------------------------------------------------------------------------

LOGITS = DRAW.normal(size=(9, 1, 4)).astype(np.float32) * 4
ALL = np.ones(9, np.float32)
WEIGHTS = np.array([1, 2, 0.5, 3], np.float32)


def loss_of(objective: Objective, *arrays: np.ndarray, weights: np.ndarray = WEIGHTS) -> float:
    total, count = objective.totals(*map(jnp.asarray, (*arrays, ALL, weights)))["loss"]
    return float(total / count)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_losses_of_classes(gamma: float, is_weighted: bool) -> None:
    weights = WEIGHTS if is_weighted else np.ones(4, np.float32)
    given = torch.tensor(WEIGHTS) if is_weighted else None
    classes = DRAW.integers(4, size=9).astype(np.int32)
    expected = classifier.FocalLoss(gamma, given)(torch.tensor(LOGITS[:, 0]), torch.tensor(classes).long())
    found = loss_of(Objective("classes", gamma=gamma), LOGITS, classes, weights=weights)
    assert found == pytest.approx(expected.item(), abs=TOLERANCE)
    labels = (DRAW.random((9, 4)) < 0.4).astype(np.int8)
    expected = classifier.BinaryFocalLoss(gamma, given)(torch.tensor(LOGITS[:, 0]), torch.tensor(labels).float())
    found = loss_of(Objective("labels", gamma=gamma), LOGITS, labels, weights=weights)
    assert found == pytest.approx(expected.item(), abs=TOLERANCE)


@pytest.mark.parametrize(("kind", "theirs"), [("cosine", similarity.CosineLoss()), ("squares", torch.nn.MSELoss())])
def test_losses_of_vectors(kind: Any, theirs: Any) -> None:
    targets = DRAW.normal(size=(9, 4)).astype(np.float32)
    expected = theirs(torch.tensor(LOGITS[:, 0]), torch.tensor(targets))
    assert loss_of(Objective(kind), LOGITS, targets) == pytest.approx(expected.item(), abs=TOLERANCE)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_losses_of_pairs(temperature: float) -> None:
    vectors = DRAW.normal(size=(9, 2, 4)).astype(np.float32)
    texts = np.arange(18).reshape(9, 2).astype(np.int32)
    texts[2, 0], texts[5, 0], texts[4, 1], texts[7, 1] = texts[1, 0], texts[1, 0], texts[3, 1], texts[0, 1]
    sides = [torch.tensor(vectors[:, side]) for side in (0, 1)]
    expected = pairs.PairInfoNCELoss(temperature)((*sides, *torch.tensor(texts).T), torch.arange(9))
    found = loss_of(Objective("pairs", temperature=temperature), vectors, texts)
    assert found == pytest.approx(expected.item(), abs=TOLERANCE)


# --- rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 31, 32, 959, 960, 1919, 1920, 9000, 15_360, 128_000, 1_000_000])
@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("steps", [None, 77])
def test_sizes_and_intervals(n: int, batch_size: int | None, steps: int | None) -> None:
    config = TrainConfig(batch_size=batch_size, validation_steps=steps)
    size = base.BaseFinetuneable._determine_batch_size(None, batch_size, n)  # type: ignore[arg-type]
    interval, _ = base.BaseFinetuneable._determine_val_check_interval(steps, n, size)
    assert (batch_size_of(config, n), validation_interval(config, n, size)) == (size, interval)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("direction", ["min", "max"])
def test_rates_and_stops(seed: int, direction: str) -> None:
    """Losses that fall, rise, and stand still within the thresholds."""
    draw = np.random.default_rng(seed)
    losses = np.cumprod(draw.choice([0.5, 0.96, 0.98, 0.9999, 1.0, 1.01], size=200, p=[0.04, 0.06, 0.2, 0.4, 0.2, 0.1]))
    scores = losses if direction == "max" else -losses
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", factor=0.5, patience=3, min_lr=1e-6, threshold=0.03, threshold_mode="rel"
    )
    stopper, best = trainer.EarlyStopper(direction, patience=5), -math.inf
    config, state = TrainConfig(early_stopping_patience=5, max_epochs=-1), TrainingState(0.1)
    for epoch, (loss, score) in enumerate(zip(losses.tolist(), scores.tolist(), strict=True), 1):
        state.epoch = epoch
        assert state.record_validation({"val_loss": loss}, score, config) == (score > best)
        best = max(best, score)
        assert state.ended == stopper.step(loss)
        state.finish_epoch(config)
        trainer._step_plateau_scheduler(plateau, loss)
        assert state.learning_rate == optimizer.param_groups[0]["lr"]
    assert state.learning_rate < 1e-5
