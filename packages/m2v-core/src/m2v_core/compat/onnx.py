"""`model2vec.onnx`, by `m2v_core.onnx`: without PyTorch."""

from __future__ import annotations

import os

from m2v_core.model import StaticModel
from m2v_core.onnx.export import export_onnx
from m2v_core.pipeline import StaticModelPipeline


def export_model_to_onnx(
    model: StaticModel | StaticModelPipeline,
    save_path: str | os.PathLike[str],
    remove_post_processor: bool = True,
    source_model_name: str | None = None,  # noqa: ARG001 - model2vec writes it into a card; `m2v card` writes ours
) -> None:
    """Write `model.onnx`, with the inputs and outputs of model2vec's, and the files of its tokenizer."""
    export_onnx(model, save_path, form="model2vec", file="model.onnx", special_tokens=not remove_post_processor)
