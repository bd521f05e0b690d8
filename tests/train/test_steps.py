"""Steps of compiled blocks, against Adam over the whole table written out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from conftest import make_model
from m2v_core import StaticModel, quantize_model
from m2v_train import StaticModelForRegression
from m2v_train.config import TrainConfig
from m2v_train.data.samples import Samples
from m2v_train.data.tokens import tokenize
from m2v_train.engine import fitting
from m2v_train.engine.fitting import ActiveRows, Problem, fit
from m2v_train.engine.head import Head
from m2v_train.engine.losses import Objective
from training_texts import TEXTS

RARE = [*TEXTS[:20], "unable bad, sunny!"]  # the last text has tokens that no other has: their rows rest meanwhile
TARGETS = np.random.default_rng(0).normal(size=(len(RARE), 8)).astype(np.float32)


def head_of(config: TrainConfig) -> Head:
    """The head of a regression of eight numbers."""
    return Head.made_by(StaticModelForRegression().construct_head, 8, 8, config)


def dense(model: StaticModel, config: TrainConfig, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean squared error of text vectors, one text a step in the order of training, and optax on the whole table."""
    ids = model.tokenize(RARE)
    mapping = np.arange(model.n_tokens) if model.token_mapping is None else model.token_mapping
    params: dict[str, Any] = {"table": jnp.asarray(model.embedding, jnp.float32)}
    if model.weights is not None:
        params["weights"] = jnp.asarray(model.weights, jnp.float32)

    def loss(params: dict[str, Any], i: int) -> Any:
        rows = params["table"][mapping[np.array(ids[i])]]
        if "weights" in params:
            rows = rows * params["weights"][np.array(ids[i])][:, None]
        return ((rows.mean(axis=0) - TARGETS[i]) ** 2).mean()

    adam = optax.adam(config.learning_rate)
    state = adam.init(params)
    order = np.random.default_rng([config.random_seed, 0]).permutation(len(RARE))
    for i in order[:steps]:
        updates, state = adam.update(jax.grad(loss)(params, int(i)), state)
        params = optax.apply_updates(params, updates)
    weights = params.get("weights")
    return np.asarray(params["table"]), None if weights is None else np.asarray(weights)


@pytest.mark.parametrize("clustered", [False, True])
def test_it_is_adam_on_the_whole_table(clustered: bool) -> None:
    """Rows that a batch does not read move too, as Adam's moments fade; rows that never occur stay bit for bit."""
    model = make_model()
    if clustered:
        model = quantize_model(model, vocabulary_quantization=6)
    samples = Samples.of_texts(tokenize(model, RARE), TARGETS)
    config = TrainConfig(
        n_layers=0, normalize=False, batch_size=1, max_epochs=1, learning_rate=0.05, show_progress_bar=False
    )
    problem = Problem(samples, samples, Objective("squares"), 8, np.ones(1, np.float32))
    found = fit(model, problem, config, head_of(config)).model
    table, weights = dense(model, config, len(RARE))
    np.testing.assert_allclose(found.embedding, table, atol=2e-5)
    if weights is not None:
        np.testing.assert_allclose(found.weights, weights, atol=2e-5)
    active = ActiveRows.of(model, samples)
    rest = np.setdiff1d(np.arange(len(model.embedding)), active.rows)
    np.testing.assert_array_equal(found.embedding[rest], model.embedding[rest].astype(np.float32))


def test_only_rows_that_occur_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[Any] = []
    trainer = fitting.Trainer

    def recorded(program: Any, trained: Any, *rest: Any, **options: Any) -> Any:
        shapes.append(trained["table"].shape)
        return trainer(program, trained, *rest, **options)

    monkeypatch.setattr(fitting, "Trainer", recorded)
    model = make_model()
    samples = Samples.of_texts(tokenize(model, TEXTS[:9]), TARGETS[:9])
    config = TrainConfig(max_epochs=1, n_layers=0)
    fit(model, Problem(samples, samples, Objective("squares"), 8, np.ones(1, np.float32)), config, head_of(config))
    occurring = set(samples.texts.values.tolist()) | {0}
    assert shapes == [(len(occurring), 8)]
    assert len(occurring) < model.n_tokens
