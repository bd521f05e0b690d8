"""Encoders that m2v-distill has no Flax module for: transformers' own PyTorch models behind the same interface.

PyTorch is imported when an encoder is made: `pip install m2v-distill[torch]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numpy import ndarray

from m2v_core.devices import device_name
from m2v_core.errors import InvalidInputError, MissingPackageError, ModelFormatError
from m2v_distill.teacher.interface import Device
from m2v_distill.teacher.pickled import has_torch

#: Architectures whose encoder alone runs, as in sentence-transformers; any other model runs as a whole.
ENCODER_ONLY = (
    *("t5", "mt5", "umt5", "t5gemma", "udop", "longt5", "prophetnet", "switch_transformers", "blenderbot"),
    *("blenderbot-small", "m2m_100", "pegasus", "pegasus_x", "marian"),
)


@dataclass(frozen=True)
class TorchConfig:
    """Sizes of a PyTorch model; see `m2v_distill.teacher.interface.EncoderConfig`."""

    hidden_size: int
    vocab_size: int
    max_length: int | None
    pooler: bool


def _longest(model: Any, positions: Any) -> int | None:
    """The longest sequence for a number of positions, of which the RoBERTa family reserves the first."""
    from torch.nn import Embedding

    if not isinstance(positions, int) or positions < 1:
        return None
    tables = [part for name, part in model.named_modules() if name.endswith("position_embeddings")]
    first = max((part.padding_idx or -1 for part in tables if isinstance(part, Embedding)), default=-1)
    return positions - first - 1


class TorchEncoder:
    """A PyTorch model of transformers without its task head; see `m2v_distill.teacher.interface.Encoder`.

    It owns the model: it sets its device, dtype and mode.

    Attributes:
        config: Sizes.
    """

    compiles: ClassVar[bool] = False

    def __init__(self, model: Any, *, device: Device, precision: str, pooler: bool = True) -> None:
        import torch

        model = model.base_model
        if model.config.model_type in ENCODER_ONLY:
            model = model.get_encoder()
        best = "cuda" if torch.cuda.is_available() else "cpu"
        named = device_name(device)
        name = best if named in (None, "auto") else named.replace("gpu", "cuda")
        try:
            self._model = model.to(name, torch.float32).eval()
        except (RuntimeError, AssertionError) as error:  # the latter where PyTorch was built without CUDA
            raise InvalidInputError(
                f"device should name one that PyTorch has here, or be left out; found {device!r} ({error})."
            ) from None
        self._narrow = precision == "bfloat16"
        settings = model.config.get_text_config()
        self.config = TorchConfig(
            hidden_size=int(settings.hidden_size),
            vocab_size=int(model.get_input_embeddings().num_embeddings),
            max_length=_longest(model, getattr(settings, "max_position_embeddings", None)),
            pooler=pooler and getattr(model, "pooler", None) is not None,
        )

    @classmethod
    def from_folder(cls, folder: Path, *, trust_remote_code: bool, device: Device, precision: str) -> TorchEncoder:
        """The model of a folder, from safetensors, or from pickled weights where there are no others.

        Raises:
            MissingPackageError: PyTorch is not installed.
            ModelFormatError: transformers cannot load the model, or weights are missing.
        """
        if not has_torch():
            raise MissingPackageError("This teacher needs PyTorch: pip install m2v-distill[torch]")
        import torch
        from transformers import AutoModel

        try:
            model, found = AutoModel.from_pretrained(
                folder,
                trust_remote_code=trust_remote_code,
                use_safetensors=any(folder.glob("model.safetensors*")) or None,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, ImportError, KeyError, AttributeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelFormatError(f"{folder}: transformers cannot load a PyTorch model from it ({reason}).") from error
        # transformers fills missing weights with random numbers. That is harmless for a pooler, which is then not used.
        poolers = {name for name in found["missing_keys"] if "pooler" in name.split(".")}
        skipped = "decoder." if model.config.model_type in ENCODER_ONLY else "pooler."
        missing = sorted(name for name in found["missing_keys"] - poolers if not name.startswith(skipped))
        if missing:
            raise ModelFormatError(
                f"{folder}: expected all weights of {type(model).__name__}; not found: {', '.join(missing[:20])}."
            )
        return cls(model, device=device, precision=precision, pooler=not poolers)

    def outputs(
        self, ids: Int32[ndarray, "B L"], mask: Bool[ndarray, "B L"]
    ) -> tuple[Float32[ndarray, "B L H"], Float32[ndarray, "B H"] | None]:
        """The last hidden states, and the pooler's output if there is a pooler."""
        import torch

        device = self._model.device
        inputs = {"input_ids": ids.astype(np.int64), "attention_mask": mask.astype(np.int64)}
        # Without token types: models that need them take zeros by default; GPT-2 would add the embedding of token 0.
        tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._narrow):
            out = self._model(**tensors)
        pooled = getattr(out, "pooler_output", None)
        return out.last_hidden_state.float().cpu().numpy(), None if pooled is None else pooled.float().cpu().numpy()

    def token_embeddings(self) -> Float32[ndarray, "V E"]:
        """The input embeddings of all token ids."""
        table: ndarray = self._model.get_input_embeddings().weight.detach().float().cpu().numpy()
        return table
