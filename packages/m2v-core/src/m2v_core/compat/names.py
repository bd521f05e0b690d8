"""The public names of model2vec 0.10 that m2v-core answers, by module, and the module that has each."""

from __future__ import annotations

from collections.abc import Mapping

#: The version of model2vec whose interface this is.
__version_triple__ = (0, 10, 0)
__version__ = ".".join(map(str, __version_triple__))

_HERE = "m2v_core.compat.names"
_MODEL = "m2v_core.compat.model"
_PIPELINE = "m2v_core.compat.pipeline"
_TOOLS = "m2v_core.compat.tools"
_HEAD = "m2v_core.head"

#: Module of model2vec -> public name -> the module of ours with that name.
MODULES: Mapping[str, Mapping[str, str]] = {
    "model2vec": {"StaticModel": _MODEL, "quantize_model": _MODEL, "__version__": _HERE},
    "model2vec.model": {
        "StaticModel": _MODEL,
        "quantize_model": _MODEL,
        "DEFAULT_MAX_LENGTH": "m2v_core.storage.format",
    },
    "model2vec.version": {"__version__": _HERE, "__version_triple__": _HERE},
    "model2vec.inference": {"StaticModelPipeline": _PIPELINE, "evaluate_single_or_multi_label": _PIPELINE},
    "model2vec.inference.model": {"StaticModelPipeline": _PIPELINE},
    "model2vec.inference.evaluation": {"evaluate_single_or_multi_label": _PIPELINE},
    "model2vec.inference.mlp": {"Activation": _HEAD, "Layer": _HEAD, "MLPHead": _HEAD},
    "model2vec.onnx": {"export_model_to_onnx": "m2v_core.compat.onnx"},
    "model2vec.persistence": {"load_pretrained": _TOOLS, "save_pretrained": _TOOLS},
    "model2vec.quantization": {"DType": _TOOLS, "quantize_and_reduce_dim": _TOOLS, "quantize_embeddings": _TOOLS},
    "model2vec.vocabulary_quantization": {"quantize_vocabulary": _TOOLS},
    "model2vec.utils": {"get_package_extras": _TOOLS, "importable": _TOOLS},
}
