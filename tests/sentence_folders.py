"""Folders as sentence-transformers saves them, written by hand: no PyTorch needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

HERE = "sentence_transformers.models"


def write_modules(folder: Path, *kinds: str, **configs: dict[str, Any]) -> Path:
    """`modules.json` for some modules after a Transformer at the root, with the configs given by class."""
    listing = [{"idx": 0, "name": "0", "path": "", "type": f"{HERE}.Transformer"}]
    for index, kind in enumerate(kinds, 1):
        path = f"{index}_{kind}"
        listing.append({"idx": index, "name": str(index), "path": path, "type": f"{HERE}.{kind}"})
        write_json(folder / path / "config.json", configs.get(kind, {}))
    write_json(folder / "modules.json", listing)
    return folder


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_dense(path: Path, inner: int, outer: int, *, bias: bool = True, **config: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(inner + outer)
    tensors = {"linear.weight": rng.normal(size=(outer, inner)).astype(np.float32)}
    if bias:
        tensors["linear.bias"] = rng.normal(size=outer).astype(np.float32)
    write_json(path / "config.json", {"in_features": inner, "out_features": outer, "bias": bias, **config})
    save_file(tensors, path / "model.safetensors")
    return tensors
