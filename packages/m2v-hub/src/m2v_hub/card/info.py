"""What a model's folder tells about the model: its config, its tensors and its other files, but not its README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from m2v_core import Activation, Config, MLPHead, StaticModel, StaticModelPipeline
from m2v_core.errors import M2VError, ModelNotFoundError
from m2v_core.results import read_results
from m2v_core.storage.files import read_json, read_text
from m2v_core.storage.foreign import NESTED, SENTENCE_TRANSFORMERS_CONFIG
from m2v_core.storage.format import CONFIG_FILE, HEAD_FILE, MODEL_TYPE, MODULES_FILE, TENSOR_FILE, TOKENIZER_FILE
from m2v_core.tokenize.vocabulary import Vocabulary
from m2v_hub.names import COMMIT, is_repo_id
from m2v_hub.onnx_file import read_signature

TOKENIZER_CONFIG = "tokenizer_config.json"
ONNX_FILES = ("onnx/model.onnx", "model.onnx")
ONNX_INPUTS = {"input_ids", "attention_mask"}

#: Activation of a head's last layer -> what the head predicts.
TASKS = {Activation.SOFTMAX: "classes", Activation.SIGMOID: "labels", Activation.IDENTITY: "numbers"}
#: First outputs of an export by m2v, of which a pipeline's has more.
OWN_OUTPUTS = ["token_embeddings", "sentence_embedding"]
#: Name of the output that a card shows -> what it holds. model2vec's exports have one of these, and no other.
OUTPUTS = {
    "probabilities": "probabilities",
    "predictions": "numbers",
    "logits": "numbers",
    "sentence_embedding": "vectors",
    "embeddings": "vectors",
}


#: The sentences of a card's example: the second is like the first, the third is not.
EXAMPLES = ("A fine day.", "The weather is good.", "He bought a used car.")


@dataclass(frozen=True)
class HeadInfo:
    """A trained head.

    Attributes:
        task: Kind of prediction: "classes" (one per text), "labels" (any number per text) or "numbers".
        classes: Classes or labels as text; `None` for numbers.
        widths: Sizes of the input, the hidden layers and the output.
    """

    task: str
    classes: tuple[str, ...] | None
    widths: tuple[int, ...]


@dataclass(frozen=True)
class OnnxInfo:
    """An ONNX export that transformers.js can run.

    Attributes:
        file: Path of the export in the model's folder.
        output: Name of its output.
        gives: Content of the output: "vectors", "probabilities" or "numbers".
        width: Numbers per text; `None` if the file does not say.
    """

    file: str
    output: str
    gives: str
    width: int | None


@dataclass(frozen=True)
class VariantInfo:
    """A smaller model in a subfolder of the model.

    Attributes:
        name: Name of the subfolder.
        dimensions: Dimensions of a vector.
        dtype: Dtype of the table.
        bytes: Size of the arrays.
    """

    name: str
    dimensions: int
    dtype: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model as its card describes it; unknown values are `None` or empty.

    Attributes:
        name: Repository id, or the folder's name: the argument of `from_pretrained`.
        kind: "distilled", "corpus" (distilled, then fitted to texts), "head" or "onnx" (only an export).
        config: The model's config. `base_model` is a Hub id or `None`.
        subfolder: Path of the model inside its repository; `None` for the top level.
        datasets: Data sets that the model was fitted to or trained on.
        dimensions: Dimensions of a vector, D.
        tokens: Size of the vocabulary, V.
        rows: Rows of the table.
        clusters: Whether a row represents several tokens.
        weights: Whether each token has a weight.
        dtype: Dtype of the table.
        bytes: Size of the arrays, or of the file of an export.
        sentence_transformers: Whether sentence-transformers loads the model and computes the same vectors.
        folds: Whether a reader must multiply weights, clusters or int8 rows into the table: sentence-transformers 6.2.
        table_folder: Path of the table in the folder: "" or "0_StaticEmbedding"; `None` for another.
        zero_unknown: Whether the vocabulary has an unknown token whose row is all zeros.
        ours: Whether the folder has the layout of m2v and model2vec.
        head: The head, if there is one.
        onnx: The ONNX export, if there is one.
        variants: Smaller models in subfolders.
        teacher_license: Licence of the teacher, as the config has it, whatever the card's licence is.
        similarity: What the example of the card prints.
        speed: Texts a second where this was measured: `texts_per_second`, `machine`, `dataset`.
    """

    name: str
    kind: str
    config: Config
    subfolder: str | None = None
    datasets: tuple[str, ...] = ()
    dimensions: int | None = None
    tokens: int | None = None
    rows: int | None = None
    clusters: bool = False
    weights: bool = False
    dtype: str | None = None
    bytes: int | None = None
    sentence_transformers: bool = False
    folds: bool = False
    table_folder: str | None = None
    zero_unknown: bool = False
    ours: bool = True
    head: HeadInfo | None = None
    onnx: OnnxInfo | None = None
    variants: tuple[VariantInfo, ...] = ()
    teacher_license: str | None = None
    similarity: str | None = None
    speed: Mapping[str, Any] | None = None

    def variables(self) -> dict[str, Any]:
        """The variables of a template: each field by its name, and each field of the config by its own."""
        config = {field.name: getattr(self.config, field.name) for field in fields(Config) if field.name != "extra"}
        if self.kind == "onnx":
            config["normalize"] = None  # an export does not tell
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "config"}
        return config | own


def read_model_info(folder: Path, *, name: str) -> ModelInfo:
    """Describe the model in `folder`; `name` is the argument by which code loads it.

    Raises:
        ModelNotFoundError: The folder does not exist, or holds no model.
        ModelFormatError: A file is damaged; the message names it.
    """
    if not folder.is_dir():
        raise ModelNotFoundError(f"There is no folder {folder} (looked from {Path.cwd()}).")
    onnx = _read_onnx(folder)
    if onnx is not None and not any((folder / inner / TENSOR_FILE).is_file() for inner in (".", NESTED)):
        return _export(folder, name, onnx)
    head = None
    if (folder / HEAD_FILE).is_file():
        pipeline = StaticModelPipeline.from_pretrained(folder, memory_map=True, cache_bytes=0)
        model, head = pipeline.model, _describe_head(pipeline.head)
    else:
        model = StaticModel.from_pretrained(folder, memory_map=True, cache_bytes=0)
    arrays = (model.embedding, model.weights, model.token_mapping)
    ours = _is_ours(folder / CONFIG_FILE)
    folds = model.weights is not None or model.token_mapping is not None or model.embedding_dtype == "int8"
    return ModelInfo(
        name=name,
        kind="head" if head else "corpus" if model.config.distillation == "corpus" else "distilled",
        config=_publishable(model.config),
        dimensions=model.dim,
        tokens=model.n_tokens,
        rows=len(model.embedding),
        clusters=model.token_mapping is not None,
        weights=model.weights is not None,
        dtype=model.embedding_dtype,
        bytes=sum(array.nbytes for array in arrays if array is not None),
        sentence_transformers=_is_theirs(folder) and not (ours and folds),  # rule 15 of the format, for old versions
        folds=folds,
        table_folder=next((inner for inner in ("", NESTED) if (folder / inner / TENSOR_FILE).is_file()), None),
        zero_unknown=_has_zero_unknown(model),
        ours=ours,
        head=head,
        onnx=onnx,
        variants=tuple(_variants(folder)),
        teacher_license=model.config.license,
        similarity=None if head else example_similarity(model),
        speed=read_results(folder)["speed"],
    )


def example_similarity(model: StaticModel) -> str | None:
    """What the example of a card prints: the similarity of a sentence to one that is like it, and to one that is not.

    Example:
        >>> from m2v_hub.card.info import example_similarity
        >>> example_similarity(tiny_model())
        '[[0. 0.]]'
    """
    try:
        vectors = model.encode(list(EXAMPLES))
    except M2VError:  # the tokenizer cannot spell it
        return None
    found = model.similarity(vectors[:1], vectors[1:])
    return str(found.round(2)) if np.isfinite(found).all() else None


def _variants(folder: Path) -> Iterator[VariantInfo]:
    """The models in subfolders; what is no model of ours there is somebody's own."""
    for inner in sorted(folder.iterdir()):
        names = (CONFIG_FILE, TENSOR_FILE, TOKENIZER_FILE)
        if inner.name in (NESTED, "onnx") or not all((inner / name).is_file() for name in names):
            continue
        try:
            model = StaticModel.from_pretrained(inner, memory_map=True, cache_bytes=0)
        except M2VError:
            continue
        arrays = (model.embedding, model.weights, model.token_mapping)
        size = sum(array.nbytes for array in arrays if array is not None)
        yield VariantInfo(inner.name, model.dim, model.embedding_dtype, size)


def _publishable(config: Config) -> Config:
    """The config with empty values in place of unknown collections, and a base model only if it is a Hub id."""
    name = hub_id(config.base_model, config.base_model_revision)
    return replace(
        config,
        base_model=name,
        base_model_revision=config.base_model_revision if name else None,
        language=config.language or (),
        distillation_settings=config.distillation_settings or {},
        package_versions=config.package_versions or {},
    )


def hub_id(name: str | None, revision: str | None) -> str | None:
    """A teacher's name, if it is an id on the Hub: `org/name`, or any name with a known commit.

    A name without an organisation may also be the name of a folder, or of a class.

    Example:
        >>> from m2v_hub.card.info import hub_id
        >>> hub_id("org/name", None), hub_id("my-folder", None)
        ('org/name', None)
    """
    if name is None or not is_repo_id(name):
        return None
    return name if "/" in name or COMMIT.fullmatch(revision or "") else None


def _is_theirs(folder: Path) -> bool:
    return any((folder / file).is_file() for file in (MODULES_FILE, SENTENCE_TRANSFORMERS_CONFIG))


def _has_zero_unknown(model: StaticModel) -> bool:
    return (
        model.unk_token_id is not None and model.token_mapping is None and not model.embedding[model.unk_token_id].any()
    )


def _is_ours(config: Path) -> bool:
    return config.is_file() and read_json(config).get("model_type", MODEL_TYPE) == MODEL_TYPE


def _describe_head(head: MLPHead) -> HeadInfo:
    widths = (*(layer.weight.shape[1] for layer in head.layers[:1]), *(len(layer.weight) for layer in head.layers))
    return HeadInfo(TASKS[head.activation], None if head.classes_ is None else tuple(map(str, head.classes_)), widths)


def _read_onnx(folder: Path) -> OnnxInfo | None:
    """The ONNX export in a folder, if transformers.js can run it: it needs tokenizer files and these inputs."""
    file = next((file for file in ONNX_FILES if (folder / file).is_file()), None)
    if file is None or not all((folder / name).is_file() for name in (CONFIG_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG)):
        return None
    inputs, outputs = read_signature(folder / file)
    given = {value.name: value for value in outputs}
    if {value.name for value in inputs} != ONNX_INPUTS or (len(given) > 1 and list(given)[:2] != OWN_OUTPUTS):
        return None
    output = next((given[name] for name in OUTPUTS if name in given), None)
    return None if output is None else OnnxInfo(file, output.name, OUTPUTS[output.name], output.shape[-1])


def _export(folder: Path, name: str, onnx: OnnxInfo) -> ModelInfo:
    """An export without its model; that of m2v has the model's config."""
    vocabulary = Vocabulary.from_json(read_text(folder / TOKENIZER_FILE), str(folder / TOKENIZER_FILE))
    limit = read_json(folder / TOKENIZER_CONFIG).get("model_max_length")
    config = Config(max_length=limit if type(limit) is int and 0 < limit < 2**31 else None)
    raw = read_json(folder / CONFIG_FILE)
    if "max_length" in raw:  # the tokenizer's is larger, because it counts unknown tokens
        config = Config.from_json(raw, str(folder / CONFIG_FILE))
    return ModelInfo(
        name=name,
        kind="onnx",
        config=_publishable(config),
        dimensions=onnx.width if onnx.gives == "vectors" else None,
        tokens=len(vocabulary.tokens),
        bytes=(folder / onnx.file).stat().st_size,
        ours=False,
        onnx=onnx,
        teacher_license=config.license,
    )
