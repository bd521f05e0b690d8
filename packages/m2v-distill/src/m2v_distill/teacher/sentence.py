"""A sentence-transformers folder: `modules.json` and what it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m2v_core.errors import ModelFormatError
from m2v_core.files import read_json
from m2v_distill.teacher.head import ACTIVATIONS, POOLINGS, Head, Layer, Normalize, Projection
from m2v_distill.teacher.layers import LayerNorm
from m2v_distill.teacher.weights import Place, Rule, WeightTable, fill, linear, open_checkpoint, weights_file

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

PROJECTION = WeightTable((*linear("linear", "linear"), *linear("residual", "residual")), prefixes=("",), ignored=())
LAYER_NORM = WeightTable((Rule("norm.weight", "scale"), Rule("norm.bias", "bias")), prefixes=("",), ignored=())


@dataclass(frozen=True)
class SentenceSettings:
    """What a folder says beside its encoder.

    Attributes:
        head: From hidden states to vectors.
        encoder_folder: Of the encoder and the tokenizer.
        max_seq_length: Longest text in tokens; `None` leaves it to the tokenizer and the encoder.
        lower_case: Whether texts are put into lower case first.
        prompts: Texts by name, to be put before a text.
        default_prompt_name: Which one is used unless another is asked for.
    """

    head: Head
    encoder_folder: Path
    max_seq_length: int | None = None
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
        return SentenceSettings(Head([pooling or "mean"]), folder)
    modules = read_json(listing, kind=list)
    paths = [_inside(folder, module, listing) for module in modules]
    head = Head([pooling]) if pooling else _read_head(modules, paths, listing, place)
    return SentenceSettings(head, paths[0] if paths else folder, **_read_texts(folder, paths[0]))


def _read_head(modules: list[Any], paths: list[Path], listing: Path, place: Place | None) -> Head:
    kinds = [_kind(module, listing) for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise ModelFormatError(f"{listing}: expected Transformer, then Pooling, then others; found {kinds}.")
    pooling = read_json(paths[1] / "config.json")
    layers = [_layer(kind, path, listing, place) for kind, path in zip(kinds[2:], paths[2:], strict=True)]
    return Head(
        _poolings(pooling, paths[1] / "config.json"),
        [layer for layer in layers if layer is not None],
        skips_prompt=pooling.get("include_prompt", True) is False,
    )


def _read_texts(folder: Path, encoder: Path) -> dict[str, Any]:
    """How texts are prepared."""
    own = next((encoder / name for name in SETTINGS_FILES if (encoder / name).is_file()), None)
    settings = {} if own is None else read_json(own)
    task = settings.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise ModelFormatError(f'{own}: expected "transformer_task" to be "feature-extraction"; found {task!r}.')
    length = settings.get("max_seq_length")
    if length is not None and (not isinstance(length, int) or length < 1):
        raise ModelFormatError(f'{own}: expected "max_seq_length" to be 1 or more; found {length!r}.')
    whole = folder / "config_sentence_transformers.json"
    shared = read_json(whole) if whole.is_file() else {}
    prompts, default = shared.get("prompts") or {}, shared.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise ModelFormatError(f'{whole}: expected "prompts" to give a text for each name; found {prompts!r}.')
    if default is not None and default not in prompts:
        raise ModelFormatError(f'{whole}: "default_prompt_name" is {default!r}, but the prompts are {list(prompts)}.')
    return {
        "max_seq_length": length,
        "lower_case": bool(settings.get("do_lower_case")),
        "prompts": prompts,
        "default_prompt_name": default,
    }


def _kind(module: Any, listing: Path) -> str:
    """The class of a module, by its last name: packages have moved between releases of sentence-transformers."""
    found = module.get("type") if isinstance(module, dict) else module
    known = ("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout")
    package, _, kind = found.rpartition(".") if isinstance(found, str) else ("", "", "")
    if package.split(".")[0] != "sentence_transformers" or kind not in known:
        raise ModelFormatError(
            f"{listing}: m2v-distill computes {', '.join(known)} of sentence_transformers; found the module "
            f"{found!r}. Give pooling= (mean, say) to use the encoder alone."
        )
    return kind


def _inside(folder: Path, module: Any, listing: Path) -> Path:
    path = module.get("path") if isinstance(module, dict) else None
    if not isinstance(path, str) or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise ModelFormatError(f'{listing}: "path" should lie inside of the folder; found {path!r}.')
    return folder / path


def _poolings(raw: dict[str, Any], where: Path) -> list[str]:
    named = raw.get("pooling_mode")
    if named is None:
        return [name for switch, name in SWITCHES.items() if raw.get(switch)] or ["mean"]
    names = [NAMES.get(name, name) for name in ([named] if isinstance(named, str) else named)]
    if not names or not all(name in POOLINGS for name in names):
        raise ModelFormatError(f'{where}: "pooling_mode" should name some of {", ".join(POOLINGS)}; found {named!r}.')
    return names


def _layer(kind: str, path: Path, listing: Path, place: Place | None) -> Layer | None:
    if kind == "Dropout":  # does nothing outside of training
        return None
    if kind == "Normalize":
        return Normalize()
    if kind not in ("Dense", "LayerNorm"):
        raise ModelFormatError(f"{listing}: expected {kind} once, at the start; found it again.")
    raw = read_json(path / "config.json")
    checkpoint, where = open_checkpoint(path), str(weights_file(path))
    if kind == "LayerNorm":
        return fill(lambda: LayerNorm(_size(raw, "dimension", path), 1e-5), checkpoint, LAYER_NORM, where, place)
    act = str(raw.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")
    if not act[0].startswith("torch.") or act[2] not in ACTIVATIONS:
        raise ModelFormatError(
            f'{path / "config.json"}: "activation_function" should be torch\'s {", ".join(ACTIVATIONS)}; '
            f"found {raw.get('activation_function')!r}."
        )
    for key in ("module_input_name", "module_output_name"):
        if raw.get(key, "sentence_embedding") not in ("sentence_embedding", None):
            raise ModelFormatError(
                f'{path / "config.json"}: "{key}" should be "sentence_embedding"; found {raw[key]!r}.'
            )

    def make() -> Projection:
        sizes = _size(raw, "in_features", path), _size(raw, "out_features", path)
        return Projection(*sizes, bias=raw.get("bias", True), act=act[2], residual=raw.get("use_residual", False))

    return fill(make, checkpoint, PROJECTION, where, place)


def _size(raw: dict[str, Any], key: str, path: Path) -> int:
    if not isinstance(raw.get(key), int) or raw[key] < 1:
        raise ModelFormatError(f'{path / "config.json"}: expected "{key}" to be 1 or more; found {raw.get(key)!r}.')
    return int(raw[key])
