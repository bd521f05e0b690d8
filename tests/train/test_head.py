"""Heads of a user's own: `construct_head` of a subclass, for every task, and what can be saved of them."""

from __future__ import annotations

import copy
import pickle
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import flax.linen
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn.base import clone

from conftest import make_model, xla_flags
from m2v_core import InvalidInputError, MLPHead, StaticModelPipeline
from m2v_train import (
    StaticModelForClassification,
    StaticModelForPairSimilarity,
    StaticModelForRegression,
    StaticModelForSimilarity,
)
from m2v_train.config import TrainConfig
from m2v_train.engine.checkpoint import FILE
from m2v_train.engine.head import Head, layers_of
from m2v_train.engine.module import MLP
from training_texts import FAST, LABELS, TEXTS

OPTIONS = {**FAST, "max_epochs": 3, "hidden_dim": 4}
VECTORS = np.random.default_rng(2).normal(size=(len(TEXTS), 3)).astype(np.float32)
TAGS = [[label] if label != "plain" else [] for label in LABELS]
PARENT = str(Path(__file__).parents[1])

#: Task -> its class and what it is trained on.
TASKS: dict[str, tuple[Any, Any]] = {
    "labels": (StaticModelForClassification, TAGS),
    "similarity": (StaticModelForSimilarity, VECTORS),
    "pairs": (StaticModelForPairSimilarity, TEXTS[::-1]),
}


class Opaque(nnx.Module):
    """Another module's outputs, by a class that nothing but Flax can compute."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, vectors: Any) -> Any:
        return self.inner(vectors)


class Normed(StaticModelForClassification):
    """A LayerNorm, a hidden layer and dropout, with a keyword of its own."""

    def __init__(self, model: Any = None, *, rate: float = 0.3, **options: Any) -> None:
        super().__init__(model, **options)
        self.rate = rate

    def construct_head(self, dim: int, out_dim: int, config: TrainConfig, rngs: nnx.Rngs) -> nnx.Module:
        return nnx.Sequential(
            nnx.LayerNorm(dim, rngs=rngs),
            nnx.Linear(dim, config.hidden_dim, rngs=rngs),
            nnx.relu,
            nnx.Dropout(self.rate, rngs=rngs),
            nnx.Linear(config.hidden_dim, out_dim, rngs=rngs),
        )


def with_head(base: Any, construct: Any, **options: Any) -> Any:
    """An estimator with a method `construct_head`."""
    return type("Own", (base,), {"construct_head": construct})(make_model(), **{**OPTIONS, **options})


def numbers_of(fitted: Any) -> np.ndarray:
    return fitted.predict_proba(TEXTS) if hasattr(fitted, "classes_") else fitted.predict(TEXTS)


@pytest.mark.parametrize("task", ["labels", "similarity", "pairs"])
def test_our_own_head_in_another_module(task: str) -> None:
    """The same training and the same outputs, though JAX computes them, and no pipeline."""
    (base, targets), n_layers = TASKS[task], 0 if task == "similarity" else 2

    def construct(self: Any, *arguments: Any) -> Any:
        return Opaque(base.construct_head(self, *arguments))

    expected = base(make_model(), n_layers=n_layers, **OPTIONS).fit(TEXTS, targets)
    found = with_head(base, construct, n_layers=n_layers).fit(TEXTS, targets)
    np.testing.assert_allclose(numbers_of(found), numbers_of(expected), atol=1e-5)
    embedding = expected.to_static_model().embedding
    np.testing.assert_allclose(found.to_static_model().embedding, embedding, atol=1e-5)
    if task == "labels":
        assert found.evaluate(TEXTS, targets) == expected.evaluate(TEXTS, targets)
        assert found.score(TEXTS, targets) == expected.score(TEXTS, targets)
    with pytest.raises(InvalidInputError, match=r"found the one that Own.construct_head makes. Keep the estimator"):
        found.to_pipeline()


def test_any_number_of_texts() -> None:
    fitted = with_head(
        StaticModelForRegression, lambda self, dim, out, config, rngs: Opaque(nnx.Linear(dim, out, rngs=rngs))
    )
    fitted.fit(TEXTS, VECTORS)
    expected = fitted.predict(TEXTS * 30)
    assert expected.shape == (9000, 3)
    for n in (0, 1, 2, 3, 8, 9):
        np.testing.assert_allclose(fitted.predict(TEXTS[:n]), expected[:n], atol=1e-6)


def test_a_layer_norm_learns() -> None:
    fitted = Normed(make_model(), **{**OPTIONS, "max_epochs": 30}).fit(TEXTS, LABELS)
    assert fitted.score(TEXTS, LABELS) > 0.95
    norm = nnx.merge(fitted._trained.structure.inference, fitted._trained.arrays[0], *fitted._trained.arrays[1]).layers[
        0
    ]
    assert np.abs(np.asarray(norm.scale[...]) - 1).max() > 0.01


def test_linear_layers_with_relu_are_saved(tmp_path: Path) -> None:
    """Dropout has no effect on predictions, so that it may stand among them."""

    def construct(self: Any, dim: int, out_dim: int, config: TrainConfig, rngs: nnx.Rngs) -> nnx.Module:
        first = nnx.Sequential(nnx.Linear(dim, 12, use_bias=False, rngs=rngs), nnx.relu)
        own = StaticModelForClassification.construct_head(self, 12, out_dim, config, rngs)
        return nnx.Sequential(first, nnx.Dropout(0.2, rngs=rngs), own)

    fitted = with_head(StaticModelForClassification, construct).fit(TEXTS, TAGS)
    fitted.to_pipeline().save_pretrained(tmp_path)
    loaded = StaticModelPipeline.from_pretrained(tmp_path)
    assert loaded.head.widths == [8, 12, 4, 2]
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def linear(*sizes: int) -> nnx.Linear:
    return nnx.Linear(*sizes, rngs=nnx.Rngs(params=sizes[0]), bias_init=nnx.initializers.normal())


@pytest.mark.parametrize(
    ("parts", "widths"),
    [
        ([linear(8, 3)], [8, 3]),
        ([linear(8, 4), nnx.relu, linear(4, 5), nnx.relu, linear(5, 3)], [8, 4, 5, 3]),
        ([nnx.Dropout(0.5, rngs=nnx.Rngs(0)), linear(8, 4), nnx.relu, MLP([4, 6, 3], nnx.Rngs(0))], [8, 4, 6, 3]),
        ([nnx.Sequential(linear(8, 4), nnx.relu), nnx.Sequential(linear(4, 3))], [8, 4, 3]),
        ([linear(8, 3), nnx.relu], None),
        ([nnx.relu, linear(8, 3)], None),
        ([linear(8, 4), linear(4, 3)], None),
        ([linear(8, 4), nnx.gelu, linear(4, 3)], None),
        ([linear(8, 4), nnx.relu, nnx.relu, linear(4, 3)], None),
        ([linear(8, 4), nnx.relu, nnx.LayerNorm(4, rngs=nnx.Rngs(0)), linear(4, 3)], None),
        ([Opaque(linear(8, 3))], None),
    ],
)
def test_what_linear_layers_with_relu_are(parts: list[Any], widths: list[int] | None) -> None:
    head = Head.made_by(lambda *_: nnx.Sequential(*parts), 8, 3, TrainConfig())
    layers = layers_of(head.structure, (head.parameters, head.noise))
    if widths is None:
        assert layers is None
        return
    assert layers is not None
    found = MLPHead(layers, "identity")
    assert found.widths == widths
    vectors = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    expected = head.structure.outputs(head.parameters, head.noise, jnp.asarray(vectors))
    np.testing.assert_allclose(found.logits(vectors), expected, atol=1e-6)


# --- dropout --------------------------------------------------------------------------------------------------------


def test_dropout_is_active_in_training_alone() -> None:
    """Each step leaves out others, about the fraction that was asked for."""

    def construct(dim: int, out_dim: int, config: TrainConfig, rngs: nnx.Rngs) -> nnx.Module:
        return nnx.Sequential(nnx.Dropout(0.25, rngs=rngs), nnx.Dropout(0.0, rngs=rngs))

    head = Head.made_by(construct, 50, 50, TrainConfig())
    ones = jnp.ones((40, 50))
    steps = [np.asarray(head.structure.outputs(head.parameters, head.noise, ones, jnp.int32(i))) for i in range(3)]
    assert all(abs((step == 0).mean() - 0.25) < 0.05 for step in steps)
    assert all(set(np.unique(step)) == {0, np.float32(1 / 0.75)} for step in steps)
    assert [np.array_equal(one, other) for one, other in pairwise(steps)] == [False, False]
    again = head.structure.outputs(head.parameters, head.noise, ones, jnp.int32(1))
    np.testing.assert_array_equal(again, steps[1])
    np.testing.assert_array_equal(head.structure.outputs(head.parameters, head.noise, ones), ones)


def test_dropout_changes_what_is_trained() -> None:
    none, some, again = (Normed(make_model(), rate=rate, **OPTIONS).fit(TEXTS, LABELS) for rate in (0.0, 0.3, 0.3))
    assert none.history_[0]["train_loss"] < some.history_[0]["train_loss"]
    np.testing.assert_array_equal(again.predict_proba(TEXTS), some.predict_proba(TEXTS))


# --- copies, searches, interrupted runs -----------------------------------------------------------------------------


def test_copies_and_pickles() -> None:
    fitted = Normed(make_model(), **OPTIONS).fit(TEXTS, LABELS)
    for twin in (copy.copy(fitted), copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(twin.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
        assert twin.get_params() == {**fitted.get_params(), "model": twin.model}
    fresh = clone(fitted).set_params(rate=0.1)
    assert (fresh.rate, fitted.rate) == (0.1, 0.3)
    assert not hasattr(fresh, "history_")


def test_options_of_one_fit() -> None:
    fitted = Normed(make_model(), **OPTIONS).fit(TEXTS, LABELS, hidden_dim=5)
    assert fitted._trained.arrays[0]["layers"][1]["kernel"].shape == (8, 5)
    twin = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(twin.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_a_module_that_its_maker_keeps() -> None:
    """It is as it was after `fit`: in the mode of training or of use, and with its own values."""
    kept = nnx.Sequential(
        nnx.LayerNorm(8, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(1)), nnx.Linear(8, 3, rngs=nnx.Rngs(2))
    )
    kept.eval()
    before = np.asarray(kept(jnp.ones((2, 8))))
    one, other = (with_head(StaticModelForRegression, lambda *_: kept).fit(TEXTS, VECTORS) for _ in range(2))
    np.testing.assert_array_equal(kept(jnp.ones((2, 8))), before)
    np.testing.assert_array_equal(one.predict(TEXTS), other.predict(TEXTS))
    assert np.abs(one.predict(TEXTS) - other.model.encode(TEXTS) @ np.asarray(kept.layers[2].kernel[...])).max() > 0.01


DRIVER = f"""
import os, signal, sys
sys.path[:0] = [{PARENT!r}, {PARENT + "/train"!r}]
import m2v_train.engine.loop as loop
from test_head import LABELS, OPTIONS, TEXTS, Normed
from conftest import make_model

write = loop.Checkpoint.write

def killed(self, *arguments):
    write(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)

loop.Checkpoint.write = killed
Normed(make_model(), checkpoint_dir=sys.argv[1], **OPTIONS).fit(TEXTS, LABELS)
"""


def test_a_killed_fit_goes_on(tmp_path: Path) -> None:
    """With the same dropout in the steps that are left; a head that computes something else is another training."""
    whole = Normed(make_model(), **OPTIONS).fit(TEXTS, LABELS)
    killed = subprocess.run([sys.executable, "-c", DRIVER, tmp_path], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    with pytest.raises(InvalidInputError, match="expected the state of the same training"):
        Normed(make_model(), rate=0.31, checkpoint_dir=tmp_path, **OPTIONS).fit(TEXTS, LABELS)
    resumed = Normed(make_model(), checkpoint_dir=tmp_path, **OPTIONS).fit(TEXTS, LABELS)
    assert resumed.history_ == whole.history_
    np.testing.assert_array_equal(resumed.predict_proba(TEXTS), whole.predict_proba(TEXTS))


def test_several_devices() -> None:
    """Texts are in the same order as on one device."""
    code = f"""
import sys
sys.path[:0] = [{PARENT!r}, {PARENT + "/train"!r}]
import jax, numpy as np
from test_head import LABELS, OPTIONS, TEXTS, Normed
from conftest import make_model
one, four = (
    Normed(make_model(), rate=0.0, batch_size=64, device=device, **OPTIONS).fit(TEXTS, LABELS).predict_proba(TEXTS)
    for device in ("cpu:0", "cpu")
)
print(len(jax.devices()), np.abs(one - four).max() < 1e-4)
"""
    environment = {"XLA_FLAGS": xla_flags(4), "JAX_PLATFORMS": "cpu"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert found.stdout.strip() == "4 True", found.stderr


# --- what is refused ------------------------------------------------------------------------------------------------


class Holding(nnx.Module):
    def __init__(self, dim: int, out_dim: int, rngs: nnx.Rngs, options: Any) -> None:
        self.linear, self.options = nnx.Linear(dim, out_dim, rngs=rngs), options

    def __call__(self, vectors: Any) -> Any:
        return self.linear(vectors)


def linen(self: Any, dim: int, out_dim: int, config: TrainConfig, rngs: nnx.Rngs) -> Any:
    return flax.linen.Dense(out_dim)


REFUSED: dict[str, tuple[Any, str]] = {
    "model2vec's signature": (lambda self: None, r"take \(self, dim, out_dim, config, rngs\) .*; found \(\)"),
    "nothing": (lambda *_: None, r"should return a flax.nnx.Module; found builtins.NoneType. Return, for example"),
    "linen": (linen, r"found flax.linen.linear.Dense. Convert it: nnx.bridge.ToNNX"),
    "outputs": (
        lambda self, dim, out, config, rngs: nnx.Linear(dim, 5, rngs=rngs),
        r"should give 3 float32 outputs for each vector of 8 numbers: \[2, 3\] from \[2, 8\]. Found .*\(2, 5\)",
    ),
    "dtype of outputs": (
        lambda self, dim, out, config, rngs: nnx.Linear(dim, out, dtype=jnp.bfloat16, rngs=rngs),
        r"should give 3 float32 outputs .*bfloat16",
    ),
    "dtype of parameters": (
        lambda self, dim, out, config, rngs: nnx.Linear(dim, out, param_dtype=jnp.bfloat16, rngs=rngs),
        r"parameters of a head should be float32; found bfloat16",
    ),
    "statistics": (
        lambda self, dim, out, config, rngs: nnx.Sequential(
            nnx.BatchNorm(dim, rngs=rngs), nnx.Linear(dim, out, rngs=rngs)
        ),
        r"kind nnx.Param.*; found BatchStat. .*take nnx.LayerNorm",
    ),
    "an attribute": (
        lambda self, dim, out, config, rngs: Holding(dim, out, rngs, {1: 2}),
        r"attributes of a head should be .*hashable .*unhashable type: 'dict'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_head(case: str) -> None:
    construct, message = REFUSED[case]
    with pytest.raises(InvalidInputError, match=f"(?s){message}"):
        with_head(StaticModelForRegression, construct).fit(TEXTS, VECTORS)


def test_a_linen_module_converted() -> None:
    def construct(self: Any, dim: int, out_dim: int, config: TrainConfig, rngs: nnx.Rngs) -> nnx.Module:
        module = linen(self, dim, out_dim, config, rngs)
        return nnx.bridge.ToNNX(module, rngs=rngs).lazy_init(jnp.zeros((1, dim)))

    fitted = with_head(StaticModelForRegression, construct).fit(TEXTS, VECTORS)
    assert fitted.history_[-1]["train_loss"] < fitted.history_[0]["train_loss"]


def test_a_frozen_table() -> None:
    fitted = Normed(make_model(), freeze=True, **OPTIONS).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(fitted.to_static_model().embedding, make_model().embedding)
