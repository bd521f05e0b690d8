"""Tables whose token means come near to a teacher's vectors of texts: least squares in closed form.

With X the token shares of texts (see `Design`) and Y the teacher's vectors of them, both centred, a static model is
Y = X E. Everything here is in terms of two products, X'X times a table and C = X'Y.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from numpy import ndarray
from tqdm import tqdm

from m2v_distill.fit.design import Design

#: The share of its diagonal that is added to a matrix of features, so that it can be solved.
JITTER = 1e-3

#: A residual of this share of C is rounding, and a prior that leaves no more than that needs no correction.
ROUNDING = 1e-5

#: In place of a divisor that is 0.
TINY = float(np.finfo(np.float32).tiny)


def fitted_scale(design: Design, cross: Float32[ndarray, "V H"], table: Float32[ndarray, "V H"]) -> float:
    """The number a that makes a X E nearest to Y: <E, C> / <E, X'X E>; 0 if X E is 0."""
    power = float(np.vdot(table, design.gram(table)))
    return float(np.vdot(table, cross)) / power if power > 0 else 0.0


def linear_table(
    design: Design, cross: Float32[ndarray, "V H"], features: Float32[ndarray, "V F"]
) -> Float32[ndarray, "V H"]:
    """The table F W that makes X F W nearest to Y, for features F of the tokens: W solves (F'X'X F) W = F'C.

    A token that the texts lack gets a row from its features, as all others do.

    Args:
        design: X.
        cross: C.
        features: F. Columns of like scale, since a thousandth of the mean of the diagonal is added to it.
    """
    inner = (features.T @ design.gram(features)).astype(np.float64)
    inner[np.diag_indices_from(inner)] += JITTER * max(float(np.trace(inner)) / len(inner), TINY)
    table: ndarray = features @ np.linalg.solve(inner, (features.T @ cross).astype(np.float64)).astype(np.float32)
    return table


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

    E = prior + D with (X'X + strength N I) D = C - X'X prior, by conjugate gradients (Hestenes and Stiefel 1952) on all
    columns side by side, with a diagonal preconditioner.

    Args:
        design: X.
        cross: C.
        prior: Of which E is a correction.
        strength: Of the prior, per text.
        tolerance: The norm of each column's residual, as a share of what it was at first, at which it is solved; or
            `ROUNDING`, as a share of C's.
        max_steps: Products with X'X at the most.
        show_progress_bar: On stderr; `None` shows it on a terminal only.
    """
    decay = np.float32(strength * len(design))
    inverse = 1 / (design.scale + decay)
    table = prior.copy()
    hidden = None if show_progress_bar is None else not show_progress_bar
    blocks = design.blocks(prior.shape[1])
    with tqdm(total=len(blocks) * max_steps, desc="Solve", unit=" steps", disable=hidden) as bar:
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
    # A column that is solved stays as it is, so that it does not matter which others are solved beside it.
    # Nor does one move where rounding has left no curvature.
    curvature = (direction * product).sum(axis=0)
    length = jnp.where((left <= goal) | (curvature <= 0), 0, power / jnp.maximum(curvature, TINY))
    found, residual = found + length * direction, residual - length * product
    preconditioned = residual * inverse[:, None]
    new = (residual * preconditioned).sum(axis=0)
    direction = preconditioned + new / jnp.maximum(power, TINY) * direction
    left = (residual**2).sum(axis=0)
    return found, residual, direction, new, left, (left <= goal).all()
