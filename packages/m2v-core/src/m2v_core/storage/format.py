"""The format of a model on disk: file names, tensor names and dtypes, the config, the reader and the writer.

A model is a folder; `docs/format.md` describes it in prose, rule by rule. Only this module names the files and tensors
of a model, and only `head_format` those of a head. `foreign` reads other layouts into the same `StoredModel`.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.storage.files import SAVE_ID, json_bytes, read_json, read_tensors, read_text, write_json, write_tensors
from m2v_core.storage.head_format import HEAD_CONFIG, head_config, head_tensors, save_id_of
from m2v_core.storage.narrow import NARROW_DTYPES
from m2v_core.vectors import as_ranges

if TYPE_CHECKING:
    from m2v_core.head import MLPHead
    from m2v_core.tokenize.compiled import CompiledTokenizer

CONFIG_FILE = "config.json"
TENSOR_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
MODULES_FILE = "modules.json"
HEAD_FILE = "head.safetensors"
VOCABULARY_FILE = "vocabulary.safetensors"
RESULTS_FILE = "m2v_results.json"

EMBEDDINGS = "embeddings"
WEIGHTS = "weights"
MAPPING = "mapping"
RANGES = "ranges"

MODEL_TYPE = "model2vec"
DEFAULT_MAX_LENGTH = 512
TOKENIZER_VERSION = "1.0"

#: What the similarity of two vectors may be.
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

#: dtypes of a model's tensors: name in safetensors -> name in numpy.
EMBEDDING_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64", "I8": "int8"}
WEIGHT_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}
RANGE_DTYPES = {"F32": "float32"}
MAPPING_DTYPES = {"I32": "int32", "I64": "int64", "U16": "uint16", "U32": "uint32"}

#: dtypes that can be read; those that numpy does not have are read as float32.
READ_EMBEDDING_DTYPES = EMBEDDING_DTYPES | NARROW_DTYPES
READ_WEIGHT_DTYPES = WEIGHT_DTYPES | NARROW_DTYPES

#: Keys that are not part of a `Config`: other writers store them although they follow from the tensors, they describe a
#: head, or the save.
DERIVED_KEYS = frozenset(
    {"hidden_dim", "embedding_dtype", "vocabulary_quantization", "seq_length", HEAD_CONFIG, SAVE_ID}
)

#: Files of a model: a save removes those that it does not write.
OWNED_FILES = frozenset({CONFIG_FILE, TENSOR_FILE, TOKENIZER_FILE, MODULES_FILE, HEAD_FILE, VOCABULARY_FILE})

#: The file that a save replaces last, and that of folders in another layout.
LAST_FILES = (CONFIG_FILE, MODULES_FILE)

#: Head of older versions of model2vec, as objects of scikit-learn, which core does not load.
LEGACY_HEAD_FILE = "pipeline.skops"

#: Modules of sentence-transformers, by names that every version since 2.0 resolves.
STATIC_MODULE = {"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}
NORMALIZE_MODULE = {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}


#: Annotation of a field of `Config` -> the types that its value may have, and their description in errors.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int | None": ((int,), "a whole number of tokens, or null"),
    "float | None": ((int, float), "a number"),
    "str | None": ((str,), "a string"),
    "int | float | str | None": ((int, float, str), "a number or a string"),
    "tuple[str, ...] | None": ((tuple,), "a language code or a list of them"),
    "Mapping[str, str] | None": ((Mapping,), "a mapping with a text for each name"),
    "Mapping[str, Any] | None": ((Mapping,), "an object"),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings and origin of a model, as `config.json` holds them.

    Attributes:
        normalize: Whether `encode` scales vectors to unit length (L2).
        max_length: Number of tokens at which a text is truncated; `None` for no limit. A number that no machine can
            count to, such as transformers' int(1e30), becomes `None`.
        prompts: Texts that `encode_query` and `encode_document` put before a text, by name; `None` for none.
        similarity_fn_name: What `similarity` computes: cosine, dot, euclidean or manhattan; `None` for cosine.
        base_model: Teacher: a Hub id, or the name of its folder.
        language: ISO 639 codes of the teacher's languages.
        license: SPDX identifier inherited from the teacher; `None` if it names none.
        pooling: Pooling of the teacher's outputs: mean, first, last or pooler.
        apply_pca: The `pca_dims` of the distillation.
        sif_coefficient: The `a` of SIF weighting; `None` if the tokens are not weighted.
        distillation: Method of the distillation: "token" (the teacher's vector of each token alone), "composed"
            (fitted to random groups of tokens), "corpus" (fitted to texts).
        base_model_revision: Commit of the teacher on the Hub.
        distillation_settings: Other settings of the distillation, by option.
        package_versions: Versions of the packages that made the model, by package.
        extra: Keys that m2v does not know; they are kept.

    Raises:
        InvalidInputError: A value is of the wrong kind, or no JSON: what can be made can be saved, and loaded again.

    Example:
        >>> config = Config.from_json({"model_type": "model2vec", "normalize": True})
        >>> config.normalize, config.max_length
        (True, 512)
        >>> config.to_json()["max_length"]
        512
    """

    normalize: bool = False
    max_length: int | None = DEFAULT_MAX_LENGTH
    prompts: Mapping[str, str] | None = None
    similarity_fn_name: str | None = None
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
        if type(self.max_length) is int and self.max_length > sys.maxsize:
            object.__setattr__(self, "max_length", None)
        checks.whole("max_length", self.max_length, 1, or_none=True)
        for f in _fields():
            value = getattr(self, f.name)
            if value is not None:
                checks.expect(_is_of_kind(f, value), f.name, _KINDS[str(f.type)][1], value)
        _check_prompts(self.prompts)
        checks.expect(isinstance(self.extra, Mapping), "extra", "a mapping", self.extra)
        for name in ("distillation_settings", "package_versions", "extra"):
            _check_json(name, getattr(self, name))
        if known := sorted({f.name for f in _fields()} & set(self.extra)):
            raise InvalidInputError(f"extra should hold keys that m2v does not know; found {', '.join(known)}.")
        checks.one_of("similarity_fn_name", self.similarity_fn_name, SIMILARITIES, or_none=True)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], where: str = CONFIG_FILE) -> Config:
        """Read and check the content of a `config.json`; `where` names the file in errors.

        Raises:
            ModelFormatError: A known key holds a value of the wrong kind.
        """
        known: dict[str, Any] = {}
        for f in _fields():
            if raw.get(f.name) is not None:
                known[f.name] = _checked(f, raw[f.name], where)
            elif f.name in raw and "None" in str(f.type):
                known[f.name] = None
        name = raw.get("tokenizer_name")  # where model2vec keeps the teacher: a Hub id, or a path on its machine
        if known.get("base_model") is None and isinstance(name, str) and name and not Path(name).is_absolute():
            known["base_model"] = name
        ours = {*(f.name for f in _fields()), *_FIXED, *DERIVED_KEYS, "tokenizer_name"}
        extra = {key: value for key, value in raw.items() if key not in ours}
        try:
            return cls(**known, extra=extra)
        except InvalidInputError as error:
            raise ModelFormatError(f"{where}: {error}") from None

    def by_name(self) -> dict[str, Any]:
        """The values of all fields by their names in `config.json`, without `extra`.

        Example:
            >>> Config(language=("en",)).by_name()["language"]
            ('en',)
        """
        return {f.name: getattr(self, f.name) for f in _fields()}

    def to_json(self) -> dict[str, Any]:
        """The content of `config.json`. Fields that are `None` are left out, unless their default is another value."""
        own = {name: dict(value) if isinstance(value, Mapping) else value for name, value in self.by_name().items()}
        if self.language is not None:
            own["language"] = list(self.language)
        stated = {f.name: own[f.name] for f in _fields() if own[f.name] is not None or f.default is not None}
        return {**_FIXED, **stated, **self.extra}


_FIXED: Mapping[str, Any] = {"model_type": MODEL_TYPE, "architectures": ["StaticModel"]}


def _fields() -> list[Field[Any]]:
    """The fields of `Config` that `config.json` stores under their names."""
    return [f for f in fields(Config) if f.name != "extra"]


def _checked(f: Field[Any], value: Any, where: str) -> Any:
    """A value of `config.json` for a field, checked."""
    if f.name == "language":
        value = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    if not _is_of_kind(f, value):
        found = list(value) if isinstance(value, tuple) else value
        raise ModelFormatError(f'{where}: "{f.name}" should be {_KINDS[str(f.type)][1]}, found {found!r:.200}.')
    return value


def _is_of_kind(f: Field[Any], value: Any) -> bool:
    kinds = _KINDS[str(f.type)][0]
    if isinstance(value, tuple):
        return tuple in kinds and all(isinstance(item, str) for item in value)
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _check_json(name: str, value: Any) -> None:
    """Raise `InvalidInputError` unless a value can be written as JSON."""
    try:
        json.dumps(dict(value or {}))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name} should hold values of JSON alone; found others: {error}.") from None


def _check_prompts(prompts: Any) -> None:
    """Raise `InvalidInputError` unless prompts are valid texts by name."""
    expected = "a mapping with a text (valid Unicode) for each name, or None"
    checks.expect(prompts is None or isinstance(prompts, Mapping), "prompts", expected, prompts)
    for pair in (prompts or {}).items():
        valid = all(isinstance(text, str) and checks.lone_surrogate(text) is None for text in pair)
        checks.expect(valid, "prompts", expected, dict([pair]))


@dataclass(frozen=True)
class StoredModel:
    """Content of a model's folder: arrays, the text of `tokenizer.json`, and the config.

    Attributes:
        embeddings: [R, D] float16, float32, float64 or int8; R is the vocabulary's size, or the number of clusters.
        tokenizer: Text of `tokenizer.json`, or a tokenizer with a compiled vocabulary.
        config: Settings and origin.
        weights: [V] factor of each token id, a float; `None` for ones.
        mapping: [V] row of `embeddings` for each token id, an integer; `None` for the identity.
        ranges: [2, D] float32, the least and the greatest value of each dimension of texts' vectors, for 8-bit vectors.
    """

    embeddings: NDArray[Any]
    tokenizer: str | CompiledTokenizer
    config: Config
    weights: NDArray[Any] | None = None
    mapping: NDArray[Any] | None = None
    ranges: NDArray[np.float32] | None = None

    @property
    def tokenizer_json(self) -> str:
        """Text of `tokenizer.json`; with a compiled vocabulary it is read from its file when it is asked for."""
        return self.tokenizer if isinstance(self.tokenizer, str) else self.tokenizer.text()


def check_arrays(
    embeddings: NDArray[Any],
    weights: NDArray[Any] | None,
    mapping: NDArray[Any] | None,
    n_tokens: int,
    where: str,
    ranges: NDArray[Any] | None = None,
) -> None:
    """Raise `ModelFormatError` unless the arrays fit each other and the tokens; errors name the source `where`."""
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
    if ranges is not None and as_ranges(ranges, embeddings.shape[1]) is None:
        raise ModelFormatError(
            f"{where}: {RANGES} should hold the least and the greatest value of {embeddings.shape[1]} dimensions, as "
            f"two rows of finite numbers; found shape {ranges.shape}, or values that are not so."
        )


# --- version 1 of the format: read and write, side by side -----------------------------------------------------


def read(folder: Path, *, memory_map: bool = False) -> StoredModel:
    """Read a model folder in the layout of m2v and model2vec; with `memory_map` the table stays in its file.

    Raises:
        ModelNotFoundError: One of the three files is missing.
        ModelFormatError: One of them is damaged.
    """
    raw = read_json(folder / CONFIG_FILE)
    config = Config.from_json(raw, str(folder / CONFIG_FILE))
    tensors = read_tensors(
        folder / TENSOR_FILE,
        required={EMBEDDINGS: READ_EMBEDDING_DTYPES},
        optional={WEIGHTS: READ_WEIGHT_DTYPES, MAPPING: MAPPING_DTYPES, RANGES: RANGE_DTYPES},
        mapped=(EMBEDDINGS,) if checks.truth("memory_map", memory_map) else (),
        save_id=save_id_of(raw, folder / CONFIG_FILE),
    )
    mapping = tensors.get(MAPPING)
    if mapping is not None and np.array_equal(mapping, np.arange(len(tensors[EMBEDDINGS]))):
        mapping = None
    return StoredModel(
        embeddings=tensors[EMBEDDINGS],
        tokenizer=_read_tokenizer(folder),
        config=config,
        weights=tensors.get(WEIGHTS),
        mapping=mapping,
        ranges=tensors.get(RANGES),
    )


def _read_tokenizer(folder: Path) -> str | CompiledTokenizer:
    if (folder / VOCABULARY_FILE).is_file():
        from m2v_core.storage import vocabulary_format

        compiled = vocabulary_format.read(folder / VOCABULARY_FILE, folder / TOKENIZER_FILE)
        if compiled is not None:
            return compiled
    return read_text(folder / TOKENIZER_FILE)


def write(
    stored: StoredModel,
    folder: Path,
    *,
    unk_id: int | None,
    has_unused: bool = False,
    head: MLPHead | None = None,
    compiled: bool = False,
) -> None:
    """Write a model folder in one step: a reader, or a crash, sees the whole old model or the whole new one.

    Files that are not part of a model, such as a README, are kept. An existing head is removed, with a warning if
    `head` is `None`: it was trained on another table.

    Args:
        stored: The model.
        folder: The folder.
        unk_id: Id of the unknown token, or `None`.
        has_unused: Whether there are ids that no token has. Each id is then mapped to its own row, since model2vec
            expects as many rows as tokens of a model without a mapping.
        head: A head to store with the model.
        compiled: Whether to store its compiled vocabulary too.

    Raises:
        OSError: The folder cannot be written.
        InvalidInputError: The tokenizer has a form that only tokenizers 1.x reads, or cannot be compiled.
    """
    from m2v_core.storage.atomic import replaced_folder  # only saving needs these, and they take memory
    from m2v_core.storage.hashing import content_digest

    mapping = stored.mapping
    if mapping is None and has_unused:
        mapping = np.arange(len(stored.embeddings), dtype=np.int32)
    arrays = {EMBEDDINGS: stored.embeddings, WEIGHTS: stored.weights, MAPPING: mapping, RANGES: stored.ranges}
    tensors = {name: array for name, array in arrays.items() if array is not None}
    layers = {} if head is None else head_tensors(head)
    tokenizer = tokenizer_for_other_readers(stored.tokenizer_json, stored.config.max_length)
    vocabulary = None
    if checks.truth("compiled", compiled):
        from m2v_core.storage import vocabulary_format

        vocabulary = vocabulary_format.compiled_from(json_bytes(tokenizer), TOKENIZER_FILE)
    config = stored.config.to_json() | ({} if head is None else {HEAD_CONFIG: head_config(head)})
    if head is None and (folder / HEAD_FILE).is_file():
        warnings.warn(
            f"{folder} holds a trained head, which this save removes: a static model has none. To keep it, load and "
            f"save the folder by StaticModelPipeline, or save to another folder.",
            stacklevel=4,
        )
    save_id = content_digest(json.dumps([config, tokenizer]).encode(), tensors | layers)
    with replaced_folder(folder, owned=OWNED_FILES, last=CONFIG_FILE) as staging:
        write_tensors(staging / TENSOR_FILE, tensors, {SAVE_ID: save_id})
        (staging / TOKENIZER_FILE).write_bytes(json_bytes(tokenizer))
        if vocabulary is not None:
            (staging / VOCABULARY_FILE).write_bytes(vocabulary)
        if sentence_transformers_agrees(stored, unk_id):
            modules = [STATIC_MODULE, NORMALIZE_MODULE] if stored.config.normalize else [STATIC_MODULE]
            write_json(staging / MODULES_FILE, modules)
        if head is not None:
            write_tensors(staging / HEAD_FILE, layers, {SAVE_ID: save_id})
        write_json(staging / CONFIG_FILE, {**config, SAVE_ID: save_id})


def tokenizer_for_other_readers(tokenizer_json: str, max_length: int | None) -> str:
    """`tokenizer.json` with truncation at `max_length` and without padding, for readers that obey these settings.

    Raises:
        InvalidInputError: The text has a form that only tokenizers 1.x reads.
    """
    raw = json.loads(tokenizer_json)
    if raw.get("version", TOKENIZER_VERSION) != TOKENIZER_VERSION:
        raise InvalidInputError(
            f"A saved model needs a tokenizer.json of version {TOKENIZER_VERSION}, which every reader knows; found "
            f"version {raw['version']}, which tokenizers 1.x keeps in memory. Make the model from the file instead of "
            f"the object: StaticModel(vectors, Path('tokenizer.json'))."
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
    """Whether every version of sentence-transformers computes the same vectors from this model.

    It averages the rows of all ids, including the unknown token's, and versions before 6.2 ignore `weights` and
    `mapping`. So both must be absent, and the unknown token must be impossible, or have a row of zeros; its only
    effect, a larger divisor, is then undone by normalisation.
    """
    if stored.weights is not None or stored.mapping is not None or stored.embeddings.dtype == np.int8:
        return False
    return unk_id is None or (stored.config.normalize and not stored.embeddings[unk_id].any())
