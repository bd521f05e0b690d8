from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_train.engine.optimizer import Clock, caught_up, fresh, updated

R, D = 6, 3


def sparse_adam(
    values: np.ndarray, touched: list[list[int]], gradients: list[np.ndarray], rates: list[float]
) -> np.ndarray:
    """A table of which step t reads the rows `touched[t]` only; brought up to date where the rate changes, and at the end."""
    clock, table = Clock(len(values)), fresh(values)
    for t, (rows, gradient, rate) in enumerate(zip(touched, gradients, rates, strict=True)):
        index, step = np.array(rows, int), clock.tick()
        before = caught_up(table[index], clock.read(index), jnp.float32(rate))
        table = table.at[index].set(updated(before, jnp.asarray(gradient[index]), jnp.float32(rate), jnp.int32(step)))
        if t + 1 == len(rates) or rates[t + 1] != rate:
            table = caught_up(table, clock.read_all(), jnp.float32(rate))
    return np.asarray(table[:, 0])


def dense_adam(values: np.ndarray, gradients: list[np.ndarray], rates: list[float]) -> np.ndarray:
    """Optax's, on the whole table."""
    adam, params = optax.scale_by_adam(), jnp.asarray(values)
    state = adam.init(params)
    for gradient, rate in zip(gradients, rates, strict=True):
        moves, state = adam.update(jnp.asarray(gradient), state)
        params = params - rate * moves
    return np.asarray(params)


@given(
    touched=st.lists(st.lists(st.integers(0, R - 1), unique=True), min_size=1, max_size=30),
    changes=st.sets(st.integers(0, 30)),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_it_is_adam_on_the_whole_table(touched: list[list[int]], changes: set[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(R, D)).astype(np.float32)
    gradients = [np.zeros((R, D), np.float32) for _ in touched]
    for gradient, rows in zip(gradients, touched, strict=True):
        gradient[rows] = draw.normal(scale=10 ** draw.uniform(-4, 0), size=(len(rows), D))
    rates = np.cumprod([0.5 if t in changes else 1.0 for t in range(len(touched))]) * 0.1
    expected = dense_adam(values, gradients, rates.tolist())
    np.testing.assert_allclose(sparse_adam(values, touched, gradients, rates.tolist()), expected, atol=2e-5)


def test_a_row_that_rests_for_long_comes_to_rest() -> None:
    values = np.ones((1, 1), np.float32)
    gradients = [np.ones((1, 1), np.float32)] + [np.zeros((1, 1), np.float32)] * 400
    found = sparse_adam(values, [[0]] + [[]] * 400, gradients, [1e-3] * 401)
    np.testing.assert_allclose(found, dense_adam(values, gradients, [1e-3] * 401), rtol=1e-6)
    assert found[0, 0] < 1 - 5e-3  # it moved on long after its only gradient


def test_untouched_rows_stay_bit_for_bit() -> None:
    values = np.random.default_rng(0).normal(size=(R, D)).astype(np.float32)
    gradients = [np.full((R, D), 0.3, np.float32)] * 5
    found = sparse_adam(values, [[1, 2]] * 5, gradients, [0.1] * 5)
    np.testing.assert_array_equal(found[[0, 3, 4, 5]], values[[0, 3, 4, 5]])
    assert not np.isclose(found[[1, 2]], values[[1, 2]]).any()


def test_a_clock_goes_on_where_another_stopped() -> None:
    first, second = Clock(2), Clock(2)
    for _ in range(7):
        first.tick()
    first.read_all()
    second.resume(7)
    for clock in (first, second):
        clock.tick()
        clock.tick()
    for one, other in zip(first.read(np.array([0])), second.read(np.array([0])), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("step", [1, 10, 5000, 60_000])
def test_corrections_of_bias_late_in_training(step: int) -> None:
    """One gradient at a late step, then twenty steps without any."""
    draw = np.random.default_rng(1)
    m, v = draw.normal(size=(1, D)).astype(np.float32), draw.uniform(0.1, 1, size=(1, D)).astype(np.float32)
    clock = Clock(1)
    clock.resume(step)
    rows = jnp.stack([jnp.zeros((1, D)), m, v], axis=1)
    for _ in range(20):
        clock.tick()
    found = caught_up(rows, clock.read_all(), jnp.float32(1))
    expected = np.zeros((1, D))
    for k in range(step + 1, step + 21):
        m, v = m * 0.9, v * 0.999
        expected -= (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)
    np.testing.assert_allclose(found[:, 0], expected, rtol=2e-5)
    np.testing.assert_allclose(found[:, 1:], jnp.stack([m, v], axis=1), rtol=2e-5)
    assert jax.numpy.isfinite(found).all()
