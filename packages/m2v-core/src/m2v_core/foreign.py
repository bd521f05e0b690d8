"""Folders that others wrote, read into the same record as our own.

sentence-transformers keeps a static model's table as `embedding.weight`, at the root of the folder or under
`0_StaticEmbedding/`, and says in `modules.json` whether vectors are normalised.
"""

from __future__ import annotations

import json
from pathlib import Path

from m2v_core.errors import ModelFormatError, ModelNotFoundError
from m2v_core.files import read_json, read_tensors, read_text
from m2v_core.format import (
    CONFIG_FILE,
    MODEL_TYPE,
    MODULES_FILE,
    READ_EMBEDDING_DTYPES,
    TENSOR_FILE,
    TOKENIZER_FILE,
    Config,
    StoredModel,
    read,
)
from m2v_core.tokens import Vocabulary

EMBEDDING_WEIGHT = "embedding.weight"
NESTED = "0_StaticEmbedding"
SENTENCE_TRANSFORMERS_CONFIG = "config_sentence_transformers.json"


def read_any(folder: Path, *, memory_map: bool = False) -> StoredModel:
    """Read a model folder of any known layout: m2v's and model2vec's, or one of sentence-transformers'.

    With `memory_map` the table stays in its file, and rows are read when they are used.

    Raises:
        ModelNotFoundError: The folder holds none of them.
        ModelFormatError: A file is damaged, or the model does more than a static table can.
    """
    config = folder / CONFIG_FILE
    model_type = read_json(config).get("model_type", MODEL_TYPE) if config.is_file() else None
    if model_type == MODEL_TYPE:
        return read(folder, memory_map=memory_map)
    if (folder / SENTENCE_TRANSFORMERS_CONFIG).is_file() or (folder / MODULES_FILE).is_file():
        return read_sentence_transformers(folder, memory_map=memory_map)
    if model_type is not None:
        raise ModelFormatError(
            f'{config}: expected "model_type": "{MODEL_TYPE}", found {model_type!r}. Of a sentence transformer '
            f"make a static model first: m2v distill {folder} OUT (pip install m2v-distill)."
        )
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:20]) or "nothing"
    raise ModelNotFoundError(
        f"{folder} holds no static model: expected {CONFIG_FILE}, {TENSOR_FILE} and {TOKENIZER_FILE}, or the files of "
        f"a sentence-transformers StaticEmbedding. Found there: {found}."
    )


def read_sentence_transformers(folder: Path, *, memory_map: bool = False) -> StoredModel:
    """Read a sentence-transformers folder of one StaticEmbedding, with Normalize after it or without.

    As there, a text is cut only if `tokenizer.json` says so. Rows past the last token, which no text can reach, are
    left out.
    """
    place, normalize = _static_module(folder)
    tensors = read_tensors(
        place / TENSOR_FILE,
        required={EMBEDDING_WEIGHT: READ_EMBEDDING_DTYPES},
        mapped=(EMBEDDING_WEIGHT,) if memory_map else (),
    )
    tokenizer_json = read_text(place / TOKENIZER_FILE)
    n_tokens = len(Vocabulary.from_json(tokenizer_json, str(place / TOKENIZER_FILE)).tokens)
    truncation = json.loads(tokenizer_json).get("truncation") or {"max_length": None}
    if not isinstance(truncation, dict):
        raise ModelFormatError(
            f'{place / TOKENIZER_FILE}: "truncation" should be an object or null; found {truncation!r}.'
        )
    raw = {"normalize": normalize, "max_length": truncation.get("max_length")}
    table = tensors[EMBEDDING_WEIGHT]
    return StoredModel(
        embeddings=table[:n_tokens] if table.ndim else table,
        tokenizer_json=tokenizer_json,
        config=Config.from_json(raw, str(place / TOKENIZER_FILE)),
    )


def _static_module(folder: Path) -> tuple[Path, bool]:
    """Where the StaticEmbedding lies and whether Normalize follows, by `modules.json`."""
    path = folder / MODULES_FILE
    if not path.is_file():
        return (folder / NESTED if (folder / NESTED).is_dir() else folder), False
    modules = read_json(path, list)
    kinds = [str(m.get("type", "")).rsplit(".", 1)[-1] if isinstance(m, dict) else repr(m) for m in modules]
    if kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        raise ModelFormatError(
            f"{path}: expected a StaticEmbedding, and Normalize at the most after it; found {', '.join(kinds)}. "
            f"A static model cannot compute other modules. Of a sentence transformer make one: m2v distill {folder} OUT"
        )
    inner = str(modules[0].get("path", ""))
    place = folder / inner
    if not place.resolve().is_relative_to(folder.resolve()):
        raise ModelFormatError(f"{path}: expected paths inside the folder; found {inner!r}.")
    return place, len(kinds) == 2
