from __future__ import annotations

import inspect
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import ml_dtypes
import numpy as np
import pytest

from conftest import GOLDEN
from m2v_core import InvalidInputError
from m2v_distill import Teacher, distill
from m2v_distill.teacher.engine.placement import Placement, devices_of, has_fast_bfloat16, widens_float16

TEACHER = GOLDEN / "teachers/bert"


def test_devices() -> None:
    assert devices_of("cpu") == devices_of("cpu:0") == devices_of("auto") == devices_of(None)
    assert [device.platform for device in devices_of("cpu")] == ["cpu"]
    for name, remedy in (
        ("tpu", r"jax\[tpu\]"),
        ("cuda:0", r"jax\[cuda12\]"),
        ("mps", "'cpu', or .*backend='torch'"),
        ("xpu:1", "'cpu', or .*backend='torch'"),
        ("cpu:99", "plug-in"),
        ("quantum", "plug-in"),
    ):
        with pytest.raises(InvalidInputError, match=f"JAX has here .cpu:0.* found '{name}'.*{remedy}"):
            devices_of(name)


def test_names_of_devices_in_a_distillation(teacher_folder: Path) -> None:
    """As others write them: torch.device has these two attributes."""
    expected = distill(teacher_folder, method="token", pca_dims=4)
    for device in (
        "CPU",
        " cpu:0",
        "auto",
        SimpleNamespace(type="cpu", index=None),
        SimpleNamespace(type="cpu", index=0),
    ):
        found = distill(teacher_folder, method="token", pca_dims=4, device=device)
        assert np.array_equal(found.embedding, expected.embedding)
        assert Teacher.from_pretrained(teacher_folder, device=device).placement.mesh.size == 1
    with pytest.raises(InvalidInputError, match=r"device should be a name .*found 3"):
        distill(teacher_folder, device=3)
    with pytest.raises(InvalidInputError, match="JAX has here"):
        distill(teacher_folder, device="mps")


def test_precision() -> None:
    fast = has_fast_bfloat16(jax.devices()[0])
    assert Placement.of(precision="auto").precision == ("bfloat16" if fast else "float32")
    with pytest.raises(InvalidInputError, match="float16"):
        inspect.unwrap(Placement.of.__func__)(Placement, precision="float16")  # without jaxtyping, as for users
    with pytest.raises(InvalidInputError, match="model_parallel"):
        Placement.of(model_parallel=3)


def test_only_kernels_are_narrowed() -> None:
    teacher = Teacher.from_pretrained(TEACHER, precision="bfloat16")
    block = teacher.encoder.blocks[0]
    assert block.query.kernel.dtype == block.down.kernel.dtype == "bfloat16"
    others = (block.query.bias, block.output_norm.scale, teacher.encoder.token_embedding.embedding)
    assert {str(other.dtype) for other in others} == {"float32"}


def test_both_precisions_agree_and_differ() -> None:
    texts = [[2, 5, 3], [2, 9, 10, 3]]

    exact = Teacher.from_pretrained(TEACHER)
    narrow = exact.placed(Placement.of(precision="bfloat16"))
    one, other = exact.encode_ids(texts), narrow.encode_ids(texts)
    assert 1e-6 < np.abs(one - other).max() < 0.2
    direct = Teacher.from_pretrained(TEACHER, precision="bfloat16")
    assert np.array_equal(direct.encode_ids(texts), other)
    assert exact.placed(exact.placement) is exact


def test_embeddings_stay_as_they_are() -> None:
    placement = Placement.of()
    half = np.ones((4, 3), np.float16)
    assert placement.weight("words.embedding", half).dtype == ("float16" if widens_float16("cpu") else "float32")
    assert placement.weight("words.embedding", half.astype(ml_dtypes.bfloat16)).dtype == "bfloat16"
    assert placement.weight("words.embedding", half.astype(np.float64)).dtype == "float32"
    assert placement.weight("scale", half[0]).dtype == "float32"


OLD_PROCESSOR = """
import numpy as np
from m2v_distill.teacher.engine.placement import Placement, widens_float16

table = Placement.of(device="cpu").weight("words.embedding", np.array([[0.5, 3]], np.float16))
print(widens_float16("cpu"), table.dtype, table.astype("float32").tolist())
"""


def test_float16_on_a_processor_that_cannot_read_it() -> None:
    """One without F16C, which XLA is told to write for; ARM's all can, and there the flag changes nothing."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", OLD_PROCESSOR]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    old = platform.machine().lower() in ("x86_64", "amd64")
    assert done.stdout == f"{not old} {'float32' if old else 'float16'} [[0.5, 3.0]]\n", done.stderr
