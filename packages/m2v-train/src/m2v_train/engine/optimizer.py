"""Adam on a table of which a step reads few rows: what the others have missed is made up for when they are read.

Adam (Kingma and Ba, 2015) moves a row at each step, also where its gradient is zero, since its moments fade slowly.
With m and v as they were after step s, and no gradient since, step k > s subtracts

    lr * r^(k-s) * c_k * m / sqrt(v),    r = beta1 / sqrt(beta2),    c_k = sqrt(1 - beta2^k) / (1 - beta1^k)

(for an epsilon of 0), and all steps from s + 1 to t - 1 together lr * m / sqrt(v) times a number that depends on s and
t alone: the drift. A `Clock` on the host knows s for each row. Epsilon, which is added to the root at each step, is
added once, as its mean over these steps: what is left is of the order of (epsilon / sqrt(v))^2.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int, Int64, Integer

#: As in Adam's paper, in optax and in PyTorch.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

#: After so many steps nothing is left of the corrections of bias.
_SETTLED = 30_000


class Lag(NamedTuple):
    """What rows have missed since they were last up to date.

    Attributes:
        drift: What their moments would have moved them by, in units of lr * m / (sqrt(v) + epsilon).
        epsilon: What is to be added to sqrt(v).
        fading1: By what the first moment is to be multiplied.
        fading2: And the second.
    """

    drift: Float32[np.ndarray, "*rows"] | Float[Array, "*rows"]
    epsilon: Float32[np.ndarray, "*rows"] | Float[Array, "*rows"]
    fading1: Float32[np.ndarray, "*rows"] | Float[Array, "*rows"]
    fading2: Float32[np.ndarray, "*rows"] | Float[Array, "*rows"]


class Clock:
    """How many steps there were, and after which of them each row was last up to date.

    Example:
        >>> clock = Clock(3)
        >>> clock.tick()
        1
        >>> clock.read(np.array([0])).drift.tolist()
        [0.0]
        >>> clock.tick(), clock.tick(), [round(float(x), 3) for x in clock.read(np.array([0])).fading1]
        (2, 3, [0.9])
    """

    def __init__(self, n_rows: int) -> None:
        self.step = 0
        self.seen: Int64[np.ndarray, " R"] = np.zeros(n_rows, np.int64)

    def tick(self) -> int:
        """Begin a step; the number of it, from 1."""
        self.step += 1
        return self.step

    def resume(self, step: int) -> None:
        """Go on after a step at which all rows were up to date."""
        self.step = step
        self.seen[:] = step

    def read(self, rows: Integer[np.ndarray, " n"]) -> Lag:
        """What rows have missed before this step, in which they are updated."""
        return self._lag(rows, self.step - 1, now=self.step)

    def read_all(self) -> Lag:
        """What all rows have missed, this step included; they are up to date then."""
        return self._lag(np.arange(len(self.seen)), self.step, now=self.step)

    def _lag(self, rows: Integer[np.ndarray, " n"], last: int, *, now: int) -> Lag:
        since = self.seen[rows]
        gap = np.maximum(last - since, 0).astype(np.float64)
        drift, scaled = (
            tails[np.minimum(since, _SETTLED)] - ratio**gap * tails[min(last, _SETTLED)] for ratio, tails in _tails()
        )
        self.seen[rows] = now
        missed = gap > 0
        epsilon = EPSILON * np.where(missed, scaled / np.where(missed, drift, 1), 1)
        factors = (np.where(missed, drift, 0), epsilon, BETA1**gap, BETA2**gap)
        return Lag(*(np.asarray(factor, np.float32) for factor in factors))


@cache
def _tails() -> tuple[tuple[float, Float64[np.ndarray, " s"]], ...]:
    """Ratios r, and the sums of r^(k-s) f_k over all k > s for each s: with f_k = c_k the drift for ever.

    The other one is the drift with epsilon in units of its own: r = beta1 / beta2, f_k = (1 - beta2^k) / (1 - beta1^k).
    """
    steps = np.arange(1, _SETTLED + 1)
    unbiased1, unbiased2 = 1 - BETA1**steps, 1 - BETA2**steps
    found = []
    for ratio, factors in ((BETA1 / BETA2**0.5, unbiased2**0.5 / unbiased1), (BETA1 / BETA2, unbiased2 / unbiased1)):
        tails = np.empty(_SETTLED + 1)
        tails[_SETTLED] = ratio / (1 - ratio)
        for s in range(_SETTLED - 1, -1, -1):
            tails[s] = ratio * (factors[s] + tails[s + 1])
        found.append((ratio, tails))
    return tuple(found)


def fresh(values: Float32[np.ndarray, "R D"]) -> Float[Array, "R 3 D"]:
    """Rows with moments of zero: values, first and second moments side by side, so that one read fetches all."""
    zeros = np.zeros_like(values)
    return jnp.asarray(np.stack([values, zeros, zeros], axis=1))


def caught_up(rows: Float[Array, "n 3 D"], lag: Lag, lr: Float[Array, ""]) -> Float[Array, "n 3 D"]:
    """Rows as Adam on the whole table would have left them."""
    value, m, v = rows[:, 0], rows[:, 1], rows[:, 2]
    drift, epsilon, fading1, fading2 = (jnp.asarray(factor)[:, None] for factor in lag)
    return jnp.stack([value - lr * drift * m / (jnp.sqrt(v) + epsilon), m * fading1, v * fading2], axis=1)


def updated(
    rows: Float[Array, "n 3 D"], gradient: Float[Array, "n D"], lr: Float[Array, ""], step: Int[Array, ""]
) -> Float[Array, "n 3 D"]:
    """Rows after a step of Adam."""
    value, m, v = rows[:, 0], rows[:, 1], rows[:, 2]
    m = BETA1 * m + (1 - BETA1) * gradient
    v = BETA2 * v + (1 - BETA2) * gradient**2
    corrected = jnp.sqrt(v / (1 - BETA2**step)) + EPSILON
    return jnp.stack([value - lr * m / (1 - BETA1**step) / corrected, m, v], axis=1)
