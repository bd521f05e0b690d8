"""Checkpoints of golden teachers, changed in place, and the vectors that come out of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from m2v_distill.teacher.teacher import Teacher

SEQUENCES = [[2, 5, 3], [2, 9, 10, 3]]

Tensors = dict[str, np.ndarray[Any, Any]]


def vectors(folder: Path) -> np.ndarray[Any, Any]:
    """What a teacher makes of two short sequences."""
    return Teacher.from_pretrained(folder).encode_ids(SEQUENCES)


def rewrite(folder: Path, change: Callable[[Tensors], Tensors | None]) -> None:
    """Change a teacher's tensors: `change` returns others, or alters those that it gets."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file(change(tensors) or tensors, path)
