"""A teacher's encoder from a folder or a PyTorch model: a Flax module filled with its weights, or the PyTorch model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from m2v_core.errors import ModelFormatError
from m2v_core.storage.files import read_json
from m2v_distill.logs import logger
from m2v_distill.teacher.checkpoint import Checkpoint, fill, open_checkpoint, weights_file
from m2v_distill.teacher.engine.placement import Placement, devices_of
from m2v_distill.teacher.families.bert import check_positions
from m2v_distill.teacher.families.classes import BIDIRECTIONAL, Architecture
from m2v_distill.teacher.families.registry import family_of
from m2v_distill.teacher.interface import Backend, Device, Encoder, check_compute_as
from m2v_distill.teacher.pickled import has_torch
from m2v_distill.teacher.torch_encoder import TorchEncoder
from m2v_distill.teacher.transformers_io import load_config

#: Names of the number of layers in configs of transformers.
_LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "num_decoder_layers")


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """How an encoder is loaded.

    Attributes:
        placement: Devices and precision of a Flax module.
        device: Device by name; see `DistillConfig.device`.
        backend: Library that computes the encoder; see `DistillConfig.backend`.
        compute_as: Architecture in place of the config's; see `DistillConfig.compute_as`.
        trust_remote_code: Whether Python code of the folder may be run.

    Raises:
        InvalidInputError: `compute_as` is given, and the backend would ignore it.
    """

    placement: Placement
    device: Device
    backend: Backend
    compute_as: str | None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        check_compute_as(self.compute_as, self.backend)


def encoder_of_folder(folder: Path, options: EncoderOptions) -> Encoder:
    """The encoder of a folder.

    Raises:
        ModelNotFoundError: There are no weights.
        ModelFormatError: The folder holds an adapter or a static model; its architecture, class or a setting is not
            computed; or the weights do not fit.
        MissingPackageError: PyTorch is needed and not installed.
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
    torch_alone = options.backend == "auto" and found.kind is None and has_torch()
    if options.backend == "torch" or (torch_alone and trusted):
        if not trusted and found.kind != raw.get("model_type"):  # transformers would use its own class without a word
            raise found.refused(raw.get("model_type"), str(settings))
        if found.own_class is None and found.kind is not None:
            _located(str(settings), check_positions, raw)  # transformers 5 ignores them
        if has_torch():
            open_checkpoint(folder)  # its errors about files are better than transformers'
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
    return _flax_encoder(found, raw, source, options)


def encoder_of_model(model: Any, options: EncoderOptions) -> Encoder:
    """The encoder of a PyTorch model in memory, which is not changed: a Flax module, or a copy that runs in PyTorch.

    Raises:
        ModelFormatError: Its class or a setting is not computed, or the weights do not fit.
    """
    raw, name = model.config.to_dict(), type(model).__name__
    if raw.get("use_bidirectional_attention") and raw.get("sliding_window"):
        raw["sliding_window"] = (model.config.sliding_window - 1) * 2  # as in a file: see Architecture.config
    found = Architecture.of_model(model, raw, options.compute_as)
    if options.backend == "torch" or (options.backend == "auto" and found.kind is None):
        if options.backend == "auto" and found.own_class is not None:
            logger.warning("%s runs in PyTorch itself: %s is not of transformers", name, found.own_class)
        return TorchEncoder(deepcopy(model), device=options.device, precision=options.placement.precision)
    if found.kind is None and found.own_class is not None:
        raise found.refused(raw.get("model_type"), name, in_memory=True)
    tensors = {name: _host_copy(tensor) for name, tensor in model.state_dict().items()}
    return _flax_encoder(found, raw, _Source(f"{name}.config", name, lambda: raw, lambda: tensors), options)


@dataclass(frozen=True)
class _Source:
    """A config and weights: their names in errors, and functions that read them."""

    settings: str
    weights: str
    config: Callable[[], dict[str, Any]]
    checkpoint: Callable[[], Checkpoint]


def _flax_encoder(found: Architecture, raw: dict[str, Any], source: _Source, options: EncoderOptions) -> Encoder:
    settings = source.settings
    model_type = raw.get("model_type") if found.kind is None else found.kind.removeprefix(BIDIRECTIONAL)
    family = family_of(model_type, settings)
    devices_of(options.device)  # an error if only PyTorch has the device, which the placement ignores
    _located(settings, _check_quantization, raw)
    tensors = source.checkpoint()
    _located(settings, _check_layers, raw, len(tensors))
    config = found.config(raw, source.config, settings)
    _located(settings, _check_layers, config, len(tensors))
    pooler = family.pooler is not None and family.table.prefix_of(tensors) + family.pooler in tensors
    sizes = _located(settings, lambda: family.config(config, pooler=pooler))
    make = partial(_located, settings, family.module, sizes)
    encoder: Encoder = fill(make, tensors, family.table, source.weights, options.placement.weight)
    _located(settings, _check_shapes, encoder)
    return encoder


def _check_shapes(encoder: Encoder) -> None:
    """Compute the shapes of a sequence's hidden states, and nothing else, so that wrong settings show before any work.

    Raises:
        ValueError: They are not [1, L, H]; also errors of JAX, of which TypeError is one.
    """
    shape = 1, min(2, encoder.config.max_length or 2)
    inputs = np.zeros(shape, np.int32), np.ones(shape, bool)
    hidden, _ = jax.eval_shape(encoder.outputs, *inputs)
    if hidden.shape != (*shape, encoder.config.hidden_size):
        raise ValueError(f"hidden states of {encoder.config.hidden_size} numbers are expected, not {hidden.shape}")


def _located(where: str, do: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function; an error about a config names the config and says what to do."""
    try:
        return do(*arguments)
    except KeyError as error:
        raise ModelFormatError(f"{where}: expected the setting {error}; found none. Is the file whole?") from None
    except ModelFormatError as error:
        reason = str(error).removeprefix("config.json: ")
        if not reason.endswith("another teacher."):
            reason += " Choose another teacher, or run this one in PyTorch: m2v-distill[torch], backend='torch'."
        raise ModelFormatError(f"{where}: {reason}") from None
    except (TypeError, ValueError, ArithmeticError, AttributeError, IndexError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelFormatError(
            f"{where}: expected settings that fit each other; with those found, the model cannot be built ({reason}). "
            f"Is the file whole?"
        ) from None


def _check_quantization(raw: Mapping[str, Any]) -> None:
    quantized = raw.get("quantization_config")
    if quantized is not None:
        method = quantized.get("quant_method") if isinstance(quantized, dict) else quantized
        raise ModelFormatError(
            f'expected no "quantization_config"; found one of {method!r}, which changes weights or products. Take the '
            f"weights in float32, float16 or bfloat16 that it was made of, or another teacher."
        )


def _check_layers(raw: Mapping[str, Any], n_tensors: int) -> None:
    """Raise `ModelFormatError` for more layers than there are weights: building them could take for ever."""
    for name in _LAYERS:
        value = raw.get(name)
        if isinstance(value, int) and value > n_tensors:
            raise ModelFormatError(
                f'expected "{name}" of {n_tensors} at the most, the number of tensors in the weights; found {value}. '
                f"Is the file whole? Else choose another teacher."
            )


def _host_copy(tensor: Any) -> Callable[[], np.ndarray]:
    return lambda: tensor.detach().cpu().float().numpy().copy()
