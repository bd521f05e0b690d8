"""Models as ONNX files, for onnxruntime, fastembed and transformers.js. Needs `m2v-core[onnx]`."""

from typing import TYPE_CHECKING

from m2v_core.lazy import lazy

if TYPE_CHECKING:
    from m2v_core.onnx.export import add_onnx, export_onnx
    from m2v_core.onnx.graph import onnx_model

#: Inputs and outputs of a graph: see `onnx_model`.
FORMS = ("tokens", "offsets", "model2vec")

__getattr__, __dir__ = lazy(
    __name__,
    {"add_onnx": "m2v_core.onnx.export", "export_onnx": "m2v_core.onnx.export", "onnx_model": "m2v_core.onnx.graph"},
)

__all__ = ["export_onnx", "onnx_model", "add_onnx", "FORMS"]
