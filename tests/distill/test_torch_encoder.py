"""m2v-distill[torch] where PyTorch is missing; with it, see tests/integration/test_parity_torch.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.loopback import Hub, Repo, running
from hub.processes import fails, files_of, process
from m2v_core import MissingPackageError, ModelFormatError
from m2v_distill import Teacher, distill
from m2v_distill.teacher.families.registry import FAMILIES
from m2v_distill.teacher.pickled import has_torch

pytestmark = pytest.mark.skipif(has_torch(), reason="PyTorch is installed")


@pytest.mark.parametrize("backend", ["auto", "flax"])
def test_an_architecture_that_we_lack(teacher_folder: Path, backend: str) -> None:
    config = json.loads((teacher_folder / "config.json").read_text())
    (teacher_folder / "config.json").write_text(json.dumps({**config, "model_type": "funnel"}))
    with pytest.raises(ModelFormatError, match=", ".join(sorted(FAMILIES))) as caught:
        distill(teacher_folder, backend=backend)
    assert "pip install m2v-distill[torch]" in str(caught.value)


def test_pytorch_asked_for(teacher_folder: Path) -> None:
    with pytest.raises(MissingPackageError, match=r"pip install m2v-distill\[torch\]"):
        Teacher.from_pretrained(teacher_folder, backend="torch")


def test_pickled_weights_of_the_hub_are_not_fetched(teacher_folder: Path, tmp_path: Path) -> None:
    (teacher_folder / "model.safetensors").rename(teacher_folder / "pytorch_model.bin")
    pickled = files_of(teacher_folder)
    exported = {**pickled, "onnx/model.onnx": b"x"}
    del exported["pytorch_model.bin"]
    code = "import sys; from m2v_distill import Teacher; Teacher.from_pretrained(sys.argv[1])"
    with running(Hub(repos={"org/old": Repo({"main": pickled}), "org/onnx": Repo({"main": exported})})) as hub:
        python = process(hub, tmp_path / "cache")
        fails(python(code, "org/old"), "MissingPackageError", "org/old", "pytorch_model.bin", "m2v-distill[torch]")
        assert not any("pytorch_model.bin" in path or "onnx" in path for _, path in hub.requests if "resolve" in path)
        fails(python(code, "org/onnx"), "ModelNotFoundError", "expected weights in", "ONNX")
