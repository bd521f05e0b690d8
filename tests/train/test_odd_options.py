"""Odd values of the options of training."""

from __future__ import annotations

from m2v_train.config import TrainConfig
from odd_values import outcomes


def test_odd_values_of_all_options() -> None:
    _, refused, wrong = outcomes("TrainConfig", TrainConfig, TrainConfig)
    assert wrong == []
    assert refused > 300
