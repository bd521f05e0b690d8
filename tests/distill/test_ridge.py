from __future__ import annotations

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from conftest import xla_flags
from forks import Forks
from m2v_distill.fit.design import Design
from m2v_distill.fit.ridge import JITTER, fitted_scale, linear_table, mean_shift, ridge

MESH = Mesh(np.array(jax.devices()[:1]), ("columns",))
N_TOKENS = 30

#: Products and solutions of more texts than one chunk holds, on as many devices as there are.
ON_DEVICES = """
import sys
import jax, numpy as np
from m2v_distill.fit.design import Design
from m2v_distill.teacher.engine.placement import Placement
from m2v_distill.fit.ridge import linear_table, ridge

mesh = Placement.of().columns
assert mesh.size == int(sys.argv[2]), mesh
random = np.random.default_rng(0)
texts = [random.integers(0, 500, random.integers(0, 30)).tolist() for _ in range(3000)]
design = Design.of(texts, n_tokens=501, mesh=mesh)
results = {}
for width in (1, 20, 64, 100, 384):
    targets = random.normal(size=(3000, width)).astype(np.float32)
    prior = random.normal(size=(501, width)).astype(np.float32)
    results[f"cross {width}"] = cross = design.cross([targets[:1000], targets[1000:]], width)
    results[f"gram {width}"] = design.gram(prior)
    results[f"linear {width}"] = linear_table(design, cross, prior)
    results[f"ridge {width}"] = ridge(design, cross, prior, 3e-6)
np.savez(sys.argv[1], **results)
"""


def problem(seed: int, n_texts: int = 80, width: int = 5) -> tuple[Design, np.ndarray, np.ndarray, np.ndarray]:
    """A design, X'Y, and X and Y centred, of float64. No text has the last three tokens."""
    random = np.random.default_rng(seed)
    texts = [random.integers(0, N_TOKENS - 3, random.integers(0, 9)).tolist() for _ in range(n_texts)]
    shares = np.zeros((n_texts, N_TOKENS))
    for row, text in enumerate(texts):
        np.add.at(shares[row], text, 1 / max(len(text), 1))
    targets = random.normal(size=(n_texts, width)).astype(np.float32)
    design = Design.of(texts, n_tokens=N_TOKENS, mesh=MESH)
    x, y = shares - shares.mean(axis=0), targets.astype(np.float64) - targets.mean(axis=0, dtype=np.float64)
    return design, design.cross([targets], width), x, y


@given(seed=st.integers(0, 2**20), exponent=st.integers(-3, 0), n_texts=st.sampled_from([5, 80]))
@settings(max_examples=25, deadline=None)
def test_ridge_solves_the_normal_equations(seed: int, exponent: int, n_texts: int) -> None:
    design, cross, x, y = problem(seed, n_texts)
    strength = 10.0**exponent
    prior = np.random.default_rng(seed).normal(size=(N_TOKENS, 5)).astype(np.float32)
    left = x.T @ x + strength * n_texts * np.eye(N_TOKENS)
    expected = np.linalg.solve(left, x.T @ y + strength * n_texts * prior)
    found = ridge(design, cross, prior, strength, tolerance=1e-6, max_steps=200)
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected - prior).max() + 1e-5)
    assert np.array_equal(found[-3:], prior[-3:])

    def cost(table: np.ndarray) -> float:
        return float(((y - x @ table) ** 2).sum() + strength * n_texts * ((table - prior) ** 2).sum())

    assert cost(found) <= cost(expected) * (1 + 1e-5) + 1e-5
    assert cost(found) < cost(prior)


def test_tolerance_and_steps() -> None:
    design, cross, x, y = problem(0)
    prior = np.zeros((N_TOKENS, 5), np.float32)

    def residual(table: np.ndarray) -> np.ndarray:
        left = x.T @ x + 1e-6 * len(x) * np.eye(N_TOKENS)
        return np.linalg.norm(x.T @ y - left @ table, axis=0) / np.linalg.norm(x.T @ y, axis=0)

    assert residual(ridge(design, cross, prior, 1e-6, max_steps=1)).max() > 0.1
    for tolerance in (1e-1, 1e-3):
        found = residual(ridge(design, cross, prior, 1e-6, tolerance=tolerance))
        assert (found <= tolerance * 1.01).all()
        assert (found > tolerance * 1e-3).all()


def test_columns_do_not_depend_on_each_other() -> None:
    """However long the others take: one is solved at once, one in a step or two."""
    design, cross, _, _ = problem(1, width=70)
    cross[:, 2] = 0
    cross[:, 3] = design.gram(np.eye(N_TOKENS, dtype=np.float32))[:, 0]
    prior = np.zeros((N_TOKENS, 70), np.float32)
    whole = ridge(design, cross, prior, 1e-6)
    assert np.isfinite(whole).all()
    assert not whole[:, 2].any()
    for columns in ([0], [2], [3], [69], [69, 3, 0]):
        assert np.array_equal(ridge(design, cross[:, columns], prior[:, columns], 1e-6), whole[:, columns])


@given(seed=st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_linear_table(seed: int) -> None:
    design, cross, x, y = problem(seed)
    features = np.random.default_rng(seed).normal(size=(N_TOKENS, 4)).astype(np.float32)
    inputs = x @ features
    jitter = np.sqrt(JITTER * (inputs**2).sum() / 4)
    weights = np.linalg.lstsq(np.vstack([inputs, jitter * np.eye(4)]), np.vstack([y, np.zeros((4, 5))]))[0]
    found = linear_table(design, cross, features)
    np.testing.assert_allclose(found, features @ weights, atol=1e-3 * np.abs(weights).max())
    assert found[-3:].any(axis=1).all()  # by their features alone


def test_features_that_are_alike_or_nothing() -> None:
    design, cross, _, _ = problem(2)
    one = np.random.default_rng(0).normal(size=(N_TOKENS, 4)).astype(np.float32)
    twice = linear_table(design, cross, np.concatenate([one, one, np.zeros_like(one)], axis=1))
    np.testing.assert_allclose(twice, linear_table(design, cross, one), atol=2e-2 * np.abs(twice).max())
    assert not linear_table(design, cross, np.zeros_like(one)).any()


def test_fitted_scale() -> None:
    design, cross, x, y = problem(3)
    table = np.random.default_rng(0).normal(size=(N_TOKENS, 5)).astype(np.float32)
    vectors = x @ table
    assert fitted_scale(design, cross, table) == pytest.approx((vectors * y).sum() / (vectors**2).sum(), rel=1e-4)
    assert fitted_scale(design, cross, table * 4) == pytest.approx(fitted_scale(design, cross, table) / 4, rel=1e-5)
    assert fitted_scale(design, cross, np.zeros_like(table)) == 0


def test_the_number_of_devices_changes_nothing(tmp_path: Path, forks: Forks) -> None:
    """Not a bit, of widths that do not divide among them either."""
    for devices in (1, 3, 8):
        environment = {**os.environ, "XLA_FLAGS": xla_flags(devices)}
        done = forks.run(ON_DEVICES, tmp_path / f"{devices}.npz", devices, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    one = np.load(tmp_path / "1.npz")
    assert len(one.files) == 20
    for devices in (3, 8):
        others = np.load(tmp_path / f"{devices}.npz")
        assert [name for name in one if not np.array_equal(one[name], others[name])] == []


def test_the_mean_of_texts() -> None:
    """The shift brings the mean of X E to any mean, texts without tokens included."""
    design = Design.of([[0, 1], [1], [], [2, 2, 0]], n_tokens=3, mesh=MESH)
    table, wanted = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), np.arange(4.0)
    shifted = table + mean_shift(design, table, wanted)
    texts = [shifted[[0, 1]].mean(axis=0), shifted[1], np.zeros(4), shifted[[2, 2, 0]].mean(axis=0)]
    np.testing.assert_allclose(np.mean(texts, axis=0), wanted, atol=1e-6)
