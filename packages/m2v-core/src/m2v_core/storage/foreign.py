"""Folders that others wrote, read into the same record as our own.

sentence-transformers keeps a static model's table as `embedding.weight`, at the root of the folder or under
`0_StaticEmbedding/`, and says in `modules.json` whether vectors are normalised.
"""

from __future__ import annotations

import json
from pathlib import Path

from m2v_core.errors import ModelFormatError, ModelNotFoundError
from m2v_core.storage.files import read_json, read_tensors, read_text
from m2v_core.storage.format import (
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
from m2v_core.tokenize.vocabulary import Vocabulary

EMBEDDING_WEIGHT = "embedding.weight"
NESTED = "0_StaticEmbedding"
SENTENCE_TRANSFORMERS_CONFIG = "config_sentence_transformers.json"

#: What to do about a model whose first module is another one.
ADVICE = {
    "SparseStaticEmbedding": "It gives a number for each token of the vocabulary, so a vector of a text has as many "
    "dimensions: load it by SparseEncoder of sentence-transformers",
    "WordEmbeddings": "Its words are found by a tokenizer of its own, not by a tokenizer.json: load it by "
    "SentenceTransformer, or make a model of its vectors and a tokenizer of its words, StaticModel(vectors, tokenizer)",
    "StaticEmbedding": "A static model cannot compute what comes after it: load it by SentenceTransformer",
    "Transformer": "Make a static model of it: m2v distill {folder} OUT (pip install m2v-distill)",
}
OTHER_ADVICE = "A static model cannot compute these: load it by sentence-transformers"


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
        _check_has_table(folder)
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
    _check_has_table(place)
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
        advice = ADVICE.get(kinds[0], OTHER_ADVICE) if kinds else OTHER_ADVICE
        raise ModelFormatError(
            f"{path}: expected a StaticEmbedding, and Normalize at the most after it; found "
            f"{', '.join(kinds) or 'no module'}. {advice.format(folder=folder)}."
        )
    inner = str(modules[0].get("path", ""))
    place = folder / inner
    if not place.resolve().is_relative_to(folder.resolve()):
        raise ModelFormatError(f"{path}: expected paths inside the folder; found {inner!r}.")
    return place, len(kinds) == 2


def _check_has_table(place: Path) -> None:
    """Say what to do about a folder that has the numbers in another file."""
    if (place / TENSOR_FILE).is_file():
        return
    pickled = next((name for name in ("pytorch_model.bin", "model.bin") if (place / name).is_file()), None)
    exports = [*place.glob("*.onnx"), *place.glob("onnx/*.onnx")]
    if pickled:
        raise ModelNotFoundError(
            f"{place / TENSOR_FILE} is missing; found {pickled}, which is pickled: reading it can run code. Where that "
            f"model is trusted, SentenceTransformer({str(place)!r}).save_pretrained(OUT) writes it as safetensors."
        )
    if exports:
        export = min(exports).relative_to(place).as_posix()
        raise ModelNotFoundError(
            f"{place / TENSOR_FILE} is missing; found {export}, an ONNX export, which m2v does not read. Load "
            f"the model that it was made of, or put its {TENSOR_FILE} here; or run the export by onnxruntime."
        )
