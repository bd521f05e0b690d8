"""Odd values of the options of a distillation."""

from __future__ import annotations

from m2v_distill import DistillConfig
from odd_values import outcomes


def test_odd_values_of_all_options() -> None:
    _, refused, wrong = outcomes("DistillConfig", DistillConfig, DistillConfig)
    assert wrong == []
    assert refused > 400
