"""Text embeddings from a static table, with numpy alone.

>>> import numpy as np
>>> from m2v_core import StaticModel
>>> from tokenizers import Tokenizer, models, pre_tokenizers
>>> tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "day": 2}, unk_token="[UNK]"))
>>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
>>> model = StaticModel(np.array([[0, 0], [1, 0], [0, 1]], "float32"), tokenizer)
>>> model.encode(["good day", "day"])
array([[0.5, 0.5],
       [0. , 1. ]], dtype=float32)

`StaticModel.from_pretrained("a-folder")` loads a model from a folder.
"""

from typing import TYPE_CHECKING

from m2v_core.__about__ import __version__
from m2v_core.lazy import lazy

if TYPE_CHECKING:
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
    from m2v_core.verification import verify

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Activation": "m2v_core.head",
        "BadTextError": "m2v_core.errors",
        "Config": "m2v_core.storage.format",
        "InvalidInputError": "m2v_core.errors",
        "Layer": "m2v_core.head",
        "M2VError": "m2v_core.errors",
        "MLPHead": "m2v_core.head",
        "MissingPackageError": "m2v_core.errors",
        "ModelFormatError": "m2v_core.errors",
        "ModelNotFoundError": "m2v_core.errors",
        "StaticModel": "m2v_core.model",
        "StaticModelPipeline": "m2v_core.pipeline",
        "TransferError": "m2v_core.errors",
        "load": "m2v_core.pipeline",
        "quantize_model": "m2v_core.model",
        "verify": "m2v_core.verification",
    },
)

__all__ = [
    # models
    "Config",
    "StaticModel",
    "quantize_model",
    "verify",
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
