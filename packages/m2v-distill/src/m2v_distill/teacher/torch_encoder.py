"""Teachers that m2v-distill has no Flax module for: transformers' own PyTorch model behind the same interface.

The only module that imports PyTorch, when it is asked for: `pip install m2v-distill[torch]`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numpy import ndarray

from m2v_core.errors import InvalidInputError, MissingPackageError, ModelFormatError


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return find_spec("torch") is not None


@dataclass(frozen=True)
class TorchConfig:
    """What the rest of m2v-distill asks of an encoder; see `Teacher`."""

    width: int
    vocab_size: int
    max_length: int | None
    pooler: bool


class TorchEncoder:
    """A PyTorch model of transformers, left as it is but for its device and mode.

    Attributes:
        config: Its sizes.
    """

    def __init__(self, model: Any, *, device: str | None, precision: str) -> None:
        import torch

        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        best = "cuda" if torch.cuda.is_available() else "cpu"
        name = best if device is None else {"gpu": "cuda"}.get(device.partition(":")[0], device)
        try:
            self._model = model.to(name).eval()
        except RuntimeError as error:
            raise InvalidInputError(f"device should name one that PyTorch has; found {device!r} ({error}).") from None
        self._narrow = precision == "bfloat16"
        known = inspect.signature(model.forward).parameters
        self._types = {"token_type_ids"} & set(known)
        settings = model.config.get_text_config()
        limit = getattr(settings, "max_position_embeddings", None)
        self.config = TorchConfig(
            width=int(settings.hidden_size),
            vocab_size=int(model.get_input_embeddings().num_embeddings),
            max_length=int(limit) if isinstance(limit, int) and limit > 0 else None,
            pooler=getattr(model, "pooler", None) is not None,
        )

    @classmethod
    def from_folder(cls, folder: Path, *, trust_remote_code: bool, device: str | None, precision: str) -> TorchEncoder:
        """The model of a folder, by safetensors alone.

        Raises:
            MissingPackageError: PyTorch is not installed.
            ModelFormatError: transformers cannot load it.
        """
        if not has_torch():
            raise MissingPackageError("This teacher needs PyTorch: pip install m2v-distill[torch]")
        import torch
        from transformers import AutoModel

        try:
            model = AutoModel.from_pretrained(
                folder, trust_remote_code=trust_remote_code, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError, ImportError, KeyError, AttributeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelFormatError(f"{folder}: transformers cannot load a PyTorch model from it ({reason}).") from error
        return cls(model, device=device, precision=precision)

    def __call__(
        self, ids: Int32[ndarray, "B L"], mask: Bool[ndarray, "B L"]
    ) -> tuple[Float32[ndarray, "B L H"], Float32[ndarray, "B H"] | None]:
        """The last hidden states, and the pooler's output if there is one."""
        import torch

        device = self._model.device
        inputs = {"input_ids": ids.astype(np.int64), "attention_mask": mask.astype(np.int64)}
        inputs |= {name: np.zeros(ids.shape, np.int64) for name in self._types}
        tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._narrow):
            out = self._model(**tensors)
        pooled = getattr(out, "pooler_output", None)
        return out.last_hidden_state.float().cpu().numpy(), None if pooled is None else pooled.float().cpu().numpy()
