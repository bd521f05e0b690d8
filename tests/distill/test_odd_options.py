"""Odd values of the options of a distillation and of a teacher."""

from __future__ import annotations

from functools import partial

from conftest import GOLDEN
from m2v_distill import DistillConfig, Teacher
from odd_values import ODD, outcomes, taking


def test_odd_values_of_all_options() -> None:
    """Only the first values of a teacher's: each call that works loads it."""
    _, refused, wrong = outcomes("DistillConfig", DistillConfig, DistillConfig)
    assert wrong == []
    assert refused > 400
    load = partial(Teacher.from_pretrained, GOLDEN / "teachers/bert")
    wrong = []
    for option in ("pooling", "precision", "model_parallel", "backend", "compute_as", "device"):
        _, refused, others = outcomes("Teacher", load, taking(option))
        assert refused > len(ODD) - 8, option
        wrong += others
    assert wrong == []
