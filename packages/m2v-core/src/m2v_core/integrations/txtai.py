"""txtai: `transform`, for `Embeddings(method="external")`. It needs no module of txtai."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel


def transform(model: StaticModel | str | os.PathLike[str], **options: Any) -> Callable[[list[str]], NDArray[Any]]:
    """A function from texts to vectors: `Embeddings(method="external", transform=transform("my-model"))`.

    txtai does not say whether a text is a query, and adds prompts of its own: for a model that has some, pass
    `instructions={"query": model.prompts["query"], "data": model.prompts["document"]}` to `Embeddings`.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        options: Options of `StaticModel.encode`, such as `truncate_dim`.

    Returns:
        A function that takes a list of n texts and returns [n, D].

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> transform(tiny_model())(["good day"])
        array([[0.5, 0.5]], dtype=float32)
    """
    embedder = Embedder.of(model, options)

    def vectors(texts: list[str]) -> NDArray[Any]:  # txtai calls functions, and takes any other object for a factory
        return embedder.encode(texts)

    return vectors
