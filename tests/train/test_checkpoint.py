from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from conftest import make_model
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.storage.tensor_file import checksum, read_all
from m2v_train import StaticModelForClassification
from m2v_train.engine import loop
from m2v_train.engine.checkpoint import FILE
from training_texts import FAST, LABELS, TEXTS

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
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_result_stays_until_another_training_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where training ends by itself, between two epochs."""
    options = {**FAST, "max_epochs": None, "validation_steps": 1, "early_stopping_patience": 2}
    first = StaticModelForClassification(make_model(), checkpoint_dir=tmp_path, **options).fit(TEXTS, LABELS)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_take_steps", lambda *_: pytest.fail("The training was done."))
        again = StaticModelForClassification(make_model(), checkpoint_dir=tmp_path, **options).fit(TEXTS, LABELS)
    assert again.history_ == first.history_
    np.testing.assert_array_equal(again.predict_proba(TEXTS), first.predict_proba(TEXTS))
    other = StaticModelForClassification(make_model(), checkpoint_dir=tmp_path, **{**options, "learning_rate": 0.5})
    assert other.fit(TEXTS, LABELS).history_ != first.history_
    assert "the state of another training, which has ended, is replaced" in caplog.text


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    path, fit = tmp_path / FILE, StaticModelForClassification(make_model(), checkpoint_dir=tmp_path, **FAST).fit
    fit(TEXTS, LABELS)
    whole = path.read_bytes()
    at = whole.index(b"learning_rate")
    for content in (
        b"\x08\0\0\0\0\0\0\0garbage!",
        whole[:-1],
        whole[:-1] + bytes([whole[-1] ^ 1]),
        whole[:at] + b"L" + whole[at + 1 :],
    ):
        path.write_bytes(content)
        with pytest.raises(ModelFormatError, match=r"training\.safetensors: .*damaged: remove it"):
            fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    "change",
    [
        lambda leaves, progress: leaves.pop("1"),
        lambda leaves, progress: leaves.update({"0": leaves["0"].astype(np.float64)}),
        lambda leaves, progress: leaves.update(more=np.zeros(1)),
        lambda leaves, progress: progress.pop("training"),
        lambda leaves, progress: progress["training"].update(ended=1),
        lambda leaves, progress: progress["training"].update(step=-1),
        lambda leaves, progress: progress["training"].update(epoch=10**30),
        lambda leaves, progress: progress["training"].update(history=[{"epoch": "one"}]),
        lambda leaves, progress: progress["shape"].update(n_tokens=1 << 30),
        lambda leaves, progress: progress["shape"].update(n_batches=0),
        lambda leaves, progress: progress["shape"].pop("n_ids"),
    ],
)
def test_a_checkpoint_of_a_stranger(tmp_path: Path, change) -> None:
    """Its checksum is right."""
    path, options = tmp_path / FILE, {**FAST, "max_epochs": 1}
    fit = StaticModelForClassification(make_model(), checkpoint_dir=tmp_path, **options).fit
    fit(TEXTS[:60], LABELS[:60])
    leaves, metadata = read_all(path)
    progress = json.loads(metadata["progress"])
    change(leaves, progress)
    text = json.dumps(progress)
    path.write_bytes(save(leaves, {**metadata, "progress": text, "sha256": checksum(leaves, text)}))
    with pytest.raises(ModelFormatError, match=r"training\.safetensors: .*damaged: remove it"):
        fit(TEXTS[:60], LABELS[:60])
