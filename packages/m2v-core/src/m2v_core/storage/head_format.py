"""The format of a head on disk, that of model2vec 0.10: `head.safetensors`, and `head_config` in `config.json`.

`docs/format.md` describes it in prose.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.storage.files import SAVE_ID, read_json, read_tensors

if TYPE_CHECKING:
    from m2v_core.head import MLPHead

HEAD_CONFIG = "head_config"

#: dtypes of a head's tensors: name in safetensors -> name in numpy.
HEAD_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}

#: More layers than any head has: an untrusted config cannot make a reader count to a billion.
MAX_LAYERS = 1000


def tensor_names(layer: int) -> tuple[str, str]:
    """The names of a layer's weight [out, in] and bias [out]."""
    return f"head.{layer}.weight", f"head.{layer}.bias"


def head_tensors(head: MLPHead) -> dict[str, NDArray[Any]]:
    """The tensors of `head.safetensors` by name."""
    tensors = {}
    for number, layer in enumerate(head.layers):
        for name, array in zip(tensor_names(number), (layer.weight, layer.bias), strict=True):
            tensors[name] = np.ascontiguousarray(array)
    return tensors


def head_config(head: MLPHead) -> dict[str, Any]:
    """The value of `head_config` in `config.json`."""
    classes = None if head.classes_ is None else head.classes_.tolist()
    return {"n_layers": len(head.layers), "activation": head.activation.value, "classes": classes}


def save_id_of(config: Mapping[str, Any], where: Path) -> str | None:
    """The id of the save that a `config.json` is of, from its content; `None` if it has none.

    Raises:
        ModelFormatError: It is no text.
    """
    found = config.get(SAVE_ID)
    if not isinstance(found, str | None):
        raise ModelFormatError(f'{where}: "{SAVE_ID}" should be a string; found {found!r:.100}.')
    return found


def read_head(tensor_file: Path, config_file: Path) -> MLPHead:
    """Read a head from its two files.

    Raises:
        ModelNotFoundError: A file is missing.
        ModelFormatError: A file is damaged, or the files do not fit each other.
    """
    from m2v_core.head import Activation, Layer, MLPHead

    where = f'{config_file}: "{HEAD_CONFIG}"'
    config = read_json(config_file)
    raw = config.get(HEAD_CONFIG)
    if not isinstance(raw, dict):
        raise ModelFormatError(f"{where} should be an object that describes {tensor_file.name}; found {raw!r:.100}.")
    values: list[Any] = [raw.get(key) for key in ("n_layers", "activation", "classes")]
    n_layers, activation, classes = values
    try:
        checks.whole(f'{where}: "n_layers"', n_layers, 0, MAX_LAYERS)
        checks.one_of(f'{where}: "activation"', activation, list(Activation))
        checks.expect(isinstance(classes, list | None), f'{where}: "classes"', "a list or null", classes)
    except InvalidInputError as error:
        raise ModelFormatError(str(error)) from None
    names = [tensor_names(number) for number in range(n_layers)]
    required = {name: HEAD_DTYPES for pair in names for name in pair}
    tensors = read_tensors(tensor_file, required=required, save_id=save_id_of(config, config_file))
    try:
        return MLPHead((Layer(tensors[weight], tensors[bias]) for weight, bias in names), activation, classes)
    except InvalidInputError as error:
        raise ModelFormatError(f"{tensor_file}, with {HEAD_CONFIG} of {config_file}: {error}") from None
