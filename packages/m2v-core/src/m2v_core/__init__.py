"""Text embeddings from a static table, with numpy alone.

>>> from m2v_core import StaticModel
>>> model = tiny_model()              # or StaticModel.from_pretrained("a-folder")
>>> model.encode(["good day", "day"])
array([[0.5, 0.5],
       [0. , 1. ]], dtype=float32)
"""

from m2v_core.__about__ import __version__
from m2v_core.errors import (
    BadTextError,
    InvalidInputError,
    M2VError,
    MissingPackageError,
    ModelFormatError,
    ModelNotFoundError,
    TransferError,
)
from m2v_core.head import Activation, Layer, MLPHead
from m2v_core.model import StaticModel, quantize_model
from m2v_core.pipeline import StaticModelPipeline, load
from m2v_core.storage.format import Config

__all__ = [
    # models
    "Config",
    "StaticModel",
    "quantize_model",
    # heads
    "Activation",
    "Layer",
    "MLPHead",
    "StaticModelPipeline",
    "load",
    # errors
    "BadTextError",
    "InvalidInputError",
    "M2VError",
    "MissingPackageError",
    "ModelFormatError",
    "ModelNotFoundError",
    "TransferError",
    # version
    "__version__",
]
