"""Folders with a model as an ONNX file, its tokenizer, and the settings that other programs read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.head import Activation, MLPHead
from m2v_core.model import StaticModel
from m2v_core.onnx.graph import graph_of
from m2v_core.onnx.tokenizer import ExportedTokenizer, exported_tokenizer
from m2v_core.pipeline import StaticModelPipeline, load
from m2v_core.storage.atomic import check_output, replaced_folder
from m2v_core.storage.compile import compile_vocabulary
from m2v_core.storage.exchange import copy_linked
from m2v_core.storage.files import check_is_finished, json_bytes, read_json, write_json
from m2v_core.storage.format import CONFIG_FILE, OWNED_FILES, TENSOR_FILE, TOKENIZER_FILE, VOCABULARY_FILE

#: Where the Hub and transformers.js expect the file.
ONNX_FILE = "onnx/model.onnx"

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"

#: A class of transformers.js whose text classification takes ids and a mask. It has none of static models.
_CLASSIFIER = "bert"

#: A browser would ask for `model_quantized.onnx` otherwise.
_TRANSFORMERS_JS = {"transformers.js_config": {"dtype": "fp32"}}


def export_onnx(
    model: StaticModel | StaticModelPipeline,
    path: str | os.PathLike[str],
    *,
    form: str = "tokens",
    file: str = ONNX_FILE,
    special_tokens: bool = False,
) -> None:
    """Write a model, or a pipeline with its head, as a folder for onnxruntime, fastembed and transformers.js.

    The folder gets `onnx/model.onnx`, `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and
    `config.json`; other files stay, except for those in its folder `onnx`. The exported tokenizer adds a token to each
    text that the graph leaves out; see `docs/exporting.md`.

    Args:
        model: The model or pipeline. Its table keeps its dtype, but float64 becomes float32.
        path: The folder.
        form: Inputs and outputs: tokens, offsets or model2vec; see `onnx_model`.
        file: Path of the ONNX file in the folder.
        special_tokens: Whether the exported tokenizer keeps its own special tokens, which then count in the mean.

    Raises:
        InvalidInputError: The form is unknown, the folder holds a model, the model is larger than 2 GB, or its
            tokenizer has a form that only tokenizers 1.x reads.
        MissingPackageError: onnx is not installed.
        OSError: The folder cannot be written.

    Example:
        >>> from pathlib import Path
        >>> export_onnx(tiny_model(), "exported")
        >>> sorted(path.name for path in Path("exported").rglob("*.*"))
        ['config.json', 'model.onnx', 'special_tokens_map.json', 'tokenizer.json', 'tokenizer_config.json']
    """
    folder = checks.path("path", path)
    check_output(folder, folder=True)
    if (folder / TENSOR_FILE).exists():
        raise InvalidInputError(
            f"Expected a folder for the export; found a model in {folder}, whose {CONFIG_FILE} and {TOKENIZER_FILE} it "
            f"would replace. Choose another folder."
        )
    static, head = (model.model, model.head) if isinstance(model, StaticModelPipeline) else (model, None)
    tokenizer = exported_tokenizer(static.stored.tokenizer_json, static.max_length, special_tokens=special_tokens)
    content = graph_of(model, form, filler_id=tokenizer.filler["id"]).SerializeToString()
    config = {**replace(static.config, extra={}).to_json(), **_head_settings(head)}
    _write(folder, file, content, tokenizer, config)


def add_onnx(folder: str | os.PathLike[str]) -> None:
    """Write `onnx/model.onnx` into the folder of a model, with the other files that programs need to run it.

    The folder stays a model, for all libraries: its `tokenizer.json` gets another post-processor, which none of them
    uses, and its `config.json` more keys. A compiled vocabulary is compiled again. In a vocabulary without a special
    unknown token, texts are padded with another special token, which the graph then leaves out of every text.

    Raises:
        InvalidInputError: The vocabulary has no special token, the model is larger than 2 GB, or the folder is in
            another layout.
        ModelFormatError: A save into the folder was interrupted.
        MissingPackageError: onnx is not installed.
        OSError: The folder cannot be written.
    """
    folder = checks.path("folder", folder)
    check_is_finished(folder)
    model = load(folder, cache_bytes=0)
    static = model.model if isinstance(model, StaticModelPipeline) else model
    for name in (CONFIG_FILE, TOKENIZER_FILE):
        if not (folder / name).is_file():
            raise InvalidInputError(f"{folder} holds a model in another layout: no {name}. Load it, and save it.")
    tokenizer = exported_tokenizer(static.stored.tokenizer_json, static.max_length, shared=True)
    content = graph_of(model, "tokens", filler_id=tokenizer.filler["id"]).SerializeToString()
    _write(folder, ONNX_FILE, content, tokenizer, read_json(folder / CONFIG_FILE))
    if (folder / VOCABULARY_FILE).is_file():
        compile_vocabulary(folder)


def _write(folder: Path, file: str, content: bytes, tokenizer: ExportedTokenizer, config: dict[str, Any]) -> None:
    """Write the files of an export in one step; others stay, except for those beside the ONNX file in its folder."""
    owned = {CONFIG_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, SPECIAL_TOKENS_FILE, Path(file).parts[0]}
    kept = OWNED_FILES - owned
    with replaced_folder(folder, owned=owned | kept, last=CONFIG_FILE) as staging:
        for name in kept:  # so that the staging folder is a whole model, if the folder is one
            copy_linked(folder / name, staging / name)
        (staging / file).parent.mkdir(exist_ok=True)
        (staging / file).write_bytes(content)
        (staging / TOKENIZER_FILE).write_bytes(json_bytes(tokenizer.json))
        write_json(staging / TOKENIZER_CONFIG_FILE, tokenizer.config)
        write_json(staging / SPECIAL_TOKENS_FILE, tokenizer.special_tokens_map)
        write_json(staging / CONFIG_FILE, {**config, "pad_token_id": tokenizer.filler["id"], **_TRANSFORMERS_JS})


def _head_settings(head: MLPHead | None) -> dict[str, Any]:
    """What text classification of transformers and transformers.js reads."""
    if head is None or head.classes_ is None:
        return {}
    names = [str(name) for name in head.classes_.tolist()]
    several = head.activation is Activation.SIGMOID
    return {
        "model_type": _CLASSIFIER,
        "problem_type": "multi_label_classification" if several else "single_label_classification",
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }
