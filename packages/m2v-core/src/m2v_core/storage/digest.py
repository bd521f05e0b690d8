"""The digest of a model: whether two models give the same vectors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from m2v_core.storage.hashing import content_digest

if TYPE_CHECKING:
    from m2v_core.storage.format import StoredModel

#: Keys of `tokenizer.json` that m2v does not use, and that a save writes anew.
_UNUSED = ("padding", "truncation")


def model_digest(stored: StoredModel) -> str:
    """A digest of everything that decides a model's vectors of texts, queries and documents.

    It is the same before and after a save, with a compiled vocabulary and with a mapped table. It reads the whole
    table, about a second for each gigabyte, and parses `tokenizer.json`.

    Args:
        stored: The model, `StaticModel.stored`.

    Returns:
        BLAKE2b with 16 bytes, in hexadecimal digits, of: the text of `tokenizer.json` without `padding` and
        `truncation`, `normalize`, `max_length` and `prompts`, and names, dtypes, shapes and bytes of the arrays.

    Raises:
        ModelFormatError: The `tokenizer.json` of a compiled vocabulary was changed since it was loaded.

    Example:
        >>> model = tiny_model()
        >>> model_digest(model.stored) == model_digest(tiny_model().stored)
        True
        >>> model.max_length = 8
        >>> model_digest(model.stored) == model_digest(tiny_model().stored)
        False
    """
    config, tokenizer = stored.config, json.loads(stored.tokenizer_json)
    settings = {
        "max_length": config.max_length,
        "normalize": config.normalize,
        "prompts": dict(config.prompts or {}),
        "tokenizer": {name: value for name, value in tokenizer.items() if name not in _UNUSED},
    }
    text = json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()
    arrays = {"embeddings": stored.embeddings, "weights": stored.weights, "mapping": _other_rows(stored)}
    return content_digest(text, {name: array for name, array in arrays.items() if array is not None})


def _other_rows(stored: StoredModel) -> NDArray[np.generic] | None:
    """The mapping; `None` too if it gives each token its own row, since a reader drops it then."""
    mapping = stored.mapping
    return None if mapping is None or np.array_equal(mapping, np.arange(len(stored.embeddings))) else mapping
