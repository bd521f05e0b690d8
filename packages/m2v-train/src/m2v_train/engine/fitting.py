"""From a static model and checked data to a trained model: what lies between users' objects and the loop's arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float32, Int64

from m2v_core import StaticModel
from m2v_core.head import Layer
from m2v_core.storage.format import StoredModel
from m2v_train.config import TrainConfig
from m2v_train.data.inputs import TokenTexts
from m2v_train.engine.batches import Samples, Tables
from m2v_train.engine.devices import mesh_of
from m2v_train.engine.loop import train
from m2v_train.engine.losses import Task
from m2v_train.engine.module import Head, head_dims
from m2v_train.engine.optimizer import Clock, fresh
from m2v_train.engine.steps import ADAM, Program, State, Values


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes:
        model: The trained table.
        layers: The head's.
        history: What each validation found.
    """

    model: StaticModel
    layers: list[Layer]
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """The part of a model that its texts read: only that is trained, and need be on a device.

    Attributes:
        tokens: Ids of the tokens that occur, ascending.
        rows: The rows of the table that they have, ascending.
        row_of: The place in `rows` of each of `tokens`; `None` if each has its own.
    """

    tokens: Int64[np.ndarray, " T"]
    rows: Int64[np.ndarray, " R"]
    row_of: Int64[np.ndarray, " T"] | None

    @classmethod
    def of(cls, model: StaticModel, *texts: TokenTexts) -> Part:
        """The part that texts read; a row at the least."""
        occurs = np.zeros(model.n_tokens, bool)
        occurs[0] = True
        for some in texts:
            occurs[some.ids] = True
        tokens = np.flatnonzero(occurs)
        if model.token_mapping is None:
            return cls(tokens, tokens, None)
        rows, row_of = np.unique(model.token_mapping[tokens], return_inverse=True)
        return cls(tokens, rows.astype(np.int64), row_of)

    def renumbered(self, texts: TokenTexts) -> TokenTexts:
        """Texts with places in `tokens` for ids."""
        return TokenTexts(np.searchsorted(self.tokens, texts.ids).astype(np.int32), texts.ends)


def fit(
    model: StaticModel,
    data: Samples,
    validation: Samples,
    task: Task,
    class_weights: Float32[np.ndarray, " C"],
    out_dim: int,
    config: TrainConfig,
) -> Trained:
    """Train a copy of a model, and a head on top of it.

    Args:
        model: Stays as it is.
        data: To train on.
        validation: To choose the best state by, and the end.
        task: What is minimised.
        class_weights: See `Task.totals`.
        out_dim: Outputs of the head.
        config: All options.
    """
    part = Part.of(model, data.texts, validation.texts)
    table, weights = _tables(model, config)
    trains_weights = weights is not None and not config.freeze_weights
    tables = Tables(
        row_of=part.row_of,
        clock=None if config.freeze else Clock(len(part.rows)),
        weight_clock=Clock(len(part.tokens)) if trains_weights else None,
        has_weights=weights is not None,
    )
    is_vector = task.kind not in ("classes", "labels")
    dims = head_dims(model.dim, out_dim, n_layers=config.n_layers, hidden_dim=config.hidden_dim, may_be_empty=is_vector)
    graph, head = nnx.split(Head(dims, nnx.Rngs(config.random_seed)), nnx.Param)
    program = Program(task, graph, config.normalize, not config.freeze, trains_weights, data.places.shape[1])
    state = State(
        table=fresh(table[part.rows]),
        weights=None if weights is None else fresh(weights[part.tokens, None]),
        head=head,
        moments=ADAM.init(head),
    )
    samples, held_out = (replace(some, texts=part.renumbered(some.texts)) for some in (data, validation))
    best, history = train(program, state, tables, samples, held_out, class_weights, config, mesh_of(config.device))
    return Trained(_static_model(model, part, table, weights, best, config), _layers(graph, best.head), history)


def _tables(
    model: StaticModel, config: TrainConfig
) -> tuple[Float32[np.ndarray, "R D"], Float32[np.ndarray, " T"] | None]:
    """Copies of a model's table and weights, with ones for weights that are to be learnt anew."""
    table = np.nan_to_num(model.embedding.astype(np.float32))
    if model.weights is not None:
        return table, model.weights.astype(np.float32)
    return table, np.ones(model.n_tokens, np.float32) if config.freeze_weights is False else None


def _static_model(
    model: StaticModel,
    part: Part,
    table: Float32[np.ndarray, "R D"],
    weights: Float32[np.ndarray, " T"] | None,
    values: Values,
    config: TrainConfig,
) -> StaticModel:
    """The model with the values that training found; weights go into the table where each token has a row."""
    table[part.rows] = np.asarray(values.table)
    if weights is not None:
        weights[part.tokens] = np.asarray(values.weights)
    if weights is not None and model.token_mapping is None:
        table, weights = table * weights[:, None], None
    settings: dict[str, Any] = {"normalize": config.normalize}
    if config.max_length != "model":
        settings["max_length"] = config.max_length
    return StaticModel.from_stored(
        StoredModel(table, model.stored.tokenizer_json, replace(model.config, **settings), weights, model.token_mapping)
    )


def _layers(graph: Any, head: Any) -> list[Layer]:
    linear = nnx.merge(graph, jax.device_get(head)).layers
    return [Layer(np.asarray(layer.kernel[...]).T.copy(), np.asarray(layer.bias[...])) for layer in linear]
