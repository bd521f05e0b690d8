"""benchmarks/gpu.py, with the CPU in place of a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("m2v_train", reason="its time to fit a classifier is measured too")

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def test_two_devices_make_the_same_students(teacher_folder: Path, own_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARK, "--devices", "cpu", "cpu:0", "--data", own_data, "--texts", "50"]
    command += ["--teacher", teacher_folder, "--json", tmp_path / "gpu.json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| composed, 50 texts |" in done.stdout
    record = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    found = {(each["case"], each["side"], each["measure"]): each["median"] for each in record["measured"]}
    assert found["composed", "cpu:0", "largest difference to cpu"] == 0
    assert found["composed", "cpu", "wall, s"] > 0
    assert found["all of it", "cpu:0", "peak memory, MB"] > 100
