"""Weights in `pytorch_model.bin`, a pickle file: PyTorch reads its tensors and nothing else.

Only this module and `torch_encoder.py` import PyTorch: `pip install m2v-distill[torch]`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import MissingPackageError, ModelFormatError

#: Errors of `torch.load` for a truncated or damaged file.
DAMAGE = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError)


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return find_spec("torch") is not None


def open_pickled(path: Path) -> dict[str, Callable[[], NDArray[Any]]]:
    """The tensors of a file by name, each converted to a NumPy array when it is read.

    Files written by PyTorch 1.6 or newer are mapped into memory; older ones are read. No code in them is run:
    `torch.load(weights_only=True)` refuses everything that is not a tensor.

    Raises:
        MissingPackageError: PyTorch is missing, or so old that its `weights_only` is not safe (CVE-2025-32434).
        ModelFormatError: The file is damaged, or holds anything other than tensors.
    """
    if not has_torch():
        raise MissingPackageError(
            f"{path}: expected weights in safetensors; found a pickle file, which only PyTorch "
            f"reads: pip install m2v-distill[torch]. Or convert it with transformers where PyTorch is installed: "
            f"AutoModel.from_pretrained(...).save_pretrained(...) writes safetensors."
        )
    import torch

    if torch.__version__ < (2, 6):
        raise MissingPackageError(
            f"{path}: pickled weights need PyTorch 2.6 or newer, which reads them safely; found {torch.__version__}. "
            f"pip install -U m2v-distill[torch]"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols; what cannot be read raises an error
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except UnpicklingError as error:
        reason = (
            str(error).partition("WeightsUnpickler error: ")[2].partition("\n")[0] or "not a pickle file of PyTorch"
        )
        raise ModelFormatError(
            f"{path}: expected tensors by name; found content that could run code or is damaged ({reason.strip()}). "
            f"It was not run. Use another revision of the model, with safetensors, from a source that you trust."
        ) from None
    except DAMAGE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelFormatError(f"{path} is damaged ({reason}). Download the model again.") from None
    if not isinstance(found, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        kinds = sorted({type(value).__name__ for value in found.values()}) if isinstance(found, Mapping) else []
        raise ModelFormatError(
            f"{path}: expected tensors by name, as in a state_dict; found {type(found).__name__} of "
            f"{', '.join(kinds) or 'something else'}. Load it in PyTorch, and save the model with save_pretrained."
        )
    return {str(name): _reader(tensor) for name, tensor in found.items()}


def _reader(tensor: Any) -> Callable[[], NDArray[Any]]:
    return lambda: _array(tensor.detach())


def _array(tensor: Any) -> NDArray[Any]:
    """A tensor as a NumPy array, of a dtype of ml_dtypes where NumPy lacks it."""
    import torch

    name = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise ModelFormatError(f"expected dense tensors; found one of layout {tensor.layout} and dtype {name}.")
    tensor = tensor.contiguous()
    if not hasattr(ml_dtypes, name):
        array: NDArray[Any] = tensor.numpy()
        return array
    bits: NDArray[Any] = tensor.view(torch.int16 if tensor.itemsize == 2 else torch.int8).numpy()
    return bits.view(np.dtype(getattr(ml_dtypes, name)))
