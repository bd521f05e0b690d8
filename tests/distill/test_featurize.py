from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from forks import Forks
from m2v_core import InvalidInputError, ModelFormatError
from m2v_core.storage.tensor_file import checksum
from m2v_distill import FeatureStore, Teacher, featurize
from m2v_distill.corpus.shards import pack, read_shard, starts_with, unpack, write_shard
from m2v_distill.corpus.store import is_store

TEXTS = [f"{'good ' * (i % 5)}day {'bad' * (i % 3)} {i}" for i in range(22)]

#: Kills itself when the shard of a number is written but not in its place yet.
DRIVER = """
import os, signal, sys
from pathlib import Path
from m2v_distill import Teacher, featurize

replace = Path.replace

def killed(self, target):
    if Path(target).name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = killed
featurize(Teacher.from_pretrained(sys.argv[1]), sys.argv[4].split("|"), sys.argv[2], shard_size=4)
"""


@pytest.fixture
def teacher(teacher_folder: Path) -> Teacher:
    return Teacher.from_pretrained(teacher_folder)


@pytest.fixture
def store(teacher: Teacher, tmp_path: Path) -> FeatureStore:
    return featurize(teacher, TEXTS, tmp_path / "store", shard_size=4)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def shard(store: FeatureStore, number: int) -> Path:
    return store.folder / f"shard-{number:05d}.safetensors"


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_what_a_store_holds(teacher: Teacher, tmp_path: Path) -> None:
    repeated = [text for text in TEXTS for _ in range(2)]
    store = featurize(teacher, iter(repeated), tmp_path / "a" / "store", shard_size=4, total=len(repeated))
    assert (store.teacher, store.prompt, store.dim, store.n_texts, store.n_kept) == ("bert", "", 24, 22, 0)
    assert store == FeatureStore.open(str(tmp_path / "a" / "store"))
    assert store.n_bytes == sum(path.stat().st_size for path in store.folder.iterdir())
    assert sorted(path.name for path in store.folder.iterdir()) == [
        *(shard(store, number).name for number in range(6)),
        "store.json",
    ]
    for _ in range(2):
        texts, vectors = zip(*store.shards(), strict=True)
        assert [len(part) for part in texts] == [4, 4, 4, 4, 4, 2]
        assert list(chain(*texts)) == TEXTS
        assert {part.dtype for part in vectors} == {np.dtype(np.float32)}
        np.testing.assert_allclose(np.concatenate(vectors), unit(teacher.encode(TEXTS)), atol=5e-4)
    store.check(teacher)
    with pytest.raises(FrozenInstanceError):
        store.dim = 3  # type: ignore[misc]


def test_what_is_on_disk(store: FeatureStore) -> None:
    tensors = load_file(shard(store, 5))
    assert {name: str(tensor.dtype) for name, tensor in tensors.items()} == {
        "vectors": "float16",
        "text": "uint8",
        "ends": "int64",
    }
    assert tensors["text"].tobytes().decode() == "".join(TEXTS[20:])
    assert tensors["ends"].tolist() == [len(TEXTS[20]), len(TEXTS[20] + TEXTS[21])]
    raw = json.loads((store.folder / "store.json").read_text())
    assert {name: value for name, value in raw.items() if name != "probe"} == {
        "format": 1,
        "teacher": "bert",
        "prompt": "",
        "dim": 24,
        "shard_size": 4,
    }


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]))), more=st.lists(st.text("é\n")))
@settings(max_examples=60, deadline=None)
def test_texts_round_trip(texts: list[str], more: list[str]) -> None:
    packed = pack(texts)
    assert unpack(packed) == texts
    assert starts_with(pack(texts + more), packed)
    assert starts_with(packed, pack(texts + more)) == (not more)
    assert starts_with(packed, pack(["x", *texts])) is False


@pytest.mark.parametrize("texts", [[""], ["\n"], ["", "a\r\nb", "\x00", "\u2028", "日本", "\ufeff"]])
def test_shards_round_trip(tmp_path: Path, texts: list[str]) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(texts), 3)).astype(np.float16)
    write_shard(tmp_path / "x", pack(texts), vectors)
    packed, found = read_shard(tmp_path / "x", 3)
    assert unpack(packed) == texts
    np.testing.assert_array_equal(found, vectors)


def test_any_text_through_the_teacher(teacher: Teacher, tmp_path: Path) -> None:
    texts = ["", "\n", "a\nb", "日本", "good " * 500]
    store = featurize(teacher, texts, tmp_path / "store")
    assert [found for found, _ in store.shards()] == [texts]


def test_zeros_stay_zeros(make_teacher: Callable[..., Path], tmp_path: Path) -> None:
    teacher = Teacher.from_pretrained(make_teacher())
    weights = jax.tree.map(np.zeros_like, jax.device_get(teacher.encoder))
    nothing = replace(teacher, encoder=weights)
    assert not nothing.encode("a").any()
    store = featurize(nothing, ["a", "b"], tmp_path / "store")
    assert not next(store.shards())[1].any()
    store.check(nothing)
    with pytest.raises(InvalidInputError, match="another teacher"):
        store.check(teacher)


def test_a_killed_run_goes_on(teacher: Teacher, tmp_path: Path, forks: Forks) -> None:
    """Killed in each run, when a file is written but not in its place yet; the next one goes on."""
    whole = content(featurize(teacher, TEXTS, tmp_path / "whole", shard_size=4).folder)

    def run(killed_at: str) -> int:
        arguments = (teacher.source.folder, tmp_path / "out", killed_at, "|".join(TEXTS))
        return forks.run(DRIVER, *arguments, env=os.environ, cwd=tmp_path).returncode

    for name, files in (("store.json", 0), ("shard-00000.safetensors", 1), ("shard-00003.safetensors", 4)):
        assert run(name) == -signal.SIGKILL
        left = content(tmp_path / "out")
        left = {path: data for path, data in left.items() if not path.endswith(".part")}
        assert len(left) == files
        assert left.items() <= whole.items()
    assert run("") == 0
    assert content(tmp_path / "out") == whole


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty", "gone"])
def test_damaged_shards_are_computed_again(
    teacher: Teacher, store: FeatureStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = content(store.folder)
    path = shard(store, 2)
    raw = bytearray(whole[path.name])
    raw[-5] ^= 1
    path.write_bytes({"truncated": raw[:-9], "changed": raw, "empty": b"", "gone": b""}[damage])
    if damage == "gone":
        path.unlink()
        with pytest.raises(ModelFormatError, match="found 5, but not number 2"):
            FeatureStore.open(store.folder)
    found = store.shards()
    assert next(found)[0] == TEXTS[:4]
    assert next(found)[0] == TEXTS[4:8]
    with pytest.raises(ModelFormatError, match=f"{re.escape(str(path))}.*Run featurize again"):
        next(found)
    with caplog.at_level(logging.INFO, "m2v_distill"):
        again = featurize(teacher, TEXTS, store.folder, shard_size=4)
    assert ("shard-00002.safetensors is damaged" in caplog.text) == (damage != "gone")
    assert again.n_kept == 18
    assert content(store.folder) == whole


def test_checksums_are_verified_at_the_first_read(store: FeatureStore) -> None:
    assert len(list(store.shards())) == 6
    raw = bytearray(shard(store, 1).read_bytes())
    raw[-5] ^= 1
    shard(store, 1).write_bytes(raw)
    assert len(list(store.shards())) == 6
    with pytest.raises(ModelFormatError, match="checksum"):
        list(FeatureStore.open(store.folder).shards())


def test_a_longer_corpus_goes_on(teacher: Teacher, store: FeatureStore, tmp_path: Path) -> None:
    longer = [*TEXTS, "a", "b", "c", "d", "e"]
    more = featurize(teacher, longer, store.folder, shard_size=4)
    assert (more.n_texts, more.n_kept) == (27, 20)
    assert content(more.folder) == content(featurize(teacher, longer, tmp_path / "whole", shard_size=4).folder)
    with pytest.raises(ModelFormatError, match="expected 2 texts; found 4"):
        list(store.shards())  # opened before


@pytest.mark.parametrize(
    "others",
    [["other", *TEXTS[1:]], [*TEXTS[:5], "other"], TEXTS[:3], TEXTS[:8], [*TEXTS[:20], "other", "b", "c"], TEXTS[1:]],
)
def test_another_corpus(teacher: Teacher, store: FeatureStore, others: list[str]) -> None:
    before = content(store.folder)
    with pytest.raises(
        InvalidInputError, match=r"found other texts there, or more. Choose another folder, or remove .*store to"
    ):
        featurize(teacher, others, store.folder, shard_size=4)
    assert content(store.folder) == before


def test_another_teacher(make_teacher: Callable[..., Path], teacher: Teacher, store: FeatureStore) -> None:
    before = content(store.folder)
    for other in (Teacher.from_pretrained(make_teacher("mpnet")), teacher.pooled("pooler")):
        with pytest.raises(InvalidInputError, match=r"found those of another teacher \(bert\)"):
            featurize(other, TEXTS, store.folder, shard_size=4)
        with pytest.raises(InvalidInputError, match="another teacher"):
            store.check(other)
    assert content(store.folder) == before
    store.check(Teacher.from_pretrained(teacher.source.folder, precision="bfloat16"))


def test_another_prompt_or_size(teacher: Teacher, tmp_path: Path) -> None:
    store = featurize(teacher, TEXTS, tmp_path / "store", prompt="good ")
    assert store.prompt == "good "
    np.testing.assert_allclose(next(store.shards())[1], unit(teacher.encode(TEXTS, prompt="good ")), atol=5e-4)
    store.check(teacher)
    with pytest.raises(InvalidInputError, match="a store with prompt=''; found 'good '"):
        featurize(teacher, TEXTS, store.folder)
    with pytest.raises(InvalidInputError, match="a store with shard_size=3; found 4096"):
        featurize(teacher, TEXTS, store.folder, prompt="good ", shard_size=3)
    with pytest.raises(InvalidInputError, match="found 'query'"):
        featurize(teacher, TEXTS, store.folder, prompt_name="query")


def test_what_is_no_corpus_or_no_folder(teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    bad: list[Any] = [([], "found none"), ("a text", "found one text"), ([None], "found NoneType as number 1")]
    for texts, part in bad:
        with pytest.raises(InvalidInputError, match=part):
            featurize(teacher, texts, out)
    with pytest.raises(InvalidInputError, match="found 0"):
        featurize(teacher, TEXTS, out, shard_size=0)
    assert not out.exists()
    with pytest.raises(InvalidInputError, match="valid Unicode"):
        featurize(teacher, ["\ud800"], tmp_path / "surrogate")
    with pytest.raises(InvalidInputError, match="found other files"):
        featurize(teacher, TEXTS, teacher.source.folder)
    with pytest.raises(InvalidInputError, match="found a file"):
        featurize(teacher, TEXTS, teacher.source.folder / "config.json")
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InvalidInputError, match="one process; found 2"):
        featurize(teacher, TEXTS, out)


def test_which_folders_are_stores(store: FeatureStore, tmp_path: Path) -> None:
    assert is_store(store.folder)
    assert not is_store(tmp_path)
    assert not is_store(tmp_path / "none")
    assert not is_store(store.folder / "store.json")
    with pytest.raises(InvalidInputError, match=r"found no store.json there"):
        FeatureStore.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("format", 2, "found 2"),
        ("teacher", 3, "found others"),
        ("prompt", None, "found others"),
        ("dim", 0, "found others"),
        ("dim", True, "found others"),
        ("dim", 23, "found others"),
        ("shard_size", 10**400, "found others"),
        ("shard_size", 3.0, "found others"),
        ("probe", [[0.0] * 24], "found others"),
        ("probe", [[0.0] * 23 + [float("nan")]] * 2, "found others"),
        ("probe", [[0.0] * 23 + ["0"]] * 2, "found others"),
        ("probe", 3, "found others"),
    ],
)
def test_settings_that_do_not_hold(store: FeatureStore, name: str, value: object, part: str) -> None:
    path = store.folder / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(ModelFormatError, match=part):
        FeatureStore.open(store.folder)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"ends": np.array([5, 3, 8, 9])}, "ends of one text or more"),
        ({"ends": np.array([-1, 3, 8, 9])}, "ends of one text or more"),
        ({"ends": np.array([2**62, -(2**62) - 1, 8, 9])}, "ends of one text or more"),
        ({"ends": np.array([1, 3, 8, 10])}, "ends of one text or more"),
        ({"ends": np.array([1, 3, 8, 8])}, "ends of one text or more"),
        ({"ends": np.array([1, 9])}, r"found \(4, 24\), \(9,\) and \(2,\)"),
        ({"ends": np.array([[1, 2, 3, 9]])}, "expected vectors"),
        ({"ends": np.array([1, 2, 3, 9], np.int32)}, "ends should be one of int64"),
        ({"vectors": np.zeros((4, 23), np.float16)}, "expected vectors"),
        ({"vectors": np.zeros((4, 24), np.float32)}, "vectors should be one of float16"),
        ({"vectors": np.full((4, 24), np.nan, np.float16)}, "finite"),
        ({"text": np.full(9, 255, np.uint8)}, "in UTF-8"),
        (
            {"vectors": np.zeros((0, 24), np.float16), "text": np.zeros(0, np.uint8), "ends": np.zeros(0, np.int64)},
            "ends of one text or more",
        ),
    ],
)
def test_shards_of_strangers(store: FeatureStore, changes: dict[str, np.ndarray], part: str) -> None:
    """With checksums that hold."""
    tensors = {
        "vectors": np.zeros((4, 24), np.float16),
        "text": np.full(9, 97, np.uint8),
        "ends": np.array([1, 3, 8, 9]),
    }
    path = shard(store, 0)
    save_file(tensors, path, {"sha256": checksum(tensors)})
    assert next(FeatureStore.open(store.folder).shards())[0] == ["a", "aa", "aaaaa", "a"]
    save_file(tensors | changes, path, {"sha256": checksum(tensors | changes)})
    with pytest.raises(ModelFormatError, match=part) as found:
        next(FeatureStore.open(store.folder).shards())
    assert "shard-00000.safetensors" in str(found.value)
    assert "Run featurize again" in str(found.value)


def test_shards_that_are_numbered_otherwise(store: FeatureStore) -> None:
    shutil.copy(shard(store, 0), shard(store, 999_999_999))
    with pytest.raises(ModelFormatError, match="found 7, but not number 6"):
        FeatureStore.open(store.folder)
    for number in (*range(6), 999_999_999):
        shard(store, number).unlink()
    with pytest.raises(ModelFormatError, match="found 0, but not number 0"):
        FeatureStore.open(store.folder)


def test_memory_does_not_grow(teacher: Teacher, tmp_path: Path) -> None:
    """Texts of 20 kB in shards of ten: six times as many texts, by 10 MB more, need no more memory."""

    def peak(number: int) -> int:
        def texts() -> Iterator[str]:
            for i in range(number):
                yield f"day {i} " + "x" * 20_000

        tracemalloc.start()
        store = featurize(teacher, texts(), tmp_path / str(number), shard_size=10)
        assert sum(len(found) for found, _ in store.shards()) == number
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(20)  # compiles
    assert peak(600) < peak(100) + 1_000_000


def test_the_progress_bar(teacher: Teacher, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In texts as they come, repeats included."""
    featurize(teacher, [*TEXTS, *TEXTS], tmp_path / "store", shard_size=4, show_progress_bar=True, total=44)
    assert "44/44" in capsys.readouterr().err
    featurize(teacher, TEXTS, tmp_path / "store", shard_size=4)
    assert capsys.readouterr().err == ""
