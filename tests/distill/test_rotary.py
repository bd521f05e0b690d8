"""Rotary position embeddings: what holds whatever the settings, and numbers by hand; PyTorch's are in the parity tests."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.nn.rotary import Rotary, rotate

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def angles(rope: dict[str, Any], *, head_dim: int = 8, positions: int = 64, length: int = 2) -> list[float]:
    cos, sin = Rotary.of(rope, head_dim=head_dim, positions=positions)(length)
    return np.arctan2(sin[1], cos[1]).tolist()


def test_scores_depend_on_the_distance_alone() -> None:
    random = np.random.default_rng(0)
    cos, sin = Rotary.of({"rope_theta": 100.0}, head_dim=6, positions=64)(20)
    query, key = (np.broadcast_to(random.normal(size=(1, 1, 1, 6)), (1, 20, 1, 6)) for _ in range(2))
    query, key = (rotate(jnp.asarray(x, jnp.float32), cos, sin)[0, :, 0] for x in (query, key))
    scores = np.asarray(query @ key.T)
    for distance in range(-10, 11):
        diagonal = scores.diagonal(distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)
    assert np.ptp(scores) > 0.1


def test_a_part_of_each_head() -> None:
    rotary = Rotary.of({"rope_theta": 100.0, "partial_rotary_factor": 0.5}, head_dim=8, positions=64)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3, 8)), jnp.float32)
    turned = rotate(x, *rotary(5))
    assert rotary.dim == 4
    assert np.array_equal(turned[..., 4:], x[..., 4:])
    np.testing.assert_allclose(jnp.linalg.norm(turned, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5)
    assert np.abs(turned - x)[:, 1:].max() > 0.1


def test_angles_by_hand() -> None:
    plain = [1, 10**-0.5, 0.1, 10**-1.5]
    assert angles({"rope_theta": 100.0}) == pytest.approx(plain)
    linear = {"type": "linear", "rope_theta": 100.0, "factor": 4.0}
    assert angles(linear) == pytest.approx([angle / 4 for angle in plain])
    # Over 32 positions the first two pairs turn 5.1 and 1.6 times, the others less than once.
    kept = (32 * plain[1] / (2 * math.pi) - 1) / 3
    mixed = plain[1] * (kept + (1 - kept) / 8)
    assert angles(LLAMA3) == pytest.approx([1, mixed, plain[2] / 8, plain[3] / 8])


def test_dynamic_grows_beyond_its_positions_only() -> None:
    dynamic = {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}
    assert angles(dynamic, length=64) == pytest.approx(angles({"rope_theta": 100.0}))
    grown = 100 * 3 ** (8 / 6)  # 2 * 128 / 64 - 1
    assert angles(dynamic, length=128) == pytest.approx([grown ** (-pair / 4) for pair in range(4)])


def test_longrope_has_two_sets() -> None:
    rope = {"rope_type": "longrope", "rope_theta": 100.0, "short_factor": [1, 1], "long_factor": [2, 4]}
    rotary = Rotary.of({**rope, "original_max_position_embeddings": 16}, head_dim=4, positions=64)
    scale = math.sqrt(1 + math.log(4) / math.log(16))
    for length, expected in ((16, [1, 0.1]), (17, [0.5, 0.025])):
        cos, sin = rotary(length)
        np.testing.assert_allclose(np.hypot(cos, sin), scale, rtol=1e-6)
        np.testing.assert_allclose(np.arctan2(sin[1], cos[1]), expected, rtol=1e-5)
    with pytest.raises(ModelFormatError, match="long_factor"):
        Rotary.of({**rope, "long_factor": [2]}, head_dim=4, positions=64)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rope_type": "axial"}, "axial"),
        ({"mrope_section": [1, 1]}, "mrope_section"),
        ({"rope_theta": None}, "rope_theta"),
        ({"factor": None}, "factor"),
        ({"low_freq_factor": "1"}, "low_freq_factor"),
        ({"high_freq_factor": 0.5}, "high_freq_factor"),
        ({"partial_rotary_factor": 0.4}, "even"),
    ],
)
def test_what_is_not_computed_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelFormatError, match=named):
        Rotary.of({**LLAMA3, **change}, head_dim=8, positions=64)
