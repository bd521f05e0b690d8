"""Reads the model folders of other libraries into the same record as our own.

sentence-transformers stores a static model's table as `embedding.weight`, at the root of the folder or under
`0_StaticEmbedding/`, and `modules.json` tells whether vectors are normalised. Since version 6.2 it also reads the
tensors of model2vec there, `mapping` and `weights` included.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from m2v_core.errors import ModelFormatError, ModelNotFoundError
from m2v_core.storage.files import path_inside, read_json, read_tensors, read_text
from m2v_core.storage.format import (
    CONFIG_FILE,
    EMBEDDINGS,
    MAPPING,
    MAPPING_DTYPES,
    MODEL_TYPE,
    MODULES_FILE,
    READ_EMBEDDING_DTYPES,
    READ_WEIGHT_DTYPES,
    SIMILARITIES,
    TENSOR_FILE,
    TOKENIZER_FILE,
    WEIGHTS,
    Config,
    StoredModel,
    read,
)
from m2v_core.tokenize.vocabulary import Vocabulary

EMBEDDING_WEIGHT = "embedding.weight"
NESTED = "0_StaticEmbedding"
SENTENCE_TRANSFORMERS_CONFIG = "config_sentence_transformers.json"

#: Remedy in the error for a model with another first module.
ADVICE = {
    "SparseStaticEmbedding": "It gives a number for each token of the vocabulary, so the vector of a text has as many "
    "dimensions: load it with SparseEncoder of sentence-transformers",
    "WordEmbeddings": "It has a tokenizer of its own, and no tokenizer.json: load it with SentenceTransformer, or make "
    "a model from its vectors and a tokenizer of its words, StaticModel(vectors, tokenizer)",
    "StaticEmbedding": "A static model cannot compute the modules after it: load it with SentenceTransformer",
    "Transformer": "Make a static model of it: m2v distill {folder} OUT (pip install m2v-distill)",
}
OTHER_ADVICE = "A static model cannot compute these: load it with sentence-transformers"


def read_any(folder: Path, *, memory_map: bool = False) -> StoredModel:
    """Read a model folder of any known layout: that of m2v and model2vec, or one of sentence-transformers.

    With `memory_map` the table stays in its file, and rows are read when they are used.

    Raises:
        ModelNotFoundError: The folder holds no static model.
        ModelFormatError: A file is damaged, or the model has modules that a static model cannot compute.
    """
    config = folder / CONFIG_FILE
    model_type = read_json(config).get("model_type", MODEL_TYPE) if config.is_file() else None
    if model_type == MODEL_TYPE:
        _check_has_table(folder)
        return read(folder, memory_map=memory_map)
    if (folder / SENTENCE_TRANSFORMERS_CONFIG).is_file() or (folder / MODULES_FILE).is_file():
        return read_sentence_transformers(folder, memory_map=memory_map)
    if model_type is not None:
        raise ModelFormatError(
            f'{config}: expected "model_type": "{MODEL_TYPE}", found {model_type!r}. If it is a sentence '
            f"transformer, make a static model of it: m2v distill {folder} OUT (pip install m2v-distill)."
        )
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:20]) or "nothing"
    raise ModelNotFoundError(
        f"{folder} holds no static model: expected {CONFIG_FILE}, {TENSOR_FILE} and {TOKENIZER_FILE}, or the files of "
        f"a sentence-transformers StaticEmbedding. Found there: {found}."
    )


def read_sentence_transformers(folder: Path, *, memory_map: bool = False) -> StoredModel:
    """Read a sentence-transformers folder with a StaticEmbedding, and Normalize after it or not.

    As in sentence-transformers, texts are truncated only if `tokenizer.json` says so. Rows after the last token, which
    no text can use, are left out.
    """
    inner, normalize = _static_module(folder)
    _check_has_table(inner)
    tensors = _read_tensors(inner / TENSOR_FILE, memory_map=memory_map)
    tokenizer_json = read_text(inner / TOKENIZER_FILE)
    n_tokens = len(Vocabulary.from_json(tokenizer_json, str(inner / TOKENIZER_FILE)).tokens)
    truncation = json.loads(tokenizer_json).get("truncation") or {"max_length": None}
    if not isinstance(truncation, dict):
        raise ModelFormatError(
            f'{inner / TOKENIZER_FILE}: "truncation" should be an object or null; found {truncation!r}.'
        )
    raw = {"normalize": normalize, "max_length": truncation.get("max_length"), **_call_settings(folder)}
    table, weights, mapping = tensors[EMBEDDINGS], tensors.get(WEIGHTS), tensors.get(MAPPING)
    return StoredModel(
        embeddings=_first(n_tokens, table) if mapping is None else table,
        tokenizer=tokenizer_json,
        config=Config.from_json(raw, str(inner / TOKENIZER_FILE)),
        weights=_first(n_tokens, weights),
        mapping=_first(n_tokens, mapping),
    )


def _read_tensors(path: Path, *, memory_map: bool) -> dict[str, NDArray[Any]]:
    """The tensors by the names of our format; where `embedding.weight` is, sentence-transformers reads it alone."""
    tables = dict.fromkeys((EMBEDDING_WEIGHT, EMBEDDINGS), READ_EMBEDDING_DTYPES)
    tensors = read_tensors(
        path,
        required={},
        optional={**tables, WEIGHTS: READ_WEIGHT_DTYPES, MAPPING: MAPPING_DTYPES},
        mapped=tuple(tables) if memory_map else (),
    )
    if EMBEDDING_WEIGHT in tensors:
        return {EMBEDDINGS: tensors[EMBEDDING_WEIGHT]}
    return tensors if EMBEDDINGS in tensors else read_tensors(path, required={EMBEDDING_WEIGHT: READ_EMBEDDING_DTYPES})


def _first(n: int, array: Any) -> Any:
    return array[:n] if array is not None and array.ndim else array


def _call_settings(folder: Path) -> dict[str, Any]:
    """The keys of `config.json` that sentence-transformers keeps in a file of its own.

    A prompt may be null there, which stands for none. Prompts that are all empty say nothing. A similarity that
    sentence-transformers does not have for such models counts as none there too.
    """
    path = folder / SENTENCE_TRANSFORMERS_CONFIG
    raw = read_json(path) if path.is_file() else {}
    prompts, default = raw.get("prompts"), raw.get("default_prompt_name")
    if isinstance(prompts, dict):
        prompts = {name: text for name, text in prompts.items() if text is not None}
        prompts = prompts if any(prompts.values()) else None
    similarity = raw.get("similarity_fn_name")
    settings = {"prompts": prompts, "similarity_fn_name": similarity if similarity in SIMILARITIES else None}
    Config.from_json(settings, str(path))  # its errors name this file
    if isinstance(default, str) and (prompts or {}).get(default):
        _warn(path, "default_prompt_name", default, f"encode_query(texts, prompt_name={default!r}).")
    if raw.get("truncate_dim") is not None:
        _warn(path, "truncate_dim", raw["truncate_dim"], f"encode(texts, truncate_dim={raw['truncate_dim']!r}).")
    return settings


def _warn(path: Path, name: str, value: object, call: str) -> None:
    """Log a setting that changes every vector in sentence-transformers, and the call that does so here."""
    import logging  # few need it

    logging.getLogger("m2v_core").warning(
        "%s: sentence-transformers encodes with %s = %r by default; m2v only if it is asked to: %s",
        path,
        name,
        value,
        call,
    )


def _static_module(folder: Path) -> tuple[Path, bool]:
    """Folder of the StaticEmbedding, and whether Normalize follows, according to `modules.json`."""
    path = folder / MODULES_FILE
    if not path.is_file():
        return (folder / NESTED if (folder / NESTED).is_dir() else folder), False
    modules = read_json(path, list)
    kinds = [str(m.get("type", "")).rsplit(".", 1)[-1] if isinstance(m, dict) else repr(m) for m in modules]
    if kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        advice = ADVICE.get(kinds[0], OTHER_ADVICE) if kinds else OTHER_ADVICE
        raise ModelFormatError(
            f"{path}: expected a StaticEmbedding, and at most Normalize after it; found "
            f"{', '.join(kinds) or 'no module'}. {advice.format(folder=folder)}."
        )
    return path_inside(folder, modules[0].get("path", ""), path), len(kinds) == 2


def _check_has_table(folder: Path) -> None:
    """Raise `ModelNotFoundError`, with a remedy, for a folder that has the table in another kind of file."""
    if (folder / TENSOR_FILE).is_file():
        return
    pickled = next((name for name in ("pytorch_model.bin", "model.bin") if (folder / name).is_file()), None)
    exports = [*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")]
    if pickled:
        raise ModelNotFoundError(
            f"{folder / TENSOR_FILE} is missing; found {pickled}, which is pickled: reading it can run code. If you "
            f"trust the model, SentenceTransformer({str(folder)!r}).save_pretrained(OUT) writes it as safetensors."
        )
    if exports:
        export = min(exports).relative_to(folder).as_posix()
        raise ModelNotFoundError(
            f"{folder / TENSOR_FILE} is missing; found {export}, an ONNX export, which m2v does not read. Load "
            f"the model that was exported, or copy its {TENSOR_FILE} here; or run the export with onnxruntime."
        )
