"""A teacher's encoder: a Flax module filled with a checkpoint's weights, or a PyTorch model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m2v_core.devices import device_name
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.storage.files import read_json
from m2v_distill.config import Backend, Device
from m2v_distill.teacher.checkpoint import Checkpoint, fill, open_checkpoint, weights_file
from m2v_distill.teacher.engine.placement import Placement, pick_device
from m2v_distill.teacher.families.bert import check_positions
from m2v_distill.teacher.families.classes import BOTH_SIDES, Architecture
from m2v_distill.teacher.families.registry import family_of
from m2v_distill.teacher.torch_encoder import TorchEncoder, has_torch
from m2v_distill.teacher.transformers_io import load_config

logger = logging.getLogger("m2v_distill")


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Attributes:
    placement: Where weights lie.
    device, backend, compute_as: See `DistillConfig`.
    trust_remote_code: Whether code of the folder's may be run.

    Raises:
        InvalidInputError: `compute_as` is given, but the backend takes no notice of it.
    """

    placement: Placement
    device: Device
    backend: Backend
    compute_as: str | None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.compute_as is not None and self.backend == "torch":
            raise InvalidInputError(
                f"compute_as chooses one of our own modules, for the backends 'flax' and 'auto'; found "
                f"compute_as={self.compute_as!r} and backend='torch'. Leave one of them out."
            )


def encoder_of_folder(folder: Path, options: EncoderOptions) -> Any:
    """The encoder of a folder: a Flax module, or a `TorchEncoder`.

    Raises:
        ModelNotFoundError: There are no weights.
        ModelFormatError: It is an adapter; its architecture, class or a setting is not computed; weights do not fit.
        MissingPackageError: It needs PyTorch, which is not installed.
    """
    adapter, settings = folder / "adapter_config.json", folder / "config.json"
    if adapter.is_file():
        base = read_json(adapter).get("base_model_name_or_path", "a model")
        raise ModelFormatError(
            f"{adapter}: expected a whole model; found an adapter of {base}. Merge it into that model first (peft's "
            f"merge_and_unload(), then save_pretrained), and pass the folder of the result."
        )
    raw = read_json(settings)
    found = Architecture.of_config(raw, options.compute_as)
    trusted = found.own_class is None or options.trust_remote_code
    alone = options.backend == "auto" and found.kind is None and has_torch()
    if options.backend == "torch" or (alone and trusted):
        if not trusted and found.kind != raw.get("model_type"):  # transformers would take its own class in silence
            raise found.refused(raw.get("model_type"), str(settings))
        if found.own_class is None and found.kind is not None:
            _located(str(settings), check_positions, raw)  # transformers 5 does not look at them
        if has_torch():
            open_checkpoint(folder)  # it says better than transformers what is wrong with files
        return TorchEncoder.from_folder(
            folder,
            trust_remote_code=options.trust_remote_code,
            device=options.device,
            precision=options.placement.precision,
        )
    if found.kind is None and found.own_class is not None:
        raise found.refused(raw.get("model_type"), str(settings))
    if found.own_class is not None:
        logger.info("%s: the class %s is computed as %s", settings, found.own_class, found.kind)
    source = _Source(
        str(settings), str(weights_file(folder)), lambda: load_config(folder), lambda: open_checkpoint(folder)
    )
    return _filled(found, raw, source, options)


def encoder_of_model(model: Any, options: EncoderOptions) -> Any:
    """The encoder of a PyTorch model in memory, which stays as it is: a Flax module, or a `TorchEncoder` of a copy.

    Raises:
        ModelFormatError: Its class or a setting is not computed; its weights do not fit.
    """
    raw, name = model.config.to_dict(), type(model).__name__
    if raw.get("use_bidirectional_attention") and raw.get("sliding_window"):
        raw["sliding_window"] = (model.config.sliding_window - 1) * 2  # as a file has it: see Architecture.config
    found = Architecture.of_model(model, raw, options.compute_as)
    if options.backend == "torch" or (options.backend == "auto" and found.kind is None):
        if options.backend == "auto" and found.own_class is not None:
            logger.warning("%s runs in PyTorch itself: %s is not of transformers", name, found.own_class)
        return TorchEncoder(deepcopy(model), device=options.device, precision=options.placement.precision)
    if found.kind is None and found.own_class is not None:
        raise found.refused(raw.get("model_type"), name, in_memory=True)
    tensors = {name: _host_copy(tensor) for name, tensor in model.state_dict().items()}
    return _filled(found, raw, _Source(f"{name}.config", name, lambda: raw, lambda: tensors), options)


@dataclass(frozen=True)
class _Source:
    """Where a config and weights come from: their names, for errors, and what gives them."""

    settings: str
    weights: str
    config: Callable[[], dict[str, Any]]
    checkpoint: Callable[[], Checkpoint]


def _filled(found: Architecture, raw: dict[str, Any], source: _Source, options: EncoderOptions) -> Any:
    """A Flax module."""
    settings = source.settings
    family = family_of(raw.get("model_type") if found.kind is None else found.kind.removeprefix(BOTH_SIDES), settings)
    if device_name(options.device) not in (None, "auto"):
        pick_device(options.device)  # may have been passed over, for PyTorch's sake
    _located(settings, _check_quantization, raw)
    config, tensors = found.config(raw, source.config, settings), source.checkpoint()
    pooler = family.pooler is not None and family.table.prefix_of(tensors) + family.pooler in tensors
    sizes = _located(settings, lambda: family.config(config, pooler=pooler))
    return fill(lambda: family.module(sizes), tensors, family.table, source.weights, options.placement.weight)


def _located(where: str, do: Callable[..., Any], *arguments: Any) -> Any:
    """The result; an error about a config is told with its name, and with what to do."""
    try:
        return do(*arguments)
    except KeyError as error:
        raise ModelFormatError(f"{where}: expected the setting {error}; found none. Is the file whole?") from None
    except ModelFormatError as error:
        reason = str(error).removeprefix("config.json: ")
        if not reason.endswith("another teacher."):
            reason += " Choose another teacher, or run this one in PyTorch: m2v-distill[torch], backend='torch'."
        raise ModelFormatError(f"{where}: {reason}") from None


def _check_quantization(raw: Mapping[str, Any]) -> None:
    quantized = raw.get("quantization_config")
    if quantized is not None:
        method = quantized.get("quant_method") if isinstance(quantized, dict) else quantized
        raise ModelFormatError(
            f'expected no "quantization_config"; found one of {method!r}, which changes weights or products. Take the '
            f"weights in float32, float16 or bfloat16 that it was made of, or another teacher."
        )


def _host_copy(tensor: Any) -> Callable[[], np.ndarray]:
    return lambda: tensor.detach().cpu().float().numpy().copy()
