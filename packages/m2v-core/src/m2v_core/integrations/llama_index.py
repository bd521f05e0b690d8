"""LlamaIndex: `StaticModelEmbedding`, for its indices (llama-index-core)."""

from __future__ import annotations

import os
from typing import Any

from m2v_core.extras import needs
from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel

with needs("llama-index-core"):
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from pydantic import Field, PrivateAttr


class StaticModelEmbedding(BaseEmbedding):
    """A static model as LlamaIndex's `BaseEmbedding`.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        encode_options: Options of `StaticModel.encode`, such as `truncate_dim`.
        fields: Fields of `BaseEmbedding`, such as `embed_batch_size` (512) and `embeddings_cache`. `model_name`, a
            folder or `org/name`, may stand for `model`, as it does in LlamaIndex's own dictionaries.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> embedding = StaticModelEmbedding(tiny_model())
        >>> embedding.get_query_embedding("day"), embedding.get_text_embedding_batch(["good day"])
        ([0.0, 1.0], [[0.5, 0.5]])
    """

    encode_options: dict[str, Any] = Field(default_factory=dict)
    _embedder: Embedder = PrivateAttr()

    def __init__(
        self,
        model: StaticModel | str | os.PathLike[str] | None = None,
        *,
        encode_options: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        given: Any = fields.get("model_name") if model is None else model
        embedder = Embedder.of(given, encode_options or {})
        name = embedder.model.base_model_name or "static model" if isinstance(given, StaticModel) else os.fspath(given)
        super().__init__(**{"model_name": name, "embed_batch_size": 512, "encode_options": embedder.options, **fields})
        self._embedder = embedder

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serialises this class."""
        return cls.__name__

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._embedder.queries(query).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._embedder.documents(texts).tolist()
        return vectors

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._get_text_embeddings(texts)
