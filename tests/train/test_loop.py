from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model, xla_flags
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_train import StaticModelForClassification
from m2v_train.config import TrainConfig
from m2v_train.data.inputs import TokenTexts
from m2v_train.engine.batches import BLOCK_BATCHES, Samples, Tables, first_shape, make_block
from m2v_train.engine.checkpoint import FILE
from m2v_train.engine.loop import Course, batch_size_of, validation_interval
from m2v_train.engine.optimizer import Clock
from training_texts import FAST, LABELS, TEXTS


def course_of(scores: list[float], losses: list[float] | None = None, **options: object) -> Course:
    """A course after a validation an epoch, until it ends."""
    config = TrainConfig(**options)  # type: ignore[arg-type]
    course = Course(config.learning_rate)
    for i, score in enumerate(scores):
        course.epoch += 1
        course.validated({"val_loss": (losses or scores)[i]}, score, config)
        course.scheduled(config)
        if course.ended:
            break
    return course


def test_early_stopping() -> None:
    falling = [0.5, 0.6, 0.6, 0.6004, 0.55, 0.6009]
    assert course_of(falling, early_stopping_patience=4).epoch == 6  # 0.6004 and 0.6009 are too little progress
    assert course_of(falling, early_stopping_patience=5).ended is False
    assert course_of(falling, early_stopping_patience=2).epoch == 4
    assert course_of(falling, early_stopping_patience=2, min_epochs=5).epoch == 5
    assert course_of(falling, early_stopping_patience=None).epoch == 6
    assert course_of(falling, early_stopping_patience=None, max_epochs=3).epoch == 3
    assert course_of(falling, early_stopping_patience=4).best == 0.6009  # which is kept all the same


def test_the_learning_rate_is_halved_on_a_plateau() -> None:
    losses = [1.0, 0.9, 0.89, 0.88, 0.88, 0.88, 0.5, 0.49, 0.49, 0.49, 0.49, 0.49]
    course = course_of([0.1] * len(losses), losses, early_stopping_patience=None)
    assert course.learning_rate == 1e-3 / 4
    assert course_of([0.1] * 200, [1.0] * 200, early_stopping_patience=None).learning_rate == 1e-6


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


# --- batches ------------------------------------------------------------------------------------------------------


def samples_of(texts: list[str]) -> Samples:
    token_texts = TokenTexts.of(make_model(), texts)
    return Samples(token_texts, np.arange(len(texts))[:, None], lambda batch: batch.astype(np.int32))


@pytest.mark.parametrize("devices", [1, 3])
def test_a_block_holds_the_texts(devices: int) -> None:
    samples, tables = samples_of(TEXTS[:50]), Tables(None, Clock(make_model().n_tokens), None, has_weights=False)
    shape = first_shape(samples, 16, devices)
    batches = np.split(np.random.default_rng(0).permutation(50)[:48], 3)
    block = make_block(samples, batches, shape, tables)
    own = shape.batch_size // devices
    for i, batch in enumerate(batches):
        assert block.targets[i, : len(batch)].tolist() == batch.tolist()
        assert block.valid[i].tolist() == [1.0] * 16 + [0.0] * (shape.batch_size - 16)
        for place, text in enumerate(batch):
            device, number = divmod(place, own)
            mine = (block.tokens.texts[i, device] == number) & (block.tokens.shares[i, device] > 0)
            ids = block.table.rows[i][block.tokens.columns[i, device][mine]]
            assert ids.tolist() == samples.texts.take(np.array([text])).ids.tolist()
            np.testing.assert_allclose(block.tokens.shares[i, device][mine].sum(), 1 if len(ids) else 0, rtol=1e-5)
    assert block.steps.tolist()[:3] == [1, 2, 3]


def test_dropout_leaves_a_token_of_each_text() -> None:
    samples, tables = samples_of(TEXTS), Tables(None, None, None, has_weights=False)
    shape = first_shape(samples, len(TEXTS), 1)
    block = make_block(samples, [np.arange(300)], shape, tables, dropout=0.5, rng=np.random.default_rng(0))
    lengths = np.bincount(block.tokens.texts[0, 0][block.tokens.shares[0, 0] > 0], minlength=300)
    assert (lengths >= 1).all()
    assert 0.5 < lengths.sum() / len(samples.texts.ids) < 0.65  # a few more than half: texts of one token keep it


def test_shapes_are_few() -> None:
    """Each shape is compiled for once: blocks of random batches share one."""
    samples, tables = samples_of(TEXTS), Tables(None, None, None, has_weights=False)
    shape = first_shape(samples, 20, 1)
    shapes = set()
    for seed in range(50):
        order = np.random.default_rng(seed).permutation(300)
        block = make_block(samples, np.split(order, 15), shape, tables)
        shapes.add((block.tokens.columns.shape, block.table.rows.shape))
    assert len(shapes) <= 2


def test_many_texts_make_no_padded_matrices() -> None:
    """200,000 texts of 4 to 400 tokens: beside their ids, memory is that of a block."""
    lengths = np.random.default_rng(0).choice([4, 400], p=[0.99, 0.01], size=200_000)
    ids = np.zeros(lengths.sum(), np.int32)
    texts = TokenTexts(ids, np.cumsum(lengths))
    samples = Samples(texts, np.arange(len(texts))[:, None], lambda batch: batch.astype(np.int32))
    tracemalloc.start()
    try:
        shape = first_shape(samples, 512, 1)
        shape.n_batches = BLOCK_BATCHES
        make_block(samples, np.split(np.arange(512 * 32), 32), shape, Tables(None, None, None, has_weights=False))
        assert tracemalloc.get_traced_memory()[1] < 40e6  # padded to 400, the texts would take 320 MB
    finally:
        tracemalloc.stop()


# --- checkpoints --------------------------------------------------------------------------------------------------

#: Training that kills itself after some epochs.
DRIVER = """
import os, signal, sys
sys.path[:0] = {paths!r}
import m2v_train.engine.loop as loop
from m2v_train import StaticModelForClassification
from training_texts import FAST, LABELS, TEXTS
from conftest import make_model

write, epochs = loop.Checkpoint.write, 0

def killed(self, *arguments):
    global epochs
    write(self, *arguments)
    epochs += 1
    if epochs == 3:
        os.kill(os.getpid(), signal.SIGKILL)

loop.Checkpoint.write = killed
options = {{**FAST, "max_epochs": 8, "token_dropout": 0.1}}
StaticModelForClassification(make_model(), checkpoint_dir={folder!r}, **options).fit(TEXTS, LABELS)
"""


def test_a_killed_fit_goes_on(tmp_path: Path) -> None:
    options = {**FAST, "max_epochs": 8, "token_dropout": 0.1}
    whole = StaticModelForClassification(make_model(), **options).fit(TEXTS, LABELS)
    paths = [str(Path(__file__).parents[1])]
    code = DRIVER.format(paths=paths, folder=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.name for path in tmp_path.iterdir()] == [FILE]

    resumed = StaticModelForClassification(make_model(), checkpoint_dir=tmp_path, **options)
    with pytest.raises(InvalidInputError, match="expected the state of the same training"):
        resumed.fit(TEXTS, LABELS, learning_rate=0.5)
    with pytest.raises(InvalidInputError, match="expected the state of the same training"):
        resumed.fit(TEXTS[::-1], LABELS)
    resumed.fit(TEXTS, LABELS)
    assert resumed.history_ == whole.history_
    np.testing.assert_array_equal(resumed.predict_proba(TEXTS), whole.predict_proba(TEXTS))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\x08\0\0\0\0\0\0\0garbage!")
    with pytest.raises(ModelFormatError, match="damaged"):
        StaticModelForClassification(make_model(), checkpoint_dir=tmp_path, **FAST).fit(TEXTS, LABELS)


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
