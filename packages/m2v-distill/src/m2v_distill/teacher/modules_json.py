"""A sentence-transformers folder: `modules.json` and what it names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m2v_core.errors import ModelFormatError
from m2v_core.storage.files import read_json
from m2v_distill.teacher.checkpoint import Place, Rule, WeightTable, fill, linear, open_checkpoint, weights_file
from m2v_distill.teacher.nn.layers import LayerNorm
from m2v_distill.teacher.pooling import ACTIVATIONS, POOLINGS, Head, Layer, Normalize, Projection

logger = logging.getLogger("m2v_distill")

#: Where the first module keeps its settings; the first of them that exists counts.
SETTINGS_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)

#: sentence-transformers' names of poolings, old (switches, in the order of their outputs) and new.
SWITCHES = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}
NAMES = {"cls": "first", "lasttoken": "last"}

#: What the first module's settings may say: the values of a key that change nothing; `None` for all of them.
SETTINGS: dict[str, list[Any] | None] = {
    "transformer_task": ["feature-extraction"],
    "module_output_name": ["token_embeddings", None],
    "processing_kwargs": [{}, None],
    "tokenizer_name_or_path": [None],
    **dict.fromkeys(("max_seq_length", "do_lower_case"), None),  # read elsewhere
    **dict.fromkeys(("unpad_inputs", "backend", "query_length", "document_length", "query_expansion"), None),
}
#: Its keywords for transformers (kwargs, in older releases args), and those of them that change nothing or are read.
KEYWORDS = [f"{part}_{kind}" for part in ("config", "model", "processor", "tokenizer") for kind in ("kwargs", "args")]
KNOWN = {
    *("add_pooling_layer", "attn_implementation", "dtype", "torch_dtype", "trust_remote_code", "unpad_inputs"),
    *("use_memory_efficient_attention", "use_safetensors", "model_max_length", "padding_side", "use_fast"),
}
STATES = {"method": "forward", "method_output_name": "last_hidden_state"}

#: Of sentence_transformers.
MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout")

#: What to do about a module that has no place in a teacher; `NO_ENCODER` are first modules without one.
ENCODER_ALONE = "Give pooling= (mean, say) to use the encoder alone."
SPARSE = f"It belongs to a sparse encoder, whose vectors weigh words: choose a dense one. {ENCODER_ALONE}"
TABLE = "It looks words up in a table, and has no network to distil: choose a transformer as teacher."
NO_ENCODER = {
    "CLIPModel": "It embeds images too: choose a teacher for texts alone.",
    "StaticEmbedding": "It is static already: m2v_core.StaticModel.from_pretrained loads such a model.",
    "SparseStaticEmbedding": "It gives each token a weight, and no vector: choose a transformer as teacher.",
    **dict.fromkeys(
        ("Router", "Asym"),
        "It sends queries and documents through models of their own: pass the folder of one of these, a transformer's.",
    ),
    **dict.fromkeys(("WordEmbeddings", "BoW"), TABLE),
}
REMEDIES = {"MLMTransformer": SPARSE, "SpladePooling": SPARSE}

PROJECTION = WeightTable((*linear("linear", "linear"), *linear("residual", "residual")), prefixes=("",), ignored=())
LAYER_NORM = WeightTable((Rule("norm.weight", "scale"), Rule("norm.bias", "bias")), prefixes=("",), ignored=())


@dataclass(frozen=True)
class SentenceSettings:
    """What a folder says beside its encoder.

    Attributes:
        head: From hidden states to vectors.
        encoder_folder: Of the encoder and the tokenizer.
        max_seq_length: Longest text in tokens; `None` leaves it to the tokenizer and `positions`.
        positions: Those that the encoder was made for, by its config.
        lower_case: Whether texts are put into lower case first.
        prompts: Texts by name, to be put before a text.
        default_prompt_name: Which one is used unless another is asked for.
    """

    head: Head
    encoder_folder: Path
    max_seq_length: int | None = None
    positions: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None


def read_sentence_settings(folder: Path, *, pooling: str | None = None, place: Place | None = None) -> SentenceSettings:
    """The settings of a folder; without `modules.json`, the mean of the hidden states.

    Args:
        folder: The teacher's.
        pooling: In place of all modules after the encoder.
        place: Puts the weights of dense layers where they are to stay (see `weights.fill`).

    Raises:
        ModelFormatError: A module is unknown, or not as expected.
    """
    listing = folder / "modules.json"
    if not listing.is_file():
        _note_a_head(folder / "config.json", pooling or "mean")
        return SentenceSettings(Head([pooling or "mean"]), folder, positions=positions_of(folder))
    modules = read_json(listing, kind=list)
    if not modules:
        raise ModelFormatError(f"{listing}: expected modules, a Transformer first; found none.")
    paths = [_inside(folder, module, listing) for module in modules]
    if _last_name(modules[0]) in NO_ENCODER:
        raise _unknown(modules[0], listing, NO_ENCODER)
    whole = folder / "config_sentence_transformers.json"
    shared = read_json(whole) if whole.is_file() else {}
    head = Head([pooling]) if pooling else _read_head(modules, paths, listing, shared.get("truncate_dim"), place)
    prompts = _read_prompts(shared, whole)
    own = next(
        (paths[0] / name for name in SETTINGS_FILES if (paths[0] / name).is_file()), paths[0] / SETTINGS_FILES[0]
    )
    settings = read_json(own) if own.is_file() else {}
    if not pooling:
        _check_encoder(settings, own)
    return SentenceSettings(
        head,
        paths[0],
        max_seq_length=_longest_text(settings, own),
        positions=positions_of(paths[0]),
        lower_case=bool(settings.get("do_lower_case")),
        prompts=prompts,
        default_prompt_name=shared.get("default_prompt_name"),
    )


def _read_head(modules: list[Any], paths: list[Path], listing: Path, truncate_dim: object, place: Place | None) -> Head:
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
    return Head(
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
    if default is not None and default not in prompts:
        raise ModelFormatError(f'{where}: "default_prompt_name" is {default!r}, but the prompts are {list(prompts)}.')
    return prompts


def _check_encoder(settings: dict[str, Any], where: Path) -> None:
    """Refuse settings by which texts or hidden states would be others than those that we compute."""
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


def positions_of(folder: Path) -> int | None:
    """The positions that a folder's encoder was made for, if its config says so."""
    config = folder / "config.json"
    found = read_json(config).get("max_position_embeddings") if config.is_file() else None
    return found if isinstance(found, int) and found > 0 else None


def _kind(module: Any, listing: Path) -> str:
    """The class of a module, by its last name: packages have moved between releases of sentence-transformers."""
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


def _note_a_head(config: Path, pooling: str) -> None:
    """Say that a classifier or a reranker counts as an encoder here; its vectors may be no good."""
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
    if not isinstance(path, str) or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise ModelFormatError(f'{listing}: "path" should lie inside of the folder; found {path!r}.')
    return folder / path


def _poolings(raw: dict[str, Any], where: Path) -> list[str]:
    named = raw.get("pooling_mode")
    if named is None:
        return [name for switch, name in SWITCHES.items() if raw.get(switch)] or ["mean"]
    listed = named if isinstance(named, list) else [named]
    names = [NAMES.get(name, name) for name in map(str, listed)]
    if not names or not all(name in POOLINGS for name in names):
        raise ModelFormatError(f'{where}: "pooling_mode" should name some of {", ".join(POOLINGS)}; found {named!r}.')
    return names


def _layer(kind: str, path: Path, listing: Path, place: Place | None) -> Layer | None:
    if kind == "Dropout":  # does nothing outside of training
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
