"""Writes a model in the files of sentence-transformers; `storage.foreign` reads them.

A StaticEmbedding there averages the rows of all token ids, and of a `model.safetensors` with the names of model2vec
versions before 6.2 read only the table. So by default mapping and weights are multiplied into the table.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.encode.rows import token_rows
from m2v_core.errors import InvalidInputError
from m2v_core.model import StaticModel
from m2v_core.prompts import DOCUMENT, resolved
from m2v_core.storage.atomic import replaced_folder
from m2v_core.storage.files import json_bytes, write_json, write_tensors
from m2v_core.storage.foreign import EMBEDDING_WEIGHT, NESTED, SENTENCE_TRANSFORMERS_CONFIG
from m2v_core.storage.format import (
    CONFIG_FILE,
    EMBEDDINGS,
    MAPPING,
    MODULES_FILE,
    NORMALIZE_MODULE,
    STATIC_MODULE,
    TENSOR_FILE,
    TOKENIZER_FILE,
    WEIGHTS,
    tokenizer_for_other_readers,
)

#: The first version with StaticEmbedding, and the first that reads the tensors of model2vec, all of them.
OLDEST, COMPACT = "3.2.0", "6.2.0"

#: Modules by their names since 5.4 and 6.0: most versions that would ignore mapping and weights do not find them.
NEWER_TYPES = (
    "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding",
    "sentence_transformers.base.modules.normalize.Normalize",
)


def save_sentence_transformers(model: StaticModel, path: str | os.PathLike[str], *, compact: bool = False) -> None:
    """Save a model as a folder of sentence-transformers, `SentenceTransformer(path)`, with the same vectors.

    Prompts and the similarity come along, and `StaticModel.from_pretrained` reads the folder back. The row of the
    unknown token is zeros, because m2v leaves it out of the mean. sentence-transformers counts it, which changes

    - the length of the vector of a text with unknown tokens, if the model does not normalise (a warning says so),
    - which tokens are the first `max_length` of a longer text with unknown tokens.

    Args:
        model: The model.
        path: The folder, which changes in one step. It may be one that this function wrote before.
        compact: Whether to keep the table as it is (float16, int8, clusters), with mapping and weights beside it. Only
            sentence-transformers 6.2 and newer computes the same vectors from them. By default each token gets a row
            of float32, which every version with StaticEmbedding reads, 3.2 and newer.

    Raises:
        InvalidInputError: The folder holds another model.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> from m2v_core.sentence_transformers import save_sentence_transformers
        >>> model = tiny_model()
        >>> model.prompts = {"query": "good "}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_sentence_transformers(model, folder)
        ...     StaticModel.from_pretrained(folder).encode_query("day")
        array([0.5, 0.5], dtype=float32)
    """
    folder = new_folder(path)
    warn_of_unknown_tokens(model, folder)
    modules = static_modules(model, compact=compact)
    owned = {NESTED, str(NORMALIZE_MODULE["path"]), MODULES_FILE, SENTENCE_TRANSFORMERS_CONFIG}
    with replaced_folder(folder, owned=owned, last=MODULES_FILE) as staging:
        write_static_embedding(staging / NESTED, model, compact=compact)
        write_json(staging / SENTENCE_TRANSFORMERS_CONFIG, call_settings(model, compact=compact))
        write_json(staging / MODULES_FILE, modules)


def new_folder(path: str | os.PathLike[str]) -> Path:
    """The folder to write, which holds no other model."""
    folder = checks.path("path", path)
    if held := [name for name in (CONFIG_FILE, TENSOR_FILE) if (folder / name).exists()]:
        raise InvalidInputError(
            f"The folder should be a new one, or one that was written in this way before; found {held[0]} of another "
            f"model in {folder}. Choose another folder."
        )
    return folder


def warn_of_unknown_tokens(model: StaticModel, folder: Path) -> None:
    """Warn if vectors of texts with unknown tokens have another length there."""
    if model.unk_token_id is not None and not model.normalize:
        logging.getLogger("m2v_core").warning(
            "%s: this model does not normalise, and sentence-transformers counts unknown tokens: a text with some gets "
            "a shorter vector there, in the same direction",
            folder,
        )


def static_modules(model: StaticModel, *, compact: bool) -> list[dict[str, Any]]:
    """The entries of `modules.json` for a model."""
    modules = [STATIC_MODULE | {"path": NESTED}, *([NORMALIZE_MODULE] if model.normalize else [])]
    if compact:
        modules = [module | {"type": name} for module, name in zip(modules, NEWER_TYPES, strict=False)]
    return modules


def write_static_embedding(folder: Path, model: StaticModel, *, compact: bool) -> None:
    """Write the files of a StaticEmbedding."""
    folder.mkdir(parents=True)
    write_tensors(folder / TENSOR_FILE, _compact(model) if compact else _expanded(model))
    text = tokenizer_for_other_readers(model.stored.tokenizer_json, model.max_length)
    (folder / TOKENIZER_FILE).write_bytes(json_bytes(text))


def call_settings(model: StaticModel, *, compact: bool) -> dict[str, Any]:
    """The content of `config_sentence_transformers.json`, with the keys that sentence-transformers writes.

    `__version__` makes older versions warn, and `requirements` makes them refuse (6.0 and 6.1). A prompt `passage` or
    `corpus` becomes that of `document` too, because newer versions look no further than that.
    """
    prompts = model.prompts
    if document := resolved(prompts, DOCUMENT):
        prompts.setdefault("document", document)
    settings: dict[str, Any] = {
        "model_type": "SentenceTransformer",
        "__version__": {"sentence_transformers": COMPACT if compact else OLDEST},
        "prompts": prompts,
        "default_prompt_name": None,
        "similarity_fn_name": model.similarity_fn_name,
    }
    if compact:
        reason = "Older versions ignore the mapping and the weights of the table."
        settings["requirements"] = {"sentence-transformers": {"specifier": ">=6.2", "reason": reason}}
    return settings


def _expanded(model: StaticModel) -> dict[str, NDArray[np.float32]]:
    """The table with a row [D] of float32 for each token."""
    ids = np.arange(model.n_tokens)
    rows = token_rows(model.embedding, ids, model.weights, model.token_mapping).astype(np.float32, copy=False)
    if model.unk_token_id is not None:
        rows[model.unk_token_id] = 0
    return {EMBEDDING_WEIGHT: rows}


def _compact(model: StaticModel) -> dict[str, NDArray[Any]]:
    """The table as it is. There are always weights: of a table with weights a reader makes one of float32.

    In float16 its Normalize would divide 0 by 0 for a text without tokens.
    """
    table, unknown = model.embedding, model.unk_token_id
    weights = np.ones(model.n_tokens, np.float32) if model.weights is None else model.weights.astype(np.float32)
    if unknown is not None:
        weights[unknown] = 0
        if model.token_mapping is None and not np.isfinite(table[unknown]).all():  # NaN stays NaN times 0
            table = table.copy()
            table[unknown] = 0
    tensors = {EMBEDDINGS: table, WEIGHTS: weights}
    return tensors if model.token_mapping is None else tensors | {MAPPING: model.token_mapping.astype(np.int32)}
