"""Vectors of queries and documents by anything that embeds texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.data.sources import as_array
from m2v_core.errors import InvalidInputError


def query_vectors(encoder: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors [n, D] of queries: by `encode_query` of an object that has it, or by `encode`.

    Raises:
        InvalidInputError: The object has neither, or gives other arrays.

    Example:
        >>> query_vectors(tiny_model(), ["good", "day"]).shape
        (2, 2)
    """
    return _vectors(encoder, "encode_query", texts)


def document_vectors(encoder: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors [n, D] of documents: by `encode_document` of an object that has it, or by `encode`.

    Raises:
        InvalidInputError: The object has neither, or gives other arrays.

    Example:
        >>> document_vectors(tiny_model(), ["good day"]).shape
        (1, 2)
    """
    return _vectors(encoder, "encode_document", texts)


def _vectors(encoder: Any, name: str, texts: Sequence[str]) -> NDArray[np.float32]:
    encode = getattr(encoder, name, None) or getattr(encoder, "encode", None) or getattr(encoder, "predict", None)
    if not callable(encode):
        raise InvalidInputError(
            f"Expected a model that embeds texts, with a method encode; found {type(encoder).__name__}."
        )
    vectors = as_array(encode(list(texts)))
    if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.dtype.kind not in "fiu":
        raise InvalidInputError(
            f"Expected vectors [{len(texts)}, dimensions] from {type(encoder).__name__}; found shape {vectors.shape} "
            f"of {vectors.dtype}."
        )
    return vectors.astype(np.float32, copy=False)
