from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model, xla_flags
from m2v_train import StaticModelForClassification
from m2v_train.config import TrainConfig
from m2v_train.engine.loop import TrainingState, batch_size_of, validation_interval
from training_texts import FAST, LABELS, TEXTS


def state_after(scores: list[float], losses: list[float] | None = None, **options: object) -> TrainingState:
    """The state after one validation per epoch, until training ends."""
    config = TrainConfig(**options)  # type: ignore[arg-type]
    state = TrainingState(config.learning_rate)
    for i, score in enumerate(scores):
        state.epoch += 1
        state.record_validation({"val_loss": (losses or scores)[i]}, score, config)
        state.finish_epoch(config)
        if state.ended:
            break
    return state


def test_early_stopping() -> None:
    falling = [0.5, 0.6, 0.6, 0.6004, 0.55, 0.6009]
    assert state_after(falling, early_stopping_patience=4).epoch == 6  # 0.6004 and 0.6009 are too little progress
    assert state_after(falling, early_stopping_patience=5).ended is False
    assert state_after(falling, early_stopping_patience=2).epoch == 4
    assert state_after(falling, early_stopping_patience=2, min_epochs=5).epoch == 5
    assert state_after(falling, early_stopping_patience=None).epoch == 6
    assert state_after(falling, early_stopping_patience=None, max_epochs=3).epoch == 3
    assert state_after(falling, early_stopping_patience=4).best == 0.6009  # which is kept all the same


def test_the_learning_rate_is_halved_on_a_plateau() -> None:
    losses = [1.0, 0.9, 0.89, 0.88, 0.88, 0.88, 0.5, 0.49, 0.49, 0.49, 0.49, 0.49]
    state = state_after([0.1] * len(losses), losses, early_stopping_patience=None)
    assert state.learning_rate == 1e-3 / 4
    assert state_after([0.1] * 200, [1.0] * 200, early_stopping_patience=None).learning_rate == 1e-6


def test_sizes() -> None:
    config = TrainConfig()
    assert [batch_size_of(config, n) for n in (10, 2000, 9000, 10**6)] == [32, 64, 288, 512]
    assert validation_interval(config, 9000, 288) is None
    assert validation_interval(config, 200_000, 512) == 250
    assert validation_interval(config, 10**6, 512) == 488
    assert validation_interval(TrainConfig(validation_steps=7), 9000, 288) == 7


def test_validation_between_epochs() -> None:
    options = {**FAST, "max_epochs": 4, "early_stopping_patience": None, "batch_size": 30}
    fitted = StaticModelForClassification(make_model(), **options).fit(TEXTS, LABELS, validation_steps=5)
    assert [entry["step"] for entry in fitted.history_] == [5, 10, 15, 20, 25, 30, 35]  # of 4 epochs of 9 steps
    assert [entry["epoch"] for entry in fitted.history_] == [1, 2, 2, 3, 3, 4, 4]


# --- devices ------------------------------------------------------------------------------------------------------

ON_DEVICES = """
import sys
sys.path[:0] = {paths!r}
import jax, numpy as np
from m2v_train import StaticModelForClassification, StaticModelForPairSimilarity
from training_texts import FAST, LABELS, TEXTS
from conftest import make_model

assert len(jax.devices()) == {devices}
options = {{**FAST, "max_epochs": 5, "early_stopping_patience": None, "batch_size": 50}}
fitted = StaticModelForClassification(make_model(), freeze_weights=False, **options).fit(TEXTS, LABELS)
paired = StaticModelForPairSimilarity(make_model(), **options).fit(TEXTS[:-1], TEXTS[1:])
np.savez({out!r}, classes=fitted.predict_proba(TEXTS), pairs=paired.predict(TEXTS))
"""


def test_eight_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(Path(__file__).parents[1])]
    for devices in (1, 8):
        monkeypatch.setenv("XLA_FLAGS", xla_flags(devices))
        code = ON_DEVICES.format(paths=paths, devices=devices, out=str(tmp_path / f"{devices}.npz"))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    one, eight = (np.load(tmp_path / f"{devices}.npz") for devices in (1, 8))
    for name in one.files:
        np.testing.assert_allclose(eight[name], one[name], atol=1e-5)
