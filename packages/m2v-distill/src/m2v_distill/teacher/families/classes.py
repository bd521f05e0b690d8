"""The architecture of a checkpoint: by its `model_type`, by a class of its own, or as the caller says.

A repository may contain code: `auto_map` in `config.json` names the class that AutoModel should use. Such a class may
compute something else than transformers' own class of the same `model_type`, and usually does: all positions see each
other, for example. So its name has to be known here, or the caller has to say what it equals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_distill.teacher.families.decoder import FULL
from m2v_distill.teacher.families.registry import FAMILIES
from m2v_distill.teacher.transformers_io import config_of

#: Prefix of a `model_type` in which every position sees all others, without a window.
BIDIRECTIONAL = "bidirectional-"
VARIANTS = tuple(BIDIRECTIONAL + name for name in ("llama", "mistral", "qwen2", "qwen3"))

#: Classes that compute exactly such a variant, by (`model_type`, name): those of LLM2Vec, NVIDIA's embedding models and
#: NV-Embed's text model. They mask padding alone; none of them applies Mistral's window.
KNOWN_CLASSES = {
    **dict.fromkeys(
        (
            *(("llama", name) for name in ("LlamaEncoderModel", "LlamaBiModel", "LlamaBidirectionalModel")),
            ("llama_bidirec", "LlamaBidirectionalModel"),
        ),
        "bidirectional-llama",
    ),
    **dict.fromkeys(
        (
            *(("mistral", name) for name in ("MistralEncoderModel", "MistralBiModel", "BidirectionalMistralModel")),
            ("bidir_mistral", "BidirectionalMistralModel"),
        ),
        "bidirectional-mistral",
    ),
}

#: Submodules of LLM2Vec's classes, for a model in memory; only `is_causal` differs in them.
KNOWN_PARTS = tuple(f"Modified{base}" for base in ("Llama", "Mistral"))


@dataclass(frozen=True)
class Architecture:
    """The architecture of a checkpoint.

    Attributes:
        kind: A `model_type` in `FAMILIES`, or one of `VARIANTS`; `None` if m2v-distill does not compute it.
        own_class: Class of its own that the checkpoint names, if any.
    """

    kind: str | None
    own_class: str | None = None

    @classmethod
    def of_config(cls, raw: Mapping[str, Any], compute_as: str | None = None) -> Architecture:
        """The architecture that a `config.json` names.

        Raises:
            InvalidInputError: `compute_as` is unknown.
        """
        listed = raw.get("auto_map")
        found = listed.get("AutoModel") if isinstance(listed, dict) else None
        own = None if found is None else str(found).rpartition("--")[2]
        if own is not None and own.startswith("transformers."):
            own = None
        return cls(_checked(compute_as) or _kind(raw, own), own)

    @classmethod
    def of_model(cls, model: Any, raw: Mapping[str, Any], compute_as: str | None = None) -> Architecture:
        """The architecture of a PyTorch model in memory, by the classes of its encoder and of all submodules.

        Raises:
            InvalidInputError: `compute_as` is unknown.
        """
        encoder = getattr(model, "base_model", model)
        own = _name(type(encoder)) if _is_strange(type(encoder)) else None
        kind = _kind(raw, own)
        strange = sorted({_name(type(part)) for part in encoder.modules() if _is_strange(type(part))} - {own})
        parts = [name for name in strange if own is None or not name.rpartition(".")[2].startswith(KNOWN_PARTS)]
        if kind is not None and parts:
            kind, own = None, parts[0]
        return cls(_checked(compute_as) or kind, own)

    def config(self, raw: Mapping[str, Any], own: Callable[[], dict[str, Any]], where: str) -> dict[str, Any]:
        """The config that its family reads, with transformers' defaults for missing settings.

        Args:
            raw: The config as it is.
            own: Function that returns it with the defaults of its own `model_type`.
            where: Name of the config in errors.

        Raises:
            ModelFormatError: transformers does not accept it.
        """
        model_type = str(self.kind).removeprefix(BIDIRECTIONAL)
        if FAMILIES[model_type].raw:
            return {**raw, "model_type": model_type}
        config = own() if model_type == raw.get("model_type") else config_of(raw, model_type, where)
        if raw.get("use_bidirectional_attention") and "sliding_window" in raw:
            config["sliding_window"] = raw["sliding_window"]  # early releases of transformers 5 halve Gemma's
        if self.kind in VARIANTS:
            layers = [FULL] * config["num_hidden_layers"]
            config |= {"is_causal": False, "sliding_window": None, "layer_types": layers}
            config["use_bidirectional_attention"] = None
        return config

    def refused(self, model_type: object, where: str, *, in_memory: bool = False) -> ModelFormatError:
        """The error for a class of its own that is not known here.

        Args:
            model_type: Model type of the config.
            where: Name of the file, or of the model.
            in_memory: Whether the model is in memory, loaded by PyTorch.
        """
        near = model_type if model_type in FAMILIES else "MODEL_TYPE"
        both = (
            f", or {BIDIRECTIONAL + str(near)!r} if each position sees all"
            if BIDIRECTIONAL + str(near) in VARIANTS
            else ""
        )
        named = "" if in_memory else ' by "auto_map"'
        torch = "" if in_memory else "m2v-distill[torch], trust_remote_code=True and "
        return ModelFormatError(
            f"{where}: expected a class of transformers; found {self.own_class}{named}, which may compute something "
            f"else than the model_type {model_type!r}. Run it in PyTorch: {torch}backend='torch'. Or say what it "
            f"equals: compute_as={near!r}{both}. On the command line: --trust-remote-code, --compute-as."
        )


def _kind(raw: Mapping[str, Any], own: str | None) -> str | None:
    model_type = raw.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if own is None or (family is not None and family.raw):  # these families compute what their own code does
        return None if family is None else str(model_type)
    name = own.rpartition(".")[2]
    if (model_type, name) == ("qwen2", "Qwen2Model") and raw.get("is_causal") is False:  # of gte-Qwen2
        return "bidirectional-qwen2"
    return KNOWN_CLASSES.get((str(model_type), name))


def _checked(compute_as: str | None) -> str | None:
    known = (*sorted(FAMILIES), *VARIANTS)
    if compute_as is not None and compute_as not in known:
        raise InvalidInputError(f"compute_as should be one of {', '.join(known)}; found {compute_as!r}.")
    return compute_as


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_strange(kind: type) -> bool:
    """Whether a class is not of transformers or PyTorch (or of Apex, whose norm T5 uses if it is installed)."""
    return kind.__module__.partition(".")[0] not in ("transformers", "torch", "apex")
