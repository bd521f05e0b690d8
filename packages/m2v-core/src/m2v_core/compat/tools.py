"""Public functions of model2vec around a model: its files, dtypes, and the packages of an extra."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.compat.model import StaticModel
from m2v_core.errors import InvalidInputError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_MODULES = {"scikit-learn": "sklearn"}


class DType(StrEnum):
    """The dtypes of a table."""

    Float16 = "float16"
    Float32 = "float32"
    Float64 = "float64"
    Int8 = "int8"


def quantize_embeddings(embeddings: NDArray[Any], quantize_to: str) -> NDArray[Any]:
    """A table in another dtype. int8 has one scale for the whole table here; `quantize_model` has one for each row."""
    dtype = np.dtype(DType(quantize_to).value)
    if embeddings.dtype == dtype or dtype.kind == "f":
        return embeddings.astype(dtype, copy=False)
    scaled = embeddings.astype(np.float32) * (127 / max(float(np.abs(embeddings).max(initial=0)), 1e-32))
    quantized: NDArray[Any] = np.rint(scaled).astype(dtype)
    return quantized


def quantize_and_reduce_dim(
    embeddings: NDArray[Any], quantize_to: str | None, dimensionality: int | None
) -> NDArray[Any]:
    """A table with its first dimensions, in another dtype.

    Raises:
        InvalidInputError: The table has fewer dimensions.
    """
    if dimensionality is not None and dimensionality > embeddings.shape[1]:
        raise InvalidInputError(
            f"dimensionality should be at most {embeddings.shape[1]}, the table's; found {dimensionality}."
        )
    reduced = embeddings[:, :dimensionality]
    return reduced if quantize_to is None else quantize_embeddings(reduced, quantize_to)


def quantize_vocabulary(
    n_clusters: int, weights: NDArray[Any] | None, embeddings: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Directions of clusters of rows, the direction of each row, and its weight; see `m2v_core.cluster.clustered`."""
    from m2v_core.cluster import clustered

    rows = embeddings if weights is None else embeddings * weights[:, None]
    directions, lengths, mapping = clustered(rows, n_clusters)
    return directions.astype(embeddings.dtype, copy=False), mapping, lengths


def load_pretrained(
    folder_or_repo_path: str | os.PathLike[str],
    subfolder: str | None = None,
    token: str | None = None,
    force_download: bool = True,
) -> tuple[NDArray[Any], Any, dict[str, Any], dict[str, Any], NDArray[Any] | None, NDArray[Any] | None]:
    """The parts of a saved model: table, tokenizer, config, base model and language, weights, mapping."""
    model = StaticModel.from_pretrained(
        folder_or_repo_path, subfolder=subfolder, token=token, force_download=force_download
    )
    origin = {"base_model": model.base_model_name, "language": model.language}
    return model.embedding, model.tokenizer, dict(model.config), origin, model.weights, model.token_mapping


def save_pretrained(
    folder_path: str | os.PathLike[str],
    embeddings: NDArray[Any],
    tokenizer: Any,
    config: Mapping[str, Any],
    create_model_card: bool = False,  # noqa: ARG001 - as model2vec has it
    subfolder: str | None = None,
    weights: NDArray[Any] | None = None,
    mapping: NDArray[Any] | None = None,
    *,
    base_model_name: str | None = None,
    language: list[str] | None = None,
    model_name: str | None = None,
) -> None:
    """Save a model that is made of these parts; m2v-hub and `m2v card` write cards, whatever `create_model_card` is."""
    normalize, max_length = bool(config.get("normalize")), config.get("max_length", 512)
    model = StaticModel(
        embeddings, tokenizer, config, normalize, base_model_name, language, weights, mapping, max_length
    )
    model.save_pretrained(folder_path, model_name, subfolder)


def get_package_extras(package: str, extra: str) -> Iterator[str]:
    """The names of the packages that an extra of a package needs.

    Raises:
        ImportError: The package is not installed.
    """
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires(package) or []
    except PackageNotFoundError as error:
        raise ImportError(f"The package {package} is not installed; its extra {extra} is not known.") from error
    for requirement in requirements:
        name, _, marker = requirement.partition(";")
        found = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
        if found and found[1] == extra:
            yield _NAME.findall(name)[0]


def importable(module: str, extra: str) -> None:
    """Raise ImportError if a module of an extra cannot be imported; it names what to install."""
    try:
        import_module(_MODULES.get(module, module))
    except ImportError as error:
        raise ImportError(f"{module} is needed, and is part of the extra {extra}: pip install {module}") from error
