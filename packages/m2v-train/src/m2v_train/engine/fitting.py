"""From a static model and training samples to a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int32, Int64

from m2v_core import StaticModel
from m2v_core.head import Layer
from m2v_core.storage.format import StoredModel
from m2v_train.config import TrainConfig
from m2v_train.data.samples import Samples
from m2v_train.data.stored import AnySamples
from m2v_train.engine.head import Head, Structure, layers_of
from m2v_train.engine.loop import History, Trainer
from m2v_train.engine.losses import Objective
from m2v_train.engine.steps import Arrays, Program


@dataclass(frozen=True)
class Problem:
    """What a model is trained to do.

    Attributes:
        samples: Training samples.
        validation: Samples that select the best state and decide when training stops.
        objective: Loss and metrics.
        out_dim: Number of outputs.
        class_weights: Loss weight of each class; ignored by tasks without classes.
        evaluation: What measures the model at each validation beside the validation samples, and then decides which
            state is the best and when training stops; `None` for the validation samples alone.
        initial_share: Share of the initial table and weights in the result.
    """

    samples: AnySamples
    validation: Samples
    objective: Objective
    out_dim: int
    class_weights: Float32[np.ndarray, " C"]
    evaluation: Evaluation | None = None
    initial_share: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """Measures of a trained model.

    Attributes:
        measure: Measures by name, the one that decides first; higher is better.
        digest: Equal for evaluations that measure the same.
    """

    measure: Callable[[Trained], dict[str, float]]
    digest: str


@dataclass(frozen=True)
class Trained:
    """The result of training.

    Attributes:
        model: The trained static model.
        layers: The trained layers on top of it; `None` if the head is anything else.
        history: One record per validation.
        arrays: Of such a head, the trained parameters and what random numbers come from.
        structure: Of such a head, all but its arrays; `None` also for one that is to be made again.
    """

    model: StaticModel
    layers: list[Layer] | None
    history: History
    arrays: Any = None
    structure: Structure | None = None


@dataclass(frozen=True)
class ActiveRows:
    """The tokens that occur in texts, and their rows: only these are trained and copied to devices.

    Attributes:
        tokens: Ids of the tokens, ascending.
        rows: Rows of the table that belong to them, ascending.
        row_of: Index into `rows` of each token's row; `None` if each token has a row of its own.
    """

    tokens: Int64[np.ndarray, " T"]
    rows: Int64[np.ndarray, " R"]
    row_of: Int64[np.ndarray, " T"] | None

    @classmethod
    def of(cls, model: StaticModel, *samples: AnySamples) -> ActiveRows:
        """The tokens of the texts of some samples, and token 0, so that there is always one."""
        occurs = np.zeros(model.n_tokens, bool)
        occurs[0] = True
        for part in samples:
            occurs |= part.occurring(model.n_tokens)
        tokens = np.flatnonzero(occurs)
        if model.token_mapping is None:
            return cls(tokens, tokens, None)
        rows, row_of = np.unique(model.token_mapping[tokens], return_inverse=True)
        return cls(tokens, rows.astype(np.int64), row_of)

    @property
    def numbering(self) -> Int32[np.ndarray, " V"]:
        """Index into `tokens` of each token of the vocabulary that is among them, up to the last of these."""
        numbers = np.zeros(int(self.tokens[-1]) + 1, np.int32)
        numbers[self.tokens] = np.arange(len(self.tokens))
        return numbers


def fit(model: StaticModel, problem: Problem, config: TrainConfig, head: Head) -> Trained:
    """Train a copy of a model, and a head on top of it.

    Args:
        model: The model to start from.
        problem: Samples and objective of the training.
        config: Options.
        head: The head before training.
    """
    samples, validation = problem.samples, problem.validation
    active = ActiveRows.of(model, samples, validation)
    table, weights = _initial_values(model, config)
    trained: Arrays = {"head": head.parameters}
    constants: Arrays = {"class_weights": jnp.asarray(problem.class_weights), "noise": head.noise}
    (constants if config.freeze else trained)["table"] = jnp.asarray(table[active.rows])
    if weights is not None:
        (constants if config.freeze_weights else trained)["weights"] = jnp.asarray(weights[active.tokens])
    if active.row_of is not None:
        constants["row_of"] = jnp.asarray(active.row_of, jnp.int32)
    numbering = active.numbering
    new_samples = samples.renumbered(numbering)
    if isinstance(samples, Samples) and isinstance(new_samples, Samples) and validation.texts is samples.texts:
        validation = replace(validation, texts=new_samples.texts)
    else:
        validation = validation.renumbered(numbering)
    program = Program(problem.objective, head.structure, config.normalize, samples.width)

    def trained_by(values: Arrays, history: History, *, table: Float32[np.ndarray, "R D"]) -> Trained:
        """The result with some values of the trained arrays; `table`, the initial one, is overwritten."""
        share, new_weights = np.float32(problem.initial_share), weights
        if "table" in values:
            table[active.rows] = (1 - share) * np.asarray(values["table"]) + share * table[active.rows]
        if weights is not None and "weights" in values:
            new_weights = weights.copy()
            new_weights[active.tokens] = (1 - share) * np.asarray(values["weights"]) + share * weights[active.tokens]
        arrays = jax.device_get((values["head"], head.noise))
        result = Trained(_static_model(model, table, new_weights, config), layers_of(head.structure, arrays), history)
        return result if result.layers is not None else replace(result, arrays=arrays, structure=head.structure)

    def measured(evaluation: Evaluation, values: Arrays) -> dict[str, float]:
        return evaluation.measure(trained_by(values, [], table=table.copy()))

    evaluation = problem.evaluation
    best, history = Trainer(
        program,
        trained,
        constants,
        samples=new_samples,
        validation=validation,
        config=config,
        described=lambda: head.described() + (evaluation.digest if evaluation else ""),
        measured=None if evaluation is None else partial(measured, evaluation),
    ).run()
    return trained_by(best, history, table=table)


def _initial_values(
    model: StaticModel, config: TrainConfig
) -> tuple[Float32[np.ndarray, "R D"], Float32[np.ndarray, " T"] | None]:
    """Copies of a model's table and weights; weights are ones if they are to be trained and the model has none."""
    table = np.nan_to_num(model.embedding.astype(np.float32))
    if model.weights is not None:
        return table, model.weights.astype(np.float32)
    return table, np.ones(model.n_tokens, np.float32) if config.freeze_weights is False else None


def _static_model(
    model: StaticModel,
    table: Float32[np.ndarray, "R D"],
    weights: Float32[np.ndarray, " T"] | None,
    config: TrainConfig,
) -> StaticModel:
    """The model with a trained table and weights; weights are multiplied into the table if each token has a row."""
    if weights is not None and model.token_mapping is None:
        table, weights = table * weights[:, None], None
    settings: dict[str, Any] = {"normalize": config.normalize}
    if config.max_length != "model":
        settings["max_length"] = config.max_length
    return StaticModel.from_stored(
        StoredModel(table, model.stored.tokenizer, replace(model.config, **settings), weights, model.token_mapping)
    )
