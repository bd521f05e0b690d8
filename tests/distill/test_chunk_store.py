from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import m2v_distill.teacher.engine.resume
from conftest import GOLDEN
from m2v_core.storage.tensor_file import checksum, read_all
from m2v_distill import Teacher
from m2v_distill.teacher.engine.resume import ChunkStore

SEQUENCES = [[2, i, 3] for i in range(5, 45)]


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher.from_pretrained(GOLDEN / "teachers/bert")


class KilledError(Exception):
    pass


class KilledAfter(ChunkStore):
    """A store whose process is interrupted after some batches."""

    batches = 3

    def add(self, rows, vectors) -> None:
        super().add(rows, vectors)
        self.batches -= 1
        if not self.batches:
            raise KilledError


class Counting(ChunkStore):
    added = 0

    def add(self, rows, vectors) -> None:
        super().add(rows, vectors)
        self.added += len(rows)


def interrupted(teacher: Teacher, folder: Path, interval: float = 0.0) -> None:
    with pytest.raises(KilledError):
        teacher.encode_ids(SEQUENCES, batch_tokens=32, chunks=KilledAfter(folder, interval=interval))


@pytest.mark.parametrize("interval", [0.0, 1e9])
def test_a_later_run_goes_on(teacher: Teacher, tmp_path: Path, interval: float) -> None:
    whole = teacher.encode_ids(SEQUENCES, batch_tokens=32)
    interrupted(teacher, tmp_path / "chunks", interval)
    assert len(list((tmp_path / "chunks").iterdir())) == (3 if interval == 0 else 1)
    store = Counting(tmp_path / "chunks")
    assert np.array_equal(teacher.encode_ids(SEQUENCES, batch_tokens=32, chunks=store), whole)
    assert store.added == 40 - 3 * 8
    store.discard()
    assert not (tmp_path / "chunks").exists()


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_damaged_chunks_are_computed_again(teacher: Teacher, tmp_path: Path, damage: str) -> None:
    whole = teacher.encode_ids(SEQUENCES, batch_tokens=32)
    interrupted(teacher, tmp_path)
    path = sorted(tmp_path.iterdir())[0]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes({"truncated": content[:-9], "changed": content, "empty": b""}[damage])
    store = Counting(tmp_path, interval=0.0)
    assert np.array_equal(teacher.encode_ids(SEQUENCES, batch_tokens=32, chunks=store), whole)
    assert store.added == 40 - 2 * 8
    assert teacher.encode_ids(SEQUENCES, batch_tokens=32, chunks=(again := Counting(tmp_path))) is not None
    assert again.added == 0


def test_chunks_of_something_else_do_not_count(teacher: Teacher, tmp_path: Path) -> None:
    interrupted(teacher, tmp_path)
    others = [[2, 7, 3], *SEQUENCES[1:]]
    store = Counting(tmp_path)
    assert np.array_equal(
        teacher.encode_ids(others, batch_tokens=32, chunks=store),
        teacher.encode_ids(others, batch_tokens=32),
    )
    assert store.added == 40
    for other in (teacher.pooled("first"), Teacher.from_pretrained(GOLDEN / "teachers/bert", precision="bfloat16")):
        store = Counting(tmp_path)
        vectors = other.encode_ids(SEQUENCES, batch_tokens=32, chunks=store)
        assert np.array_equal(vectors, other.encode_ids(SEQUENCES, batch_tokens=32))
        assert store.added == 40
    fresh = Counting(tmp_path, fresh=True)
    teacher.encode_ids(SEQUENCES, batch_tokens=32, chunks=fresh)
    assert fresh.added == 40
    assert len(list(tmp_path.iterdir())) == 3  # nothing was written over them


def test_chunks_that_cannot_be_checked_do_not_count(teacher: Teacher, tmp_path: Path) -> None:
    """Of another plan, and no batch of this one is finished: they must not stay beside what this teacher computes."""
    interrupted(teacher, tmp_path)
    other = teacher.pooled("first")
    whole = other.encode_ids(SEQUENCES, batch_tokens=1024, chunks=ChunkStore(tmp_path, interval=0.0))
    store = Counting(tmp_path)
    assert np.array_equal(other.encode_ids(SEQUENCES, batch_tokens=1024, chunks=store), whole)
    assert store.added == 0
    assert len(store.found()) == 1


def test_short_runs_write_nothing(teacher: Teacher, tmp_path: Path) -> None:
    assert m2v_distill.teacher.engine.resume.INTERVAL >= 5
    teacher.encode_ids(SEQUENCES, chunks=ChunkStore(tmp_path / "chunks"))
    assert not (tmp_path / "chunks").exists()


def test_only_chunks_are_removed(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    ChunkStore(tmp_path).discard()
    assert (tmp_path / "mine.txt").exists()
    ChunkStore(tmp_path / "none").discard()


@pytest.mark.parametrize(
    "tensors",
    [
        {"rows": np.array([1])},
        {"rows": np.array([40]), "vectors": np.ones((1, 4), np.float32)},
        {"rows": np.array([-1]), "vectors": np.ones((1, 4), np.float32)},
        {"rows": np.array([[1]]), "vectors": np.ones((1, 4), np.float32)},
        {"rows": np.array([1]), "vectors": np.ones((1, 5), np.float32)},
        {"rows": np.array([1.0]), "vectors": np.ones((1, 4), np.float32)},
        {"rows": np.array([1]), "vectors": np.ones((1, 4), np.int32)},
    ],
)
def test_a_chunk_that_fits_nothing_is_ignored(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    """With a checksum that holds."""
    table = np.zeros((40, 4), np.float32)
    store = ChunkStore(tmp_path, interval=0.0)
    store.read(SEQUENCES, table)
    store.add(np.array([1]), np.ones((1, 4), np.float32))
    (path,) = store.found()
    assert ChunkStore(tmp_path).read(SEQUENCES, table).sum() == 1
    _, metadata = read_all(path)
    save_file(tensors, path, {**metadata, "sha256": checksum(tensors)})
    assert not ChunkStore(tmp_path).read(SEQUENCES, np.zeros((40, 4), np.float32)).any()
