"""Saves where two folders cannot be exchanged: files take their places one by one, and readers find out."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN, make_model
from forks import fork
from m2v_core import Layer, MLPHead, ModelFormatError, StaticModel, StaticModelPipeline, load
from m2v_core.onnx import add_onnx
from m2v_core.storage import exchange, staging
from m2v_core.storage.compile import compile_vocabulary
from m2v_core.storage.digest import model_digest
from m2v_core.storage.files import UNFINISHED
from tokenizer_files import wordlevel

FILES = {"config.json", "model.safetensors", "tokenizer.json"}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def model_of(number: int, *, words: int = 5) -> StaticModel:
    """A model whose vector of "w1" is its number; each has another id for that word, and all tables are of one size."""
    vocabulary = [f"w{(number + index) % words}" for index in range(words)]
    table = np.zeros((words + 1, 2), np.float32)
    table[1 + vocabulary.index("w1")] = number
    return StaticModel(table, wordlevel(*vocabulary))


def number_of(model: StaticModel) -> int:
    first, second = model.encode("w1").tolist()
    assert first == second
    return int(first)


def with_head(model: StaticModel) -> StaticModelPipeline:
    layer = Layer(np.ones((2, model.dim), np.float32), np.zeros(2, np.float32))
    return StaticModelPipeline(model, MLPHead([layer], "softmax", ["a", "b"]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A folder with a model, and a file of the user, which cannot be exchanged."""
    monkeypatch.setattr(exchange, "_change_places", lambda one, other: False)
    folder = tmp_path / "m"
    model_of(1).save_pretrained(folder)
    (folder / "README.md").write_text("mine")
    return folder


def is_clean(folder: Path) -> bool:
    return names(folder) == FILES | {"README.md"} and names(folder.parent) == {"m"}


@needs_fork
@pytest.mark.filterwarnings("ignore:.*trained head, which this save removes")
def test_a_save_killed_at_any_step(folder: Path) -> None:
    """Whatever the step, the old model or the new one loads, and the next save leaves nothing of the killed one."""
    names_of_steps = ("rename", "replace", "unlink", "mkdir", "rmdir")
    outcomes = []
    while not outcomes or outcomes[-1] != "done":
        with_head(model_of(1)).save_pretrained(folder)  # which the next save removes
        process = fork()
        if not process:
            steps = iter(range(len(outcomes), -1, -1))

            def counted(step, steps=steps):
                def call(*arguments, **options):
                    if not next(steps):
                        os.kill(os.getpid(), signal.SIGKILL)
                    return step(*arguments, **options)

                return call

            for name in names_of_steps:
                setattr(os, name, counted(getattr(os, name)))
            model_of(2).save_pretrained(folder)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != 0
        loaded = load(folder)
        number = number_of(loaded.model if isinstance(loaded, StaticModelPipeline) else loaded)
        assert isinstance(loaded, StaticModelPipeline) == (number == 1)
        outcomes.append(number if killed else "done")
        model_of(3).save_pretrained(folder)
        assert number_of(StaticModel.from_pretrained(folder)) == 3
        assert is_clean(folder)
    assert outcomes == sorted(outcomes, key=str)  # first the old model, then the new one
    assert {1, 2} <= set(outcomes)
    assert len(outcomes) > 8


@needs_fork
def test_readers_beside_a_busy_saver(folder: Path) -> None:
    saver = fork()
    if not saver:
        while True:
            for number in range(1, 5):
                model_of(number).save_pretrained(folder)
    try:
        seen, end = set(), time.monotonic() + 1.5
        while time.monotonic() < end:
            seen.add(number_of(StaticModel.from_pretrained(folder)))
    finally:
        os.kill(saver, signal.SIGKILL)
        os.waitpid(saver, 0)
    assert len(seen) > 1
    assert seen <= {1, 2, 3, 4}


def test_other_programs_find_no_model_rather_than_a_mixed_one(folder: Path, monkeypatch) -> None:
    """The config goes first and comes last."""
    replace, there = Path.replace, []

    def watched(self: Path, target: Path) -> Path:
        there.append((folder / "config.json").exists())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    model_of(2).save_pretrained(folder)
    assert there == [False] * 3
    assert is_clean(folder)


def test_a_save_that_fails_is_finished_by_the_next_one(folder: Path, monkeypatch) -> None:
    replace, moved = Path.replace, []

    def stop_at_the_second(self: Path, target: Path) -> Path:
        moved.append(target)
        if len(moved) == 2:
            raise OSError(errno.ENOSPC, "the disk is full")
        return replace(self, target)

    with_head(model_of(1)).save_pretrained(folder)
    monkeypatch.setattr(Path, "replace", stop_at_the_second)
    with pytest.warns(UserWarning, match="trained head"), pytest.raises(OSError, match="full"):
        model_of(2).save_pretrained(folder)
    assert number_of(load(folder)) == 2
    for program in (compile_vocabulary, add_onnx):
        with pytest.raises(ModelFormatError, match=r"a save that was interrupted\. Finish it: m2v_core\.load"):
            program(folder)
    load(folder).save_pretrained(folder)  # as the error says
    assert is_clean(folder)
    assert number_of(load(folder)) == 2


@pytest.mark.parametrize("missing", ["links", "locks", "renames between mounts"])
def test_what_a_file_system_lacks(folder: Path, monkeypatch, missing: str) -> None:
    def refuse(number: int):
        def call(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        return call

    rename, refused = Path.rename, []

    def not_from_elsewhere(self: Path, target: Path) -> Path:
        if self.parent != Path(target).parent and Path(target).name == UNFINISHED:
            refused.append(target)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(self, target)

    if missing == "links":
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    elif missing == "locks" and sys.platform != "win32":
        monkeypatch.setattr(staging.fcntl, "flock", refuse(errno.EBADF))
    else:
        monkeypatch.setattr(Path, "rename", not_from_elsewhere)
    model_of(2).save_pretrained(folder)
    assert number_of(StaticModel.from_pretrained(folder)) == 2
    assert is_clean(folder)
    assert bool(refused) == (missing == "renames between mounts")


def test_a_link_in_place_of_an_unfinished_save_is_no_save(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/README.md").write_text("of others")
    (folder / UNFINISHED).symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match=UNFINISHED):
        model_of(2).save_pretrained(folder)
    assert (folder / "README.md").read_text() == "mine"


# --- the id of a save ---------------------------------------------------------------------------------------------


def save_id(folder: Path) -> str:
    return json.loads((folder / "config.json").read_text())["save_id"]


def test_a_mixed_folder_is_an_error(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with_head(model_of(1)).save_pretrained(one)
    with_head(model_of(2)).save_pretrained(other)
    shutil.copy(other / "head.safetensors", one)
    with pytest.raises(ModelFormatError, match=rf"one.head\.safetensors: expected the file of save '{save_id(one)}'"):
        StaticModelPipeline.from_pretrained(one)
    assert number_of(StaticModel.from_pretrained(one)) == 1
    shutil.copy(other / "model.safetensors", one)
    for read in (StaticModel.from_pretrained, StaticModelPipeline.from_pretrained):
        with pytest.raises(ModelFormatError, match=r"Files of two models are mixed.*remove save_id from config\.json"):
            read(one)
    raw = json.loads((one / "config.json").read_text())
    del raw["save_id"]
    (one / "config.json").write_text(json.dumps(raw))
    assert StaticModel.from_pretrained(one).embedding.max() == 2


def test_files_without_an_id_are_read(tmp_path: Path) -> None:
    """As other programs write them, or keep the id in config.json."""
    model_of(1).save_pretrained(tmp_path / "m")
    save_file(load_file(tmp_path / "m/model.safetensors"), tmp_path / "m/model.safetensors")
    assert number_of(StaticModel.from_pretrained(tmp_path / "m")) == 1


def test_an_id_that_is_no_text(tmp_path: Path) -> None:
    model_of(1).save_pretrained(tmp_path / "m")
    (tmp_path / "m/config.json").write_text('{"save_id": 3}')
    with pytest.raises(ModelFormatError, match='"save_id" should be a string; found 3'):
        StaticModel.from_pretrained(tmp_path / "m")


def test_the_id_follows_from_the_content(tmp_path: Path) -> None:
    """Equal models have equal files; the id is no setting, and no part of a model's digest."""
    model = model_of(1)
    kinds = {
        "again": model_of(1),
        "other vectors": StaticModel(-model.embedding, model.stored.tokenizer_json),
        "other tokens": StaticModel(model.embedding, model_of(2).stored.tokenizer_json),
        "another setting": StaticModel(model.embedding, model.stored.tokenizer_json, max_length=3),
        "a head": with_head(model),
    }
    model.save_pretrained(tmp_path / "m")
    for name, other in kinds.items():
        other.save_pretrained(tmp_path / name)
        assert (save_id(tmp_path / name) == save_id(tmp_path / "m")) == (name == "again")
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    assert loaded.config == model.config
    assert model_digest(loaded.stored) == model_digest(model.stored)
    make_model().save_pretrained(tmp_path / "m")  # nothing is left of the old id
    assert save_id(tmp_path / "m") != save_id(tmp_path / "again")


def test_a_whole_and_an_interrupted_save_of_this_version(tmp_path: Path) -> None:
    """Later versions load both, and finish the second."""
    assert StaticModel.from_pretrained(GOLDEN / "saves/whole").encode("good").tolist() == [1, 2]
    shutil.copytree(GOLDEN / "saves/interrupted", tmp_path / "m")
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    assert loaded.encode("good").tolist() == [-5, -6]
    loaded.save_pretrained(tmp_path / "m")
    assert names(tmp_path / "m") == FILES
    assert StaticModel.from_pretrained(tmp_path / "m").encode("good").tolist() == [-5, -6]
