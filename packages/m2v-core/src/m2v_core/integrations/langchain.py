"""LangChain: `StaticModelEmbeddings`, for its vector stores and retrievers (langchain-core)."""

from __future__ import annotations

import os
from typing import Any

from m2v_core.extras import needs
from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel

with needs("langchain-core"):
    from langchain_core.embeddings import Embeddings


class StaticModelEmbeddings(Embeddings):
    """A static model as LangChain's `Embeddings`.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        options: Options of `StaticModel.encode`, such as `truncate_dim`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> embeddings = StaticModelEmbeddings(tiny_model())
        >>> embeddings.embed_query("day"), embeddings.embed_documents(["good day"])
        ([0.0, 1.0], [[0.5, 0.5]])
    """

    def __init__(self, model: StaticModel | str | os.PathLike[str], **options: Any) -> None:
        self._embedder = Embedder.of(model, options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of documents, with the model's prompt for them if it has one."""
        vectors: list[list[float]] = self._embedder.documents(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query, with the model's prompt for it if it has one."""
        vector: list[float] = self._embedder.queries(text).tolist()
        return vector
