"""How a model is loaded by each library, and the copy of a model that laghu can use its kernel for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def loader(library: str) -> Any:
    """The function that loads a model from a folder."""
    if library == "m2v":
        from m2v_core import StaticModel

        return StaticModel.from_pretrained
    if library == "model2vec":
        from model2vec import StaticModel

        return StaticModel.from_pretrained
    if library == "laghu":
        return laghu_with_kernel
    from sentence_transformers import SentenceTransformer

    return lambda folder: SentenceTransformer(folder, device="cpu")


def laghu_with_kernel(folder: str) -> Any:
    """Laghu's model; ends the process where laghu does not use its kernel as far as it could."""
    from laghu import load

    model = load(plain_copy(folder), fallback=False)
    pools = model._pool_rs() or model.embedding.dtype != "float32"
    if model.tokenizer.rs is None or not pools:
        raise SystemExit(f"laghu does not use its kernel for {folder}")
    return model


def plain_copy(folder: str) -> str:
    """A copy of a model whose tokenizer neither truncates nor pads, made once: laghu has no kernel for one that does.

    Texts of the benchmarks are far shorter than any limit, so the vectors are the same.
    """
    copy = Path(f"{folder}-plain")
    if not copy.exists():
        shutil.copytree(folder, copy)
        path = copy / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8")) | {"truncation": None, "padding": None}
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(copy)
