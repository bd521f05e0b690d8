"""Linear least squares for tables whose token means approximate a teacher's vectors of texts.

Let X be the token shares of texts (see `Design`) and Y the teacher's vectors of the texts, both centred. A static model
is Y = X E. Everything here uses two products: X'X times a table, and C = X'Y.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from numpy import ndarray

from m2v_core.progress import progress_bar
from m2v_distill.fit.design import Design

#: Regularisation of a matrix of features, relative to the mean of its diagonal.
JITTER = 1e-3

#: Relative residual, with respect to C, that is rounding error; a prior with no more needs no correction.
ROUNDING = 1e-5

#: Smallest divisor.
TINY = float(np.finfo(np.float32).tiny)


def fitted_scale(design: Design, cross: Float32[ndarray, "V H"], table: Float32[ndarray, "V H"]) -> float:
    """The factor a for which a X E is closest to Y: <E, C> / <E, X'X E>; 0 if X E is 0."""
    power = float(np.vdot(table, design.gram(table)))
    return float(np.vdot(table, cross)) / power if power > 0 else 0.0


def linear_table(
    design: Design, cross: Float32[ndarray, "V H"], features: Float32[ndarray, "V F"]
) -> Float32[ndarray, "V H"]:
    """The table F W of `linear_map`. A token that occurs in no text gets its row from its features, like all others."""
    table: ndarray = features @ linear_map(design, cross, features)
    return table


def linear_map(
    design: Design, cross: Float32[ndarray, "V H"], features: Float32[ndarray, "V F"]
) -> Float32[ndarray, "F H"]:
    """The map W for which X F W is closest to Y, with features F of the tokens: W solves (F'X'X F) W = F'C.

    Args:
        design: The texts, X.
        cross: The product C.
        features: Features of each token, F. Their columns should have similar scales, because of the regularisation.
    """
    normal = (features.T @ design.gram(features)).astype(np.float64)
    normal[np.diag_indices_from(normal)] += JITTER * max(float(np.trace(normal)) / len(normal), TINY)
    weights: ndarray = np.linalg.solve(normal, (features.T @ cross).astype(np.float64)).astype(np.float32)
    return weights


def mean_shift(design: Design, table: Float32[ndarray, "V H"], mean: Float[ndarray, " H"]) -> Float32[ndarray, " H"]:
    """The vector to add to each row of a table for the mean of X E to be that of Y.

    A mean of rows has the vector once, whatever its tokens are. So with it, the vectors X E are those of the teacher;
    without it, they are centred. (A text without tokens is zeros in any case.)
    """
    shift: ndarray = (mean - design.mean @ table) / design.mean.sum()
    return shift.astype(np.float32)


def ridge(
    design: Design,
    cross: Float32[ndarray, "V H"],
    prior: Float32[ndarray, "V H"],
    strength: float,
    *,
    tolerance: float = 1e-2,
    max_steps: int = 60,
    show_progress_bar: bool | None = False,
) -> Float32[ndarray, "V H"]:
    """The table E that minimises `|Y - X E|^2 + strength N |E - prior|^2`; tokens that X lacks keep their prior.

    E = prior + D with (X'X + strength N I) D = C - X'X prior, solved by conjugate gradients (Hestenes and Stiefel 1952)
    on all columns at once, with a diagonal preconditioner.

    Args:
        design: The texts, X.
        cross: The product C.
        prior: Table that E is held to.
        strength: Strength of the prior, per text.
        tolerance: Relative residual at which a column counts as converged. So does one whose residual is below
            `ROUNDING` relative to C.
        max_steps: Largest number of products with X'X.
        show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.
    """
    decay = np.float32(strength * len(design))
    inverse = 1 / (design.scale + decay)
    table = prior.copy()
    blocks = design.blocks(prior.shape[1])
    with progress_bar("Solve", unit="steps", total=len(blocks) * max_steps, show=show_progress_bar) as bar:
        for number, block in enumerate(blocks, 1):
            start = design.gram_on_device(design.on_device(prior[block]))
            *state, goal = _start(design.on_device(cross[block]), start, inverse, np.float32(tolerance))
            for _ in range(max_steps):
                *state, done = _step(*state, goal, design.gram_on_device(state[2]), inverse, decay)
                bar.update()
                if done:
                    break
            bar.update(number * max_steps - bar.n)
            table[block] += design.collected(state[0], table[block].shape[1])
    return table


@jax.jit
def _start(
    cross: Float[Array, "V D"], product: Float[Array, "V D"], inverse: Float[Array, " V"], tolerance: Float[Array, ""]
) -> tuple[Array, ...]:
    residual = cross - product
    direction = residual * inverse[:, None]
    power, left = (residual * direction).sum(axis=0), (residual**2).sum(axis=0)
    goal = jnp.maximum(tolerance**2 * left, ROUNDING**2 * (cross**2).sum(axis=0))
    return jnp.zeros_like(residual), residual, direction, power, left, goal


@partial(jax.jit, donate_argnums=(0, 1, 2, 3, 4))
def _step(
    found: Float[Array, "V D"],
    residual: Float[Array, "V D"],
    direction: Float[Array, "V D"],
    power: Float[Array, " D"],
    left: Float[Array, " D"],
    goal: Float[Array, " D"],
    product: Float[Array, "V D"],
    inverse: Float[Array, " V"],
    decay: Float[Array, ""],
) -> tuple[Array, ...]:
    product = product + decay * direction
    # A column that has converged does not change, so that the result does not depend on the columns beside it.
    # The same holds for one without curvature, which rounding may cause.
    curvature = (direction * product).sum(axis=0)
    length = jnp.where((left <= goal) | (curvature <= 0), 0, power / jnp.maximum(curvature, TINY))
    found, residual = found + length * direction, residual - length * product
    preconditioned = residual * inverse[:, None]
    new = (residual * preconditioned).sum(axis=0)
    direction = preconditioned + new / jnp.maximum(power, TINY) * direction
    left = (residual**2).sum(axis=0)
    return found, residual, direction, new, left, (left <= goal).all()
