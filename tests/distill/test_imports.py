"""`import m2v_distill` is light; distilling never needs PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_light() -> None:
    code = "import sys, m2v_distill.corpus.read, m2v_distill.cli.featurize; dir(m2v_distill); print([m for m in ('jax', 'flax', 'transformers') if m in sys.modules])"
    assert run(code) == "[]"


def test_distilling_needs_no_pytorch(teacher_folder: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from m2v_distill import distill; print(distill(sys.argv[1], pca_dims=3).dim)"
    )
    assert run(code, teacher_folder) == "3"


def test_unknown_names() -> None:
    import m2v_distill

    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        m2v_distill.distil  # noqa: B018
    assert "distill" in dir(m2v_distill)
