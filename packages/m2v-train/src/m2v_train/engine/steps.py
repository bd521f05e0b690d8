"""The compiled parts of training: steps of a block, measurements without steps, rows brought up to date."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from m2v_train.engine.batches import Block
from m2v_train.engine.losses import TINY, Task
from m2v_train.engine.module import text_vectors
from m2v_train.engine.optimizer import Lag, caught_up, updated

ADAM = optax.scale_by_adam()


class State(NamedTuple):
    """What a step changes.

    Attributes:
        table: Rows and their moments.
        weights: The tokens' weights and their moments, or `None`.
        head: The head's variables.
        moments: Of the head.
    """

    table: Float[Array, "R 3 D"]
    weights: Float[Array, "T 3 1"] | None
    head: Any
    moments: Any


class Values(NamedTuple):
    """What a model consists of: a state without moments.

    Attributes:
        table: Rows.
        weights: The tokens' weights, or `None`.
        head: The head's variables.
    """

    table: Float[Array, "R D"]
    weights: Float[Array, " T"] | None
    head: Any


@dataclass(frozen=True)
class Program:
    """What is compiled for: everything but arrays. Equal programs are compiled once.

    Attributes:
        task: The loss.
        graph: The head's structure.
        normalize: Whether texts' vectors are scaled to unit length.
        trains_table: Whether the table is trained.
        trains_weights: Whether tokens' weights are.
        width: Texts of a sample.
    """

    task: Task
    graph: Any
    normalize: bool
    trains_table: bool
    trains_weights: bool
    width: int


def _totals(program: Program, rows: Any, weights: Any, head: Any, batch: Any, class_weights: Any) -> Any:
    """The sums of one batch's losses and metrics."""
    n_devices, b = batch.tokens.columns.shape[0], batch.valid.shape[0]
    n_texts = b // n_devices * program.width
    vectors = text_vectors(rows, weights, batch.tokens, n_texts, normalize=program.normalize)
    outputs = nnx.merge(program.graph, head)(vectors)
    outputs = outputs.reshape(b, program.width, outputs.shape[-1])
    return program.task.totals(outputs, batch.targets, batch.valid, class_weights)


@partial(jax.jit, static_argnames="program", donate_argnames="state")
def run_steps(
    program: Program,
    state: State,
    block: Block,
    n_steps: Int[Array, ""],
    lr: Float[Array, ""],
    class_weights: Float[Array, " C"],
) -> tuple[State, Any]:
    """The first `n_steps` batches of a block, one step each; and the sums of their losses and metrics."""

    def step(i: Array, carry: tuple[State, Any]) -> tuple[State, Any]:
        state, sums = carry
        batch: Any = jax.tree.map(lambda array: jnp.asarray(array)[i], block)
        rows = caught_up(state.table.at[batch.table.rows].get(mode="clip"), batch.table.lag, lr)
        weights = None
        if state.weights is not None and batch.weights is not None:
            weights = caught_up(state.weights.at[batch.weights.rows].get(mode="clip"), batch.weights.lag, lr)

        def loss(trained: dict[str, Any]) -> tuple[Array, Any]:
            own_weights = None if weights is None else trained.get("weights", weights[:, 0])[:, 0]
            own_rows = trained.get("rows", rows[:, 0])
            totals = _totals(program, own_rows, own_weights, trained["head"], batch, class_weights)
            return totals["loss"][0] / jnp.maximum(totals["loss"][1], TINY), totals

        trained = {"head": state.head}
        if program.trains_table:
            trained["rows"] = rows[:, 0]
        if program.trains_weights:
            trained["weights"] = weights[:, 0]  # type: ignore[index]
        gradients, totals = jax.grad(loss, has_aux=True)(trained)
        table, token_weights = state.table, state.weights
        if program.trains_table:
            new = updated(rows, gradients["rows"], lr, batch.steps)
            table = table.at[batch.table.rows].set(new, mode="drop", unique_indices=True)
        if program.trains_weights:
            new = updated(weights, gradients["weights"], lr, batch.steps)  # type: ignore[arg-type]
            token_weights = token_weights.at[batch.weights.rows].set(new, mode="drop", unique_indices=True)  # type: ignore[union-attr]
        moved, moments = ADAM.update(gradients["head"], state.moments)
        head = jax.tree.map(lambda value, move: value - lr * move, state.head, moved)
        sums = jax.tree.map(jnp.add, sums, totals)
        return State(table, token_weights, head, moments), sums

    found: tuple[State, Any] = jax.lax.fori_loop(0, n_steps, step, (state, _no_totals(program)))
    return found


def _no_totals(program: Program) -> Any:
    names = ("loss", "accuracy") if program.task.monitored == "accuracy" else ("loss",)
    return {name: (jnp.zeros(()), jnp.zeros(())) for name in names}


@partial(jax.jit, static_argnames="program")
def measure(
    program: Program, values: Values, block: Block, n_batches: Int[Array, ""], class_weights: Float[Array, " C"]
) -> Any:
    """The sums of losses and metrics of the first batches of a block, without a step."""

    def add(i: Array, sums: Any) -> Any:
        batch: Any = jax.tree.map(lambda array: jnp.asarray(array)[i], block)
        rows = values.table.at[batch.table.rows].get(mode="clip")
        weights = None
        if values.weights is not None and batch.weights is not None:
            weights = values.weights.at[batch.weights.rows].get(mode="clip")
        totals = _totals(program, rows, weights, values.head, batch, class_weights)
        return jax.tree.map(jnp.add, sums, totals)

    return jax.lax.fori_loop(0, n_batches, add, _no_totals(program))


@partial(jax.jit, donate_argnums=0)
def all_caught_up(rows: Float[Array, "n 3 D"], lag: Lag, lr: Float[Array, ""]) -> Float[Array, "n 3 D"]:
    """All rows of a table, up to date."""
    return caught_up(rows, lag, lr)


@jax.jit
def values_of(state: State) -> Values:
    """A copy of what a state is without its moments."""
    weights = None if state.weights is None else state.weights[:, 0, 0]
    values: Values = jax.tree.map(jnp.copy, Values(state.table[:, 0], weights, state.head))
    return values
