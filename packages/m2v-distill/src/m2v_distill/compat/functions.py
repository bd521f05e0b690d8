"""`model2vec.distill`: the functions, called as model2vec's are."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Any

from m2v_core.compat.calls import ordered
from m2v_core.compat.model import StaticModel
from m2v_distill import pipeline

__all__ = ["PoolingMode", "distill", "distill_from_model", "select_optimal_device"]

#: Options in the order of model2vec's parameters.
_OPTIONS = ("vocabulary", "device", "pca_dims", "sif_coefficient", "token_remove_pattern")
_SIZES = ("quantize_to", "vocabulary_quantization", "pooling")


class PoolingMode(StrEnum):
    """The poolings of a teacher's outputs."""

    MEAN = "mean"
    LAST = "last"
    FIRST = "first"
    POOLER = "pooler"


def _compatible(function: Callable[..., Any], *names: str) -> Callable[..., StaticModel]:
    """A distillation with model2vec's order of parameters and its class of models."""
    distilling = ordered(function, *names)

    @wraps(function)
    def distil(*args: Any, **options: Any) -> StaticModel:
        return StaticModel.of(distilling(*args, **options))

    return distil


distill = _compatible(pipeline.distill, "model_name", *_OPTIONS, "trust_remote_code", *_SIZES)
distill_from_model = _compatible(pipeline.distill_from_model, "model", "tokenizer", *_OPTIONS, *_SIZES)


def select_optimal_device(device: str | None) -> str:
    """The device itself; without one that on which JAX computes, by the name that PyTorch has for it.

    Example:
        >>> select_optimal_device("cpu")
        'cpu'
    """
    if device:
        return device
    import jax

    name: str = jax.default_backend()
    return "cuda" if name == "gpu" else name
