"""What a model is on disk: THE definition of file names, tensor names and dtypes, with the reader and the writer.

A model is a folder; `docs/format.md` says the same in prose, rule by rule. Nothing else in m2v names a file or a
tensor of a model, but `head_format` those of a head. Other layouts are read by `foreign` into the same `StoredModel`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from m2v_core import checks
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.head import MLPHead
from m2v_core.storage.files import read_json, read_tensors, read_text, write_json
from m2v_core.storage.head_format import HEAD_CONFIG, head_config, head_tensors
from m2v_core.storage.narrow import NARROW_DTYPES

CONFIG_FILE = "config.json"
TENSOR_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
MODULES_FILE = "modules.json"
HEAD_FILE = "head.safetensors"

EMBEDDINGS = "embeddings"
WEIGHTS = "weights"
MAPPING = "mapping"

MODEL_TYPE = "model2vec"
DEFAULT_MAX_LENGTH = 512
TOKENIZER_VERSION = "1.0"

#: safetensors' name of a dtype -> numpy's, for the tensors of a model.
EMBEDDING_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64", "I8": "int8"}
WEIGHT_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}
MAPPING_DTYPES = {"I32": "int32", "I64": "int64", "U16": "uint16", "U32": "uint32"}

#: What is read too, as float32: dtypes that numpy does not have.
READ_EMBEDDING_DTYPES = EMBEDDING_DTYPES | NARROW_DTYPES
READ_WEIGHT_DTYPES = WEIGHT_DTYPES | NARROW_DTYPES

#: Keys that other writers store although they follow from the tensors, or that belong to a head.
DERIVED_KEYS = frozenset({"hidden_dim", "embedding_dtype", "vocabulary_quantization", "seq_length", HEAD_CONFIG})

#: Files that a save owns: one of them that a new save does not write is removed with the old model.
OWNED_FILES = frozenset({CONFIG_FILE, TENSOR_FILE, TOKENIZER_FILE, MODULES_FILE, HEAD_FILE})

#: What older versions of model2vec kept a head in: objects of scikit-learn, which core does not load.
LEGACY_HEAD_FILE = "pipeline.skops"

#: sentence-transformers' modules, by the names that every version since 2.0 resolves.
STATIC_MODULE = {"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}
NORMALIZE_MODULE = {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """All that a model knows of itself, as `config.json` holds it.

    Attributes:
        normalize: Whether `encode` scales vectors to unit length (L2).
        max_length: Tokens of a text that count; `None` for all of them.
        base_model: The teacher: a Hub id, or the name of its folder.
        language: ISO 639 codes of the languages that the teacher was made for.
        license: SPDX identifier inherited from the teacher; `None` if it names none.
        pooling: How the teacher's outputs became one vector: mean, first, last or pooler.
        apply_pca: The `pca_dims` of the distillation.
        sif_coefficient: The `a` of SIF weighting, `None` if the tokens are not weighted.
        distillation: How the table was made: "token" (each token through the teacher alone), "composed" (fitted to
            random groups of tokens), "corpus" (fitted to texts).
        base_model_revision: The teacher's commit on the Hub.
        distillation_settings: What else decided on the table: option -> plain value.
        package_versions: What made it: package -> version.
        extra: Keys that m2v does not know; kept as they are.

    Example:
        >>> config = Config.from_json({"model_type": "model2vec", "normalize": True})
        >>> config.normalize, config.max_length
        (True, 512)
        >>> config.to_json()["max_length"]
        512
    """

    normalize: bool = False
    max_length: int | None = DEFAULT_MAX_LENGTH
    base_model: str | None = None
    language: tuple[str, ...] | None = None
    license: str | None = None
    pooling: str | None = None
    apply_pca: int | float | str | None = None
    sif_coefficient: float | None = None
    distillation: str | None = None
    base_model_revision: str | None = None
    distillation_settings: Mapping[str, Any] | None = None
    package_versions: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.whole("max_length", self.max_length, 1, or_none=True)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], where: str = CONFIG_FILE) -> Config:
        """Check and take over the content of a `config.json`; `where` names the file in errors.

        Raises:
            ModelFormatError: A known key holds a value of the wrong kind.
        """
        known: dict[str, Any] = {}
        for key, (kinds, expected) in _KINDS.items():
            if key not in raw or (raw[key] is None and key != "max_length"):
                continue
            value = raw[key]
            if key == "language" and isinstance(value, list) and all(isinstance(code, str) for code in value):
                value = tuple(value)
            elif key == "language" and isinstance(value, str):
                value = (value,)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise ModelFormatError(f'{where}: "{key}" should be {expected}, found {value!r}.')
            known[key] = value
        name = raw.get("tokenizer_name")  # where model2vec keeps the teacher: a Hub id, or a path on its machine
        if "base_model" not in known and isinstance(name, str) and name and not Path(name).is_absolute():
            known["base_model"] = name
        ours = {*_KINDS, *_FIXED, *DERIVED_KEYS, "tokenizer_name"}
        extra = {key: value for key, value in raw.items() if key not in ours}
        try:
            return cls(**known, extra=extra)
        except InvalidInputError as error:
            raise ModelFormatError(f"{where}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """The content of `config.json`; what is unknown (`None`) is left out, but for `max_length`."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        if self.language is not None:
            own["language"] = list(self.language)
        stated = {k: v for k, v in own.items() if v is not None or k == "max_length"}
        return {**_FIXED, **stated, **self.extra}


_FIXED: Mapping[str, Any] = {"model_type": MODEL_TYPE, "architectures": ["StaticModel"]}
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "normalize": ((bool,), "true or false"),
    "max_length": ((int, type(None)), "a whole number of tokens, or null"),
    "base_model": ((str,), "a string"),
    "language": ((tuple,), "a language code or a list of them"),
    "license": ((str,), "a string"),
    "pooling": ((str,), "a string"),
    "apply_pca": ((int, float, str), "a number or a string"),
    "sif_coefficient": ((int, float), "a number"),
    "distillation": ((str,), "a string"),
    "base_model_revision": ((str,), "a string"),
    "distillation_settings": ((dict,), "an object"),
    "package_versions": ((dict,), "an object"),
}


@dataclass(frozen=True)
class StoredModel:
    """A model as it is stored: arrays, the text of `tokenizer.json`, and the config.

    Attributes:
        embeddings: [R, D] float16, float32, float64 or int8; R is the vocabulary's size, or the number of clusters.
        tokenizer_json: The text of `tokenizer.json`.
        config: What the model knows of itself.
        weights: [V] float, a factor for each token id; `None` for ones.
        mapping: [V] integers, token id to row of `embeddings`; `None` for the identity.
    """

    embeddings: NDArray[Any]
    tokenizer_json: str
    config: Config
    weights: NDArray[Any] | None = None
    mapping: NDArray[Any] | None = None


def check_arrays(
    embeddings: NDArray[Any],
    weights: NDArray[Any] | None,
    mapping: NDArray[Any] | None,
    n_tokens: int,
    where: str,
) -> None:
    """Raise `ModelFormatError` unless the arrays fit each other and the tokens; `where` names their source."""
    if embeddings.ndim != 2 or embeddings.shape[1] < 1:
        raise ModelFormatError(f"{where}: embeddings should have shape [rows, dimensions], found {embeddings.shape}.")
    if embeddings.dtype.name not in EMBEDDING_DTYPES.values():
        allowed = ", ".join(EMBEDDING_DTYPES.values())
        raise ModelFormatError(f"{where}: embeddings should be one of {allowed}; found {embeddings.dtype.name}.")
    n_rows = embeddings.shape[0]
    if mapping is None and n_tokens != n_rows:
        raise ModelFormatError(
            f"{where}: the tokenizer has {n_tokens} tokens, but embeddings has {n_rows} rows. Each token id needs a "
            f"row of its own (or a mapping): the tokenizer and the table do not belong together."
        )
    for name, array, dtypes in ((WEIGHTS, weights, WEIGHT_DTYPES), (MAPPING, mapping, MAPPING_DTYPES)):
        if array is not None and (array.shape != (n_tokens,) or array.dtype.name not in dtypes.values()):
            raise ModelFormatError(
                f"{where}: {name} should hold {n_tokens} values, one for each token, as {', '.join(dtypes.values())}; "
                f"found shape {array.shape} and dtype {array.dtype.name}."
            )
    if mapping is not None and n_tokens and not (int(mapping.min()) >= 0 and int(mapping.max()) < n_rows):
        raise ModelFormatError(
            f"{where}: mapping should point to rows 0 to {n_rows - 1}; "
            f"found values from {int(mapping.min())} to {int(mapping.max())}."
        )


# --- version 1 of the format: read and write, side by side -----------------------------------------------------


def read(folder: Path, *, memory_map: bool = False) -> StoredModel:
    """Read a model folder in m2v's (and model2vec's) own layout; with `memory_map` the table stays in its file.

    Raises:
        ModelNotFoundError: One of the three files is missing.
        ModelFormatError: One of them is damaged.
    """
    config = Config.from_json(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
    tensors = read_tensors(
        folder / TENSOR_FILE,
        required={EMBEDDINGS: READ_EMBEDDING_DTYPES},
        optional={WEIGHTS: READ_WEIGHT_DTYPES, MAPPING: MAPPING_DTYPES},
        mapped=(EMBEDDINGS,) if memory_map else (),
    )
    mapping = tensors.get(MAPPING)
    if mapping is not None and np.array_equal(mapping, np.arange(len(tensors[EMBEDDINGS]))):
        mapping = None
    return StoredModel(
        embeddings=tensors[EMBEDDINGS],
        tokenizer_json=read_text(folder / TOKENIZER_FILE),
        config=config,
        weights=tensors.get(WEIGHTS),
        mapping=mapping,
    )


def write(
    stored: StoredModel, folder: Path, *, unk_id: int | None, has_unused: bool = False, head: MLPHead | None = None
) -> None:
    """Write a model folder in one step: a reader, or a crash, sees the whole old model or the whole new one.

    Files of the folder that are not part of a model (a README, say) stay. The head of an old model does not: it was
    trained on another table. Without a new `head` there is a warning of that.

    Where it `has_unused` ids, which no token has, each id is mapped to its own row: without a mapping model2vec wants
    as many rows as tokens.
    """
    import shutil  # only saving needs these, and they take memory

    from m2v_core.storage.atomic import replaced_folder

    mapping = stored.mapping
    if mapping is None and has_unused:
        mapping = np.arange(len(stored.embeddings), dtype=np.int32)
    arrays = {EMBEDDINGS: stored.embeddings, WEIGHTS: stored.weights, MAPPING: mapping}
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
    tokenizer = tokenizer_for_other_readers(stored.tokenizer_json, stored.config.max_length)
    config = stored.config.to_json() | ({} if head is None else {HEAD_CONFIG: head_config(head)})
    if head is None and (folder / HEAD_FILE).is_file():
        warnings.warn(
            f"{folder} holds a trained head, which this save removes: a static model has none. To keep it, load and "
            f"save the folder by StaticModelPipeline, or save to another folder.",
            stacklevel=4,
        )
    with replaced_folder(folder, owned=OWNED_FILES, last=CONFIG_FILE) as staging:
        save_file(tensors, staging / TENSOR_FILE)
        (staging / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
        if sentence_transformers_agrees(stored, unk_id):
            modules = [STATIC_MODULE, NORMALIZE_MODULE] if stored.config.normalize else [STATIC_MODULE]
            write_json(staging / MODULES_FILE, modules)
        if head is not None:
            save_file(head_tensors(head), staging / HEAD_FILE)
        write_json(staging / CONFIG_FILE, config)
        for file in staging.glob("*.safetensors"):  # which are private to the user; a model is as public as its config
            shutil.copymode(staging / CONFIG_FILE, file)


def tokenizer_for_other_readers(tokenizer_json: str, max_length: int | None) -> str:
    """`tokenizer.json` with truncation at `max_length` and no padding, as readers that obey it need it.

    Raises:
        InvalidInputError: It has a form that only tokenizers 1.x reads.
    """
    raw = json.loads(tokenizer_json)
    if raw.get("version", TOKENIZER_VERSION) != TOKENIZER_VERSION:
        raise InvalidInputError(
            f"A saved model needs a tokenizer.json of version {TOKENIZER_VERSION}, which every reader knows; found "
            f"version {raw['version']}, as tokenizers 1.x keeps in memory. Make the model of the file instead of the "
            f"object: StaticModel(vectors, Path('tokenizer.json'))."
        )
    raw["padding"] = None
    raw["truncation"] = max_length and {
        "direction": "Right",
        "max_length": max_length,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    return json.dumps(raw, ensure_ascii=False, separators=(",", ":"))


def sentence_transformers_agrees(stored: StoredModel, unk_id: int | None) -> bool:
    """Whether sentence-transformers, old or new, computes the same vectors from this model.

    It averages the rows of all ids, the unknown token's among them, and versions before 6 ignore `weights` and
    `mapping`. So both must be absent, and the unknown token must be impossible, or a zero row whose only effect,
    a larger divisor, is undone by normalisation.
    """
    if stored.weights is not None or stored.mapping is not None or stored.embeddings.dtype == np.int8:
        return False
    return unk_id is None or (stored.config.normalize and not stored.embeddings[unk_id].any())
