"""A model as a folder of static files for browsers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.model import StaticModel
from m2v_core.prompts import DOCUMENT, QUERY, resolved
from m2v_core.storage.atomic import replaced_folder
from m2v_core.storage.files import json_bytes, write_tensors
from m2v_core.vectors import unit
from m2v_core.web.tokenizer import web_tokenizer

#: The version of the layout, which `static/model.js` checks.
FORMAT = 1

SETTINGS, VOCABULARY, TABLE = "model.json", "vocabulary.json", "table.safetensors"
TEXTS, VECTORS = "documents.json", "documents.safetensors"
PAGE = "index.html"

#: The files that are the same for every model, of the package's folder `static`.
STATIC = (
    PAGE,
    "style.css",
    "page.js",
    "model.js",
    "tokenizer.js",
    "words.js",
    "text.js",
    "charsmap.js",
    "characters.js",
    "unicode.js",
    "package.json",
)


def export_web(
    model: StaticModel,
    out: str | os.PathLike[str],
    *,
    documents: Iterable[str] | None = None,
    name: str = "model",
) -> dict[str, int]:
    """Write a page that embeds queries in the browser and ranks documents, as a folder of static files.

    The folder changes in one step. Files of other names are kept.

    Args:
        model: The model. A smaller dtype (`quantize_model`) makes a smaller folder.
        out: The folder.
        documents: Texts that the page ranks, embedded here as documents; `None` for a page into which the user pastes
            texts.
        name: Name of the model on the page.

    Returns:
        The size of each file in bytes.

    Raises:
        InvalidInputError: The tokenizer has a part that the JavaScript does not compute, which the message names;
            there are no documents, or one is no text.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sizes = export_web(tiny_model(), folder, documents=["good day"])
        >>> sorted(name for name in sizes if name.endswith(".json"))
        ['documents.json', 'model.json', 'package.json', 'vocabulary.json']
    """
    vocabulary = _json(web_tokenizer(model.stored.tokenizer_json))
    texts = None if documents is None else list(documents)
    if texts == []:
        raise InvalidInputError("documents should hold one text or more, or be None; found none.")
    vectors = None if texts is None else unit(model.encode_document(texts))
    owned = {*STATIC, SETTINGS, VOCABULARY, TABLE, TEXTS, VECTORS}
    with replaced_folder(checks.path("out", out), owned=owned, last=PAGE) as staging:
        for page in STATIC:
            (staging / page).write_bytes((files("m2v_core.web") / "static" / page).read_bytes())
        (staging / VOCABULARY).write_bytes(vocabulary)
        write_tensors(staging / TABLE, _tensors(model))
        if vectors is not None:
            (staging / TEXTS).write_bytes(_json(texts))
            write_tensors(staging / VECTORS, {"vectors": vectors})
        sizes = {file.name: file.stat().st_size for file in staging.iterdir()}
        (staging / SETTINGS).write_bytes(_json(_settings(model, name, sizes)))
        sizes[SETTINGS] = (staging / SETTINGS).stat().st_size
    return sizes


def _json(value: object) -> bytes:
    return json_bytes(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _tensors(model: StaticModel) -> dict[str, NDArray[Any]]:
    """The arrays of a model, in the dtypes that JavaScript has: its weights in that of the sums."""
    table = model.embedding
    found: dict[str, NDArray[Any]] = {"embeddings": table}
    if model.weights is not None:
        found["weights"] = model.weights.astype(np.float64 if table.dtype == np.float64 else np.float32)
    if model.token_mapping is not None:
        found["mapping"] = model.token_mapping.astype(np.uint32)
    return found


def _settings(model: StaticModel, name: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    prompts = model.config.prompts or {}
    data = (VOCABULARY, TABLE, TEXTS, VECTORS)
    return {
        "format": FORMAT,
        "name": name,
        "dim": model.dim,
        "n_tokens": model.n_tokens,
        "max_length": model.max_length,
        "normalize": model.normalize,
        "prompts": {"query": resolved(prompts, QUERY), "document": resolved(prompts, DOCUMENT)},
        "model_bytes": sizes[VOCABULARY] + sizes[TABLE],
        "files": {file: sizes[file] for file in data if file in sizes},
    }
