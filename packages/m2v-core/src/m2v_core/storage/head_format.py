"""A head on disk: THE definition of `head.safetensors` and of `head_config` in `config.json`, as model2vec 0.10 has it.

`docs/format.md` says the same in prose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.head import Activation, Layer, MLPHead
from m2v_core.storage.files import read_json, read_tensors

HEAD_CONFIG = "head_config"

#: safetensors' name of a dtype -> numpy's, for a head's tensors.
HEAD_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}

#: More layers than any head has: a stranger's config cannot make a reader count to a billion.
MAX_LAYERS = 1000


def tensor_names(layer: int) -> tuple[str, str]:
    """The names of a layer's weight [out, in] and bias [out]."""
    return f"head.{layer}.weight", f"head.{layer}.bias"


def head_tensors(head: MLPHead) -> dict[str, NDArray[Any]]:
    """The content of `head.safetensors`."""
    tensors = {}
    for number, layer in enumerate(head.layers):
        for name, array in zip(tensor_names(number), (layer.weight, layer.bias), strict=True):
            tensors[name] = np.ascontiguousarray(array)
    return tensors


def head_config(head: MLPHead) -> dict[str, Any]:
    """What `config.json` says of a head."""
    classes = None if head.classes_ is None else head.classes_.tolist()
    return {"n_layers": len(head.layers), "activation": head.activation.value, "classes": classes}


def read_head(tensor_file: Path, config_file: Path) -> MLPHead:
    """The head that the two files hold.

    Raises:
        ModelNotFoundError: One of them is missing.
        ModelFormatError: One of them is damaged, or they do not fit each other.
    """
    where = f'{config_file}: "{HEAD_CONFIG}"'
    raw = read_json(config_file).get(HEAD_CONFIG)
    if not isinstance(raw, dict):
        raise ModelFormatError(
            f"{where} should be an object, to say what {tensor_file.name} holds; found {raw!r:.100}."
        )
    n_layers, activation, classes = (raw.get(key) for key in ("n_layers", "activation", "classes"))
    if type(n_layers) is not int or not 0 <= n_layers <= MAX_LAYERS:
        raise ModelFormatError(
            f'{where} should have a whole number of "n_layers", 0 to {MAX_LAYERS}; found {n_layers!r:.100}.'
        )
    if not isinstance(activation, str) or activation not in list(Activation):
        raise ModelFormatError(
            f'{where} should have one of {", ".join(Activation)} as "activation"; found {activation!r:.100}.'
        )
    if not isinstance(classes, list | None):
        raise ModelFormatError(f'{where} should have a list of "classes", or null; found {classes!r:.100}.')
    names = [tensor_names(number) for number in range(n_layers)]
    tensors = read_tensors(tensor_file, required={name: HEAD_DTYPES for pair in names for name in pair})
    try:
        return MLPHead((Layer(tensors[weight], tensors[bias]) for weight, bias in names), activation, classes)
    except InvalidInputError as error:
        raise ModelFormatError(f"{tensor_file}, with {HEAD_CONFIG} of {config_file}: {error}") from None
