"""What a model's folder tells of it: its config, its tensors, and which files lie beside them. Never its README."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from m2v_core import Activation, MLPHead, StaticModel, StaticModelPipeline
from m2v_core.errors import ModelNotFoundError
from m2v_core.storage.files import read_json, read_text
from m2v_core.storage.foreign import NESTED, SENTENCE_TRANSFORMERS_CONFIG
from m2v_core.storage.format import CONFIG_FILE, HEAD_FILE, MODEL_TYPE, MODULES_FILE, TENSOR_FILE, TOKENIZER_FILE
from m2v_core.tokenize.vocabulary import Vocabulary
from m2v_hub.onnx_file import read_signature

TOKENIZER_CONFIG = "tokenizer_config.json"
ONNX_FILES = ("onnx/model.onnx", "model.onnx")
ONNX_INPUTS = {"input_ids", "attention_mask"}
COMMIT = re.compile("[0-9a-f]{40}")

#: What a head's activation makes it.
TASKS = {Activation.SOFTMAX: "classes", Activation.SIGMOID: "labels", Activation.IDENTITY: "numbers"}
#: What model2vec's exports call their output.
OUTPUTS = {"embeddings": "vectors", "probabilities": "probabilities", "predictions": "numbers"}


@dataclass(frozen=True)
class Head:
    """A trained head.

    Attributes:
        task: "classes" (one for each text), "labels" (any number of them) or "numbers".
        classes: Its classes or labels, as text; `None` for numbers.
        widths: Of its input, its hidden layers and its output.
    """

    task: str
    classes: tuple[str, ...] | None
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Onnx:
    """An export that transformers.js can run.

    Attributes:
        file: Where it lies in the folder.
        output: The name of its output.
        gives: "vectors", "probabilities" or "numbers".
        width: How many numbers it gives for a text.
    """

    file: str
    output: str
    gives: str
    width: int | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is known of a model. What is not known is `None`, or empty.

    Attributes:
        name: The repository's id, or the folder's name: what code loads it by.
        subfolder: The model's place in the repository, if it is not the repository itself.
        kind: "distilled", "corpus" (distilled, and fitted to texts), "head" or "onnx" (an export alone).
        base_model: The teacher.
        base_model_id: The teacher's id on the Hub, if it is one.
        base_model_revision: The teacher's commit on the Hub.
        language: Language codes.
        license: A licence.
        datasets: Data sets that it was fitted to or trained on.
        dimensions: D, of its vectors.
        tokens: V, of its vocabulary.
        rows: Rows of its table.
        clusters: Whether a row stands for several tokens.
        weights: Whether each token has a weight.
        dtype: Of its table.
        bytes: Of its arrays, or of the file of an export.
        normalize: Whether vectors have length 1.
        max_length: Tokens of a text that count.
        pooling: How the teacher's outputs became one vector.
        pca: The `pca_dims` of the distillation.
        sif_coefficient: *a* of the tokens' weights.
        method: "token", "composed" or "corpus".
        settings: What else decided on the table.
        versions: What made it: package -> version.
        sentence_transformers: Whether it loads there.
        zero_unknown: Whether there is an unknown token, with a row of zeros.
        ours: Whether it has m2v's (and model2vec's) own layout.
        head: Its head.
        onnx: Its export to ONNX.
    """

    name: str
    kind: str
    subfolder: str | None = None
    base_model: str | None = None
    base_model_id: str | None = None
    base_model_revision: str | None = None
    language: tuple[str, ...] = ()
    license: str | None = None
    datasets: tuple[str, ...] = ()
    dimensions: int | None = None
    tokens: int | None = None
    rows: int | None = None
    clusters: bool = False
    weights: bool = False
    dtype: str | None = None
    bytes: int | None = None
    normalize: bool | None = None
    max_length: int | None = None
    pooling: str | None = None
    pca: int | float | str | None = None
    sif_coefficient: float | None = None
    method: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    sentence_transformers: bool = False
    zero_unknown: bool = False
    ours: bool = True
    head: Head | None = None
    onnx: Onnx | None = None


def read_facts(folder: Path, *, name: str) -> Facts:
    """What `folder` tells; `name` is what code loads the model by.

    Raises:
        ModelNotFoundError: There is no such folder, or no model in it.
        ModelFormatError: A file is damaged; the message names it.
    """
    if not folder.is_dir():
        raise ModelNotFoundError(f"There is no folder {folder} (looked from {Path.cwd()}).")
    onnx = _read_onnx(folder)
    if onnx is not None and not any((folder / place / TENSOR_FILE).is_file() for place in (".", NESTED)):
        return _export(folder, name, onnx)
    head = None
    if (folder / HEAD_FILE).is_file():
        pipeline = StaticModelPipeline.from_pretrained(folder, memory_map=True, cache_bytes=0)
        model, head = pipeline.model, _head_of(pipeline.head)
    else:
        model = StaticModel.from_pretrained(folder, memory_map=True, cache_bytes=0)
    config, arrays = model.config, (model.embedding, model.weights, model.token_mapping)
    return Facts(
        name=name,
        kind="head" if head else "corpus" if config.distillation == "corpus" else "distilled",
        base_model=config.base_model,
        base_model_id=hub_id(config.base_model, config.base_model_revision),
        base_model_revision=config.base_model_revision,
        language=config.language or (),
        license=config.license,
        dimensions=model.dim,
        tokens=model.n_tokens,
        rows=len(model.embedding),
        clusters=model.token_mapping is not None,
        weights=model.weights is not None,
        dtype=model.embedding_dtype,
        bytes=sum(array.nbytes for array in arrays if array is not None),
        normalize=config.normalize,
        max_length=config.max_length,
        pooling=config.pooling,
        pca=config.apply_pca,
        sif_coefficient=config.sif_coefficient,
        method=config.distillation,
        settings=config.distillation_settings or {},
        versions=config.package_versions or {},
        sentence_transformers=_loads_there(folder, model),
        zero_unknown=_has_zero_unknown(model),
        ours=_is_ours(folder / CONFIG_FILE),
        head=head,
        onnx=onnx,
    )


def hub_id(name: str | None, revision: str | None) -> str | None:
    """The teacher's id on the Hub, if its name is one: `org/name`, or any name that a commit there is known of.

    A name without an organisation may as well be that of a folder.

    Example:
        >>> hub_id("org/name", None), hub_id("my-folder", None)
        ('org/name', None)
    """
    if name is None or ("/" not in name and not COMMIT.fullmatch(revision or "")):
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def _loads_there(folder: Path, model: StaticModel) -> bool:
    """Whether sentence-transformers has a folder's vectors: old versions know neither weights nor clusters nor int8."""
    if model.weights is not None or model.token_mapping is not None or model.embedding_dtype == "int8":
        return False
    return any((folder / file).is_file() for file in (MODULES_FILE, SENTENCE_TRANSFORMERS_CONFIG))


def _has_zero_unknown(model: StaticModel) -> bool:
    return (
        model.unk_token_id is not None and model.token_mapping is None and not model.embedding[model.unk_token_id].any()
    )


def _is_ours(config: Path) -> bool:
    return config.is_file() and read_json(config).get("model_type", MODEL_TYPE) == MODEL_TYPE


def _head_of(head: MLPHead) -> Head:
    widths = (*(layer.weight.shape[1] for layer in head.layers[:1]), *(len(layer.weight) for layer in head.layers))
    return Head(TASKS[head.activation], None if head.classes_ is None else tuple(map(str, head.classes_)), widths)


def _read_onnx(folder: Path) -> Onnx | None:
    """The export of a folder, if it is one that transformers.js runs: with a tokenizer's files, and these inputs."""
    file = next((file for file in ONNX_FILES if (folder / file).is_file()), None)
    if file is None or not all((folder / name).is_file() for name in (CONFIG_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG)):
        return None
    inputs, outputs = read_signature(folder / file)
    if {value.name for value in inputs} != ONNX_INPUTS or [value.name for value in outputs][1:]:
        return None
    (output,) = outputs
    return Onnx(file, output.name, OUTPUTS[output.name], output.shape[-1]) if output.name in OUTPUTS else None


def _export(folder: Path, name: str, onnx: Onnx) -> Facts:
    """An export alone, as model2vec writes it: of its model it tells little."""
    vocabulary = Vocabulary.from_json(read_text(folder / TOKENIZER_FILE), str(folder / TOKENIZER_FILE))
    limit = read_json(folder / TOKENIZER_CONFIG).get("model_max_length")
    return Facts(
        name=name,
        kind="onnx",
        dimensions=onnx.width if onnx.gives == "vectors" else None,
        tokens=len(vocabulary.tokens),
        bytes=(folder / onnx.file).stat().st_size,
        max_length=limit if type(limit) is int and limit < 2**31 else None,
        ours=False,
        onnx=onnx,
    )
