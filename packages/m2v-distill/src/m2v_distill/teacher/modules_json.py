"""The settings of a sentence-transformers folder: `modules.json` and the files that it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m2v_core import checks
from m2v_core.errors import ModelFormatError
from m2v_core.storage.files import path_inside, read_json
from m2v_distill.logs import logger
from m2v_distill.teacher.checkpoint import Place, Rule, WeightTable, fill, linear, open_checkpoint, weights_file
from m2v_distill.teacher.interface import POOLING_ALIASES
from m2v_distill.teacher.nn.layers import LayerNorm
from m2v_distill.teacher.pooling import ACTIVATIONS, POOLINGS, Layer, Normalize, Projection, SentencePooling

#: Files of the first module's settings; the first one that exists counts.
SETTINGS_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)

#: Old names of poolings: switches, in the order of their outputs.
SWITCHES = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}

#: Settings of the first module that may be there, with the values that change nothing; `None` for any value.
SETTINGS: dict[str, list[Any] | None] = {
    "transformer_task": ["feature-extraction"],
    "module_output_name": ["token_embeddings", None],
    "processing_kwargs": [{}, None],
    "tokenizer_name_or_path": [None],
    **dict.fromkeys(("max_seq_length", "do_lower_case"), None),  # read elsewhere
    **dict.fromkeys(("unpad_inputs", "backend", "query_length", "document_length", "query_expansion"), None),
}
#: Keywords for transformers (kwargs, in older releases args), and those that change nothing or are read elsewhere.
KEYWORDS = [f"{part}_{kind}" for part in ("config", "model", "processor", "tokenizer") for kind in ("kwargs", "args")]
KNOWN = {
    *("add_pooling_layer", "attn_implementation", "dtype", "torch_dtype", "trust_remote_code", "unpad_inputs"),
    *("use_memory_efficient_attention", "use_safetensors", "model_max_length", "padding_side", "use_fast"),
}
STATES = {"method": "forward", "method_output_name": "last_hidden_state"}

#: Modules of sentence_transformers that can be computed.
MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout")

#: Advice for modules that cannot be computed; `NO_ENCODER` are first modules without an encoder.
ENCODER_ALONE = "Give pooling= (mean, say) to use the encoder alone."
SPARSE = f"It belongs to a sparse encoder, whose vectors are weights of words: choose a dense one. {ENCODER_ALONE}"
TABLE = "It looks words up in a table and has no network to distil: choose a transformer as teacher."
NO_ENCODER = {
    "CLIPModel": "It embeds images too: choose a teacher for texts alone.",
    "StaticEmbedding": "It is static already: m2v_core.StaticModel.from_pretrained loads such a model.",
    "SparseStaticEmbedding": "It gives each token a weight and no vector: choose a transformer as teacher.",
    **dict.fromkeys(
        ("Router", "Asym"),
        "It has separate models for queries and documents: pass the folder of one of these, if it is a transformer.",
    ),
    **dict.fromkeys(("WordEmbeddings", "BoW"), TABLE),
}
REMEDIES = {"MLMTransformer": SPARSE, "SpladePooling": SPARSE}

PROJECTION = WeightTable((*linear("linear", "linear"), *linear("residual", "residual")), prefixes=("",), ignored=())
LAYER_NORM = WeightTable((Rule("norm.weight", "scale"), Rule("norm.bias", "bias")), prefixes=("",), ignored=())


@dataclass(frozen=True)
class TextSettings:
    """How texts are prepared for the encoder.

    Attributes:
        max_seq_length: Longest text in tokens; `None` leaves it to the tokenizer and `positions`.
        positions: Number of positions of the encoder, by its config.
        lower_case: Whether texts are lower-cased first.
        prompts: Prompts by name, each a text that is put before a text.
        default_prompt_name: Name of the prompt that is used by default.
    """

    max_seq_length: int | None = None
    positions: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None


@dataclass(frozen=True)
class SentenceSettings:
    """Everything in a sentence-transformers folder other than the encoder's weights.

    Attributes:
        pooling: The modules after the encoder.
        encoder_folder: Folder of the encoder and the tokenizer.
        texts: How texts are prepared.
    """

    pooling: SentencePooling
    encoder_folder: Path
    texts: TextSettings = field(default_factory=TextSettings)


def read_sentence_settings(folder: Path, *, pooling: str | None = None, place: Place | None = None) -> SentenceSettings:
    """The settings of a folder; without `modules.json`, the pooling is the mean of the hidden states.

    Args:
        folder: The teacher's folder.
        pooling: A pooling that replaces all modules after the encoder.
        place: Function that places the weights of dense layers; see `m2v_distill.teacher.checkpoint.fill`.

    Raises:
        ModelFormatError: A module is unknown, or not as expected.
    """
    checks.expect(isinstance(pooling, str | None), "pooling", "the name of a pooling, or None", pooling)
    listing = folder / "modules.json"
    if not listing.is_file():
        _warn_of_task_head(folder / "config.json", pooling or "mean")
        return pooled_encoder(folder, pooling or "mean")
    modules = read_json(listing, kind=list)
    if not modules:
        raise ModelFormatError(f"{listing}: expected modules, a Transformer first; found none.")
    paths = [_inside(folder, module, listing) for module in modules]
    if _last_name(modules[0]) in NO_ENCODER:
        raise _unknown(modules[0], listing, NO_ENCODER)
    whole = folder / "config_sentence_transformers.json"
    shared = read_json(whole) if whole.is_file() else {}
    sentence_pooling = (
        SentencePooling([pooling])
        if pooling
        else _read_modules(modules, paths, listing, shared.get("truncate_dim"), place)
    )
    prompts = _read_prompts(shared, whole)
    own = next(
        (paths[0] / name for name in SETTINGS_FILES if (paths[0] / name).is_file()), paths[0] / SETTINGS_FILES[0]
    )
    settings = read_json(own) if own.is_file() else {}
    if not pooling:
        _check_encoder(settings, own)
    texts = TextSettings(
        max_seq_length=_longest_text(settings, own),
        positions=_positions_of(paths[0]),
        lower_case=bool(settings.get("do_lower_case")),
        prompts=prompts,
        default_prompt_name=shared.get("default_prompt_name"),
    )
    return SentenceSettings(sentence_pooling, paths[0], texts)


def pooled_encoder(folder: Path, pooling: str) -> SentenceSettings:
    """The settings of an encoder alone, with a pooling."""
    return SentenceSettings(SentencePooling([pooling]), folder, TextSettings(positions=_positions_of(folder)))


def _read_modules(
    modules: list[Any], paths: list[Path], listing: Path, truncate_dim: object, place: Place | None
) -> SentencePooling:
    kinds = [_kind(module, listing) for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise ModelFormatError(f"{listing}: expected Transformer, then Pooling, then others; found {kinds}.")
    if truncate_dim is not None and (not isinstance(truncate_dim, int) or truncate_dim < 1):
        raise ModelFormatError(
            f'{listing.with_name("config_sentence_transformers.json")}: expected "truncate_dim" to be 1 or more; '
            f"found {truncate_dim!r}."
        )
    pooling = read_json(paths[1] / "config.json")
    layers = [_layer(kind, path, listing, place) for kind, path in zip(kinds[2:], paths[2:], strict=True)]
    return SentencePooling(
        _poolings(pooling, paths[1] / "config.json"),
        [layer for layer in layers if layer is not None],
        skips_prompt=pooling.get("include_prompt", True) is False,
        truncate_dim=truncate_dim,
    )


def _read_prompts(shared: dict[str, Any], where: Path) -> dict[str, str]:
    raw, default = shared.get("prompts") or {}, shared.get("default_prompt_name")
    prompts = {name: "" if text is None else text for name, text in raw.items()} if isinstance(raw, dict) else {}
    if not isinstance(raw, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise ModelFormatError(f'{where}: expected "prompts" to give a text for each name; found {raw!r}.')
    if default is not None and default not in list(prompts):  # an object has no hash
        raise ModelFormatError(
            f'{where}: "default_prompt_name" is {default!r:.200}, but the prompts are {list(prompts)}.'
        )
    return prompts


def _check_encoder(settings: dict[str, Any], where: Path) -> None:
    """Refuse settings that would change texts or hidden states in a way that is not computed."""
    wrong: dict[str, Any] = {}
    for key, value in settings.items():
        if key in KEYWORDS and isinstance(value, dict | None):
            wrong |= {f"{key}: {name}": found for name, found in (value or {}).items() if name not in KNOWN}
        elif key == "modality_config" and isinstance(value, dict):
            if value.get("text") != STATES or "message" in value:  # messages: texts in a chat template
                wrong[key] = value
        elif (allowed := SETTINGS.get(key, [])) is not None and value not in allowed:
            wrong[key] = value
    if wrong:
        listed = ", ".join(f'"{key}": {value!r}' for key, value in wrong.items())
        raise ModelFormatError(
            f"{where}: m2v-distill does not compute {listed}. Give pooling= (mean, say) to use the encoder without it."
        )


def _longest_text(settings: dict[str, Any], where: Path) -> int | None:
    length = settings.get("max_seq_length")
    for keywords in (settings.get("processor_kwargs"), settings.get("tokenizer_args")):
        if isinstance(keywords, dict):
            length = keywords.get("model_max_length", length)
    if length is not None and (not isinstance(length, int) or length < 1):
        raise ModelFormatError(f'{where}: expected "max_seq_length" to be 1 or more; found {length!r}.')
    return length


def _positions_of(folder: Path) -> int | None:
    """The number of positions of a folder's encoder, if its config says it."""
    config = folder / "config.json"
    found = read_json(config).get("max_position_embeddings") if config.is_file() else None
    return found if isinstance(found, int) and found > 0 else None


def _kind(module: Any, listing: Path) -> str:
    """The class name of a module, without its package, which differs between releases of sentence-transformers."""
    found = module.get("type") if isinstance(module, dict) else module
    package, _, kind = found.rpartition(".") if isinstance(found, str) else ("", "", "")
    if package.split(".")[0] != "sentence_transformers" or kind not in MODULES:
        raise _unknown(module, listing, REMEDIES)
    return kind


def _unknown(module: Any, listing: Path, remedies: Mapping[str, str]) -> ModelFormatError:
    found = module.get("type") if isinstance(module, dict) else module
    return ModelFormatError(
        f'{listing}: expected "type" to be one of {", ".join(MODULES)} of sentence_transformers; found {found!r}. '
        f"{remedies.get(_last_name(module), ENCODER_ALONE)}"
    )


def _last_name(module: Any) -> str:
    found = module.get("type") if isinstance(module, dict) else module
    return found.rpartition(".")[2] if isinstance(found, str) else ""


def _warn_of_task_head(config: Path, pooling: str) -> None:
    """Warn that the model is a classifier or a reranker, whose vectors may be poor embeddings."""
    listed = read_json(config).get("architectures") if config.is_file() else None
    heads = [name for name in listed or () if isinstance(name, str) and name.endswith("Classification")]
    if heads:
        logger.warning(
            '%s: "architectures" says %s, a classifier or a cross-encoder: its head is left out, and the %s of its '
            "hidden states may be a poor embedding",
            *(config, ", ".join(heads), pooling),
        )


def _inside(folder: Path, module: Any, listing: Path) -> Path:
    path = module.get("path") if isinstance(module, dict) else None
    return path_inside(folder, path, listing)


def _poolings(raw: dict[str, Any], where: Path) -> list[str]:
    named = raw.get("pooling_mode")
    if named is None:
        return [name for switch, name in SWITCHES.items() if raw.get(switch)] or ["mean"]
    listed = named if isinstance(named, list) else [named]
    names = [POOLING_ALIASES.get(name, name) for name in map(str, listed)]
    if not names or not all(name in POOLINGS for name in names):
        raise ModelFormatError(f'{where}: "pooling_mode" should name some of {", ".join(POOLINGS)}; found {named!r}.')
    return names


def _layer(kind: str, path: Path, listing: Path, place: Place | None) -> Layer | None:
    if kind == "Dropout":  # has no effect outside training
        return None
    config = path / "config.json"
    raw = read_json(config) if config.is_file() or kind != "Normalize" else {}
    for key in ("module_input_name", "module_output_name"):
        if raw.get(key, "sentence_embedding") not in ("sentence_embedding", None):
            raise ModelFormatError(f'{config}: "{key}" should be "sentence_embedding"; found {raw[key]!r}.')
    if kind == "Normalize":
        return Normalize()
    if kind not in ("Dense", "LayerNorm"):
        raise ModelFormatError(f"{listing}: expected {kind} once, at the start; found it again.")
    checkpoint, where = open_checkpoint(path), str(weights_file(path))
    if kind == "LayerNorm":
        return fill(lambda: LayerNorm(_size(raw, "dimension", path), 1e-5), checkpoint, LAYER_NORM, where, place)
    act = str(raw.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")
    if not act[0].startswith("torch.") or act[2] not in ACTIVATIONS:
        raise ModelFormatError(
            f'{config}: "activation_function" should be torch\'s {", ".join(ACTIVATIONS)}; '
            f"found {raw.get('activation_function')!r}."
        )

    def make() -> Projection:
        sizes = _size(raw, "in_features", path), _size(raw, "out_features", path)
        return Projection(*sizes, bias=raw.get("bias", True), act=act[2], residual=raw.get("use_residual", False))

    return fill(make, checkpoint, PROJECTION, where, place)


def _size(raw: dict[str, Any], key: str, path: Path) -> int:
    if not isinstance(raw.get(key), int) or raw[key] < 1:
        raise ModelFormatError(f'{path / "config.json"}: expected "{key}" to be 1 or more; found {raw.get(key)!r}.')
    return int(raw[key])
