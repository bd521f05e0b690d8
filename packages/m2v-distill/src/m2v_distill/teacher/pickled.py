"""Weights in `pytorch_model.bin`, which is pickle: PyTorch reads them, and nothing but tensors of them.

Beside `torch_encoder.py` the only module that imports PyTorch: `pip install m2v-distill[torch]`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import MissingPackageError, ModelFormatError
from m2v_distill.teacher.torch_encoder import has_torch

#: What `torch.load` raises for a file that is cut off or damaged.
DAMAGE = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError)


def open_pickled(path: Path) -> dict[str, Callable[[], NDArray[Any]]]:
    """The tensors of a file by name, each made a numpy array when it is asked for.

    Files that PyTorch wrote since 1.6 are mapped into memory, older ones are read. No code of theirs is run:
    `torch.load(weights_only=True)` refuses what is no tensor.

    Raises:
        MissingPackageError: There is no PyTorch, or an old one, whose `weights_only` can be got round (CVE-2025-32434).
        ModelFormatError: The file is damaged, or holds something else than tensors.
    """
    if not has_torch():
        raise MissingPackageError(
            f"{path}: expected weights in safetensors; found pickle, which PyTorch alone reads: "
            f"pip install m2v-distill[torch]. Or convert it where PyTorch is, by transformers: "
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
            warnings.simplefilter("ignore", UserWarning)  # of protocols of pickle; what cannot be read fails
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except UnpicklingError as error:
        reason = str(error).partition("WeightsUnpickler error: ")[2].partition("\n")[0] or "no pickle of PyTorch's"
        raise ModelFormatError(
            f"{path}: expected tensors by name; found what could run code, or is damaged ({reason.strip()}). It was "
            f"not run. Take another revision of the model, with safetensors, from somebody whom you trust."
        ) from None
    except DAMAGE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelFormatError(f"{path} is damaged ({reason}). Download the model again.") from None
    if not isinstance(found, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        kinds = sorted({type(value).__name__ for value in found.values()}) if isinstance(found, Mapping) else []
        raise ModelFormatError(
            f"{path}: expected tensors by name, as a state_dict has them; found {type(found).__name__} of "
            f"{', '.join(kinds) or 'something else'}. Load it in PyTorch, and save its model by save_pretrained."
        )
    return {str(name): _reader(tensor) for name, tensor in found.items()}


def _reader(tensor: Any) -> Callable[[], NDArray[Any]]:
    return lambda: _array(tensor.detach())


def _array(tensor: Any) -> NDArray[Any]:
    """A tensor's values; numpy does not know all of PyTorch's dtypes by itself."""
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
