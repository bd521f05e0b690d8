"""One table whatever the layout: one device, eight of them in any grouping, two processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import GOLDEN, xla_flags
from m2v_core import StaticModel

#: Three heads each, so that heads never divide among devices; the decoders' three heads of queries share one of keys.
CASES = ("bert", "qwen3-left", "gemma3")
COMMON = """
import json, sys
import jax, numpy as np
from flax import nnx
from m2v_distill import Teacher
from m2v_distill.teacher.engine.resume import ChunkStore
from m2v_distill.teacher.engine.placement import Placement

teachers, out = sys.argv[1:3]
rng = np.random.default_rng(0)
sequences = [rng.integers(1, 60, n).tolist() for n in rng.choice([3, 3, 3, 20], 120)]

def table(teacher, **options):
    return teacher.encode_ids(sequences, batch_tokens=64, **options)
"""
ONE_PROCESS = """
from m2v_distill.teacher.engine.placement import devices_of
assert devices_of("cpu") == devices_of(None) == jax.devices() and len(jax.devices()) == 8
assert devices_of("cpu:3") == [jax.devices()[3]]
tables, shares = {}, {}
for case in sys.argv[3:]:
    teacher = Teacher.from_pretrained(f"{teachers}/{case}", device="cpu:0")
    tables[f"{case} one"] = table(teacher)
    for parallel in (1, 2, 4, 8) if case == "bert" else (4, 8):
        placed = Teacher.from_pretrained(f"{teachers}/{case}", model_parallel=parallel)
        copies, groups = placed.placement.mesh.devices.shape
        tables[f"{case} {copies}x{groups}"] = table(placed)
    if case == "bert":
        tables["bert moved"] = table(teacher.placed(placed.placement))
    for path, variable in nnx.to_flat_state(nnx.state(placed.encoder)):
        array = variable[...]
        name = ".".join(map(str, path))
        shares[f"{case} {name}"] = [array.size] + [shard.data.size for shard in array.addressable_shards]
np.savez(f"{out}/tables.npz", **tables)
with open(f"{out}/shares.json", "w") as file:
    json.dump(shares, file)
"""
TWO_PROCESSES = """
address, process = sys.argv[3:5]
jax.distributed.initialize(address, 2, int(process))

class Counting(ChunkStore):
    added = 0
    def add(self, rows, vectors):
        self.added += len(rows)
        super().add(rows, vectors)

tables = {}
alone = Teacher.from_pretrained(f"{teachers}/bert", device="cpu")
tables["alone"] = table(alone)
for parallel in (1, 2):
    teacher = Teacher.from_pretrained(f"{teachers}/bert", model_parallel=parallel)
    tables[f"{2 // parallel}x{parallel}"] = table(teacher)
    tables[f"moved {2 // parallel}x{parallel}"] = table(alone.placed(teacher.placement))
    first = process == "0"
    folder = f"{out}/chunks-{parallel}" if first else f"{out}/never"
    table(teacher, chunks=ChunkStore(folder, interval=0.0, writes=first))
    if first:
        ChunkStore(folder).found()[1].unlink()
    store = Counting(folder, writes=first)
    tables[f"resumed {2 // parallel}x{parallel}"] = table(teacher, chunks=store)
    tables[f"added {parallel}"] = store.added
np.savez(f"{out}/tables-{process}.npz", **tables)
"""


def started(code: str, *arguments: object, devices: int = 1) -> subprocess.Popen[str]:
    environment = {**os.environ, "XLA_FLAGS": xla_flags(devices)}
    command = [sys.executable, *(["-c", COMMON + code] if code else ["-m", "m2v_core"]), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def finished(*processes: subprocess.Popen[str]) -> list[tuple[str, str]]:
    try:
        outputs = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def furthest(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest distance of two vectors, as a share of their length."""
    return float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


@pytest.fixture(scope="module")
def eight_devices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eight")
    finished(started(ONE_PROCESS, GOLDEN / "teachers", folder, *CASES, devices=8))
    return folder


@pytest.mark.parametrize("case", CASES)
def test_eight_devices(eight_devices: Path, case: str) -> None:
    tables = np.load(eight_devices / "tables.npz")
    one = tables[f"{case} one"]
    assert np.abs(one).min(axis=1).max() > 0
    layouts = [name for name in tables if name.startswith(case) and "x" in name]
    assert len(layouts) == (4 if case == "bert" else 2)
    for layout in layouts:  # sums are cut into parts, and these random weights amplify their rounding
        assert furthest(tables[layout], one) < (1e-6 if case == "bert" else 2e-5)
    if case == "bert":
        assert np.array_equal(tables["bert 8x1"], one)  # copies compute tiles of the same shapes
        assert np.array_equal(tables["bert moved"], tables["bert 1x8"])


def test_each_device_has_its_share(eight_devices: Path) -> None:
    shares = json.loads((eight_devices / "shares.json").read_text())
    for name, (size, *parts) in shares.items():
        assert len(parts) == 8, name
        if name.startswith("bert") and name.endswith(("kernel", "embedding")):
            assert parts == [size // 8] * 8, name
    whole = {name: parts for name, (size, *parts) in shares.items() if parts[0] == size}
    assert whole
    assert all(name.rpartition(".")[2] in ("kernel", "bias", "scale") for name in whole)
    # Gemma's heads of 10 do not divide among 8, so these kernels stay whole; all others are split.
    assert {name.split(".")[-2] for name in whole if name.endswith("kernel")} <= {"query", "key", "value", "out"}
    assert not any(name.startswith("bert") and name.endswith("kernel") for name in whole)


def test_two_processes(eight_devices: Path, tmp_path: Path) -> None:
    address = free_address()
    finished(*(started(TWO_PROCESSES, GOLDEN / "teachers", tmp_path, address, process) for process in (0, 1)))
    first, second = (np.load(tmp_path / f"tables-{process}.npz") for process in (0, 1))
    one = first["alone"]
    assert furthest(one, np.load(eight_devices / "tables.npz")["bert one"]) < 1e-6
    for name in first:
        assert np.array_equal(first[name], second[name]), name
        if "2x1" in name:
            assert np.array_equal(first[name], one), name
        elif "1x2" in name:
            assert furthest(first[name], one) < 1e-6, name
    assert np.array_equal(first["resumed 1x2"], first["1x2"])
    for parallel in (1, 2):
        assert 0 < first[f"added {parallel}"] < len(one) / 2
    assert not (tmp_path / "never").exists()


def test_the_command_in_two_processes(teacher_folder: Path, tmp_path: Path) -> None:
    options = ("--quantize-to", "float32", "--precision", "float32", "--pca-dims", "none")
    address = free_address()
    joined = [
        (
            *("distill", teacher_folder, tmp_path / str(process), *options),
            *("--coordinator", address, "--processes", 2, "--process", process),
        )
        for process in (0, 1)
    ]
    outputs = finished(*(started("", *arguments) for arguments in joined))
    finished(started("", "distill", teacher_folder, tmp_path / "alone", *options))
    assert not (tmp_path / "1").exists()
    assert outputs[0][1].count("dimensions, float32") == 1
    assert not outputs[1][1]  # stdout has a line of Gloo's
    found, expected = (StaticModel.from_pretrained(tmp_path / name).embedding for name in ("0", "alone"))
    assert np.array_equal(found, expected)
