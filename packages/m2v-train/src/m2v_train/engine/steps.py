"""The compiled parts of training: optimizer steps, and measurements without steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from m2v_train.engine.batches import Block
from m2v_train.engine.head import Structure
from m2v_train.engine.losses import TINY, Objective, Totals
from m2v_train.engine.module import text_vectors

#: Adam without a learning rate, which each step is given.
ADAM = optax.scale_by_adam()

#: Arrays by name: "table" [R, D], the rows that occur; "weights" [T] of the tokens that occur, if they have weights;
#: "row_of" [T], each token's row, if tokens share rows; "head", the parameters of the head, and "noise", what its
#: random numbers come from; "class_weights" [C].
Arrays = dict[str, Any]


class ModelState(NamedTuple):
    """The arrays that a step changes.

    Attributes:
        trained: Trained arrays by name.
        moments: Adam's state.
    """

    trained: Arrays
    moments: Any

    @classmethod
    def of(cls, trained: Arrays) -> ModelState:
        """The state before the first step."""
        return cls(trained, ADAM.init(trained))


@dataclass(frozen=True)
class Program:
    """All that a compiled program depends on but its arrays. Equal programs are compiled once.

    Attributes:
        objective: Loss and metrics.
        head: Structure of the head on top of text vectors.
        normalize: Whether text vectors are scaled to unit length.
        width: Number of texts per sample.
    """

    objective: Objective
    head: Structure
    normalize: bool
    width: int

    def totals(self, arrays: Arrays, batch: Block, step: Int[Array, ""] | None = None) -> Totals:
        """Sum the loss and other metrics of one batch; `step` is the number of the training step, if it is one."""
        ids = jnp.asarray(batch.tokens.ids)
        vectors = arrays["table"][arrays["row_of"][ids] if "row_of" in arrays else ids]
        if "weights" in arrays:
            vectors = vectors * arrays["weights"][ids][:, None]
        n_devices, n_samples = batch.tokens.columns.shape[0], batch.valid.shape[0]
        n_texts = n_samples // n_devices * self.width
        inputs = text_vectors(vectors, batch.tokens, n_texts, normalize=self.normalize)
        outputs = self.head.outputs(arrays["head"], arrays["noise"], inputs.reshape(-1, inputs.shape[-1]), step)
        outputs = outputs.reshape(n_samples, self.width, outputs.shape[-1])
        return self.objective.totals(outputs, batch.targets, batch.valid, arrays["class_weights"])

    def zeros(self) -> Totals:
        """Totals of no batch."""
        names = ("loss", "accuracy") if self.objective.is_classification else ("loss",)
        return {name: (jnp.zeros(()), jnp.zeros(())) for name in names}


@partial(jax.jit, static_argnames="program", donate_argnames="state")
def run_steps(
    program: Program, state: ModelState, constants: Arrays, block: Block, lr: Float[Array, ""]
) -> tuple[ModelState, Totals]:
    """Take one step of Adam for each batch of a block.

    Args:
        program: Objective and settings of the steps.
        state: Trained arrays and moments; their memory is reused.
        constants: Arrays that are not trained.
        block: Batches.
        lr: Learning rate.

    Returns:
        The new state, and the totals of all batches before their steps.
    """

    def step(i: Array, carry: tuple[ModelState, Totals]) -> tuple[ModelState, Totals]:
        state, sums = carry
        batch = _batch(block, i)

        def loss(trained: Arrays) -> tuple[Array, Totals]:
            totals = program.totals(constants | trained, batch, state.moments.count)
            return totals["loss"][0] / jnp.maximum(totals["loss"][1], TINY), totals

        gradients, totals = jax.grad(loss, has_aux=True)(state.trained)
        updates, moments = ADAM.update(gradients, state.moments)
        trained = jax.tree.map(lambda value, update: value - lr * update, state.trained, updates)
        return ModelState(trained, moments), jax.tree.map(jnp.add, sums, totals)

    found: tuple[ModelState, Totals] = jax.lax.fori_loop(0, block.n_batches, step, (state, program.zeros()))
    return found


@partial(jax.jit, static_argnames="program")
def measure(program: Program, arrays: Arrays, block: Block) -> Totals:
    """Sum the loss and other metrics over the batches of a block."""

    def add(i: Array, sums: Totals) -> Totals:
        added: Totals = jax.tree.map(jnp.add, sums, program.totals(arrays, _batch(block, i)))
        return added

    found: Totals = jax.lax.fori_loop(0, block.n_batches, add, program.zeros())
    return found


def _batch(block: Block, i: Array) -> Block:
    """Batch `i` of a block, without the first axis."""
    stacked = block._replace(n_batches=None)
    batch: Block = jax.tree.map(lambda array: jnp.asarray(array)[i], stacked)
    return batch


@jax.jit
def copied(arrays: Arrays) -> Arrays:
    """A copy that stays when the memory of the originals is reused."""
    copies: Arrays = jax.tree.map(jnp.copy, arrays)
    return copies
