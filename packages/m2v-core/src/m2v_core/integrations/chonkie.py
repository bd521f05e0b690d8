"""Chonkie: `StaticModelEmbeddings`, for its semantic chunkers (chonkie)."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

from m2v_core.extras import needs
from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel

with needs("chonkie"):
    from chonkie.embeddings import BaseEmbeddings


class StaticModelEmbeddings(BaseEmbeddings):
    """A static model as Chonkie's `BaseEmbeddings`: `SemanticChunker(embedding_model=StaticModelEmbeddings(...))`.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        options: Options of `StaticModel.encode`, such as `truncate_dim`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> embeddings = StaticModelEmbeddings(tiny_model())
        >>> embeddings.dimension, embeddings.embed("good day")
        (2, array([0.5, 0.5], dtype=float32))
    """

    def __init__(self, model: StaticModel | str | os.PathLike[str], **options: Any) -> None:
        super().__init__()
        self._embedder = Embedder.of(model, options)

    @property
    def dimension(self) -> int:
        """Number of dimensions."""
        return self._embedder.dim

    def embed(self, text: str) -> NDArray[Any]:
        """The vector [D] of a text."""
        return self._embedder.encode(text)

    def embed_batch(self, texts: list[str]) -> list[NDArray[Any]]:
        """The vectors of texts."""
        return list(self._embedder.encode(texts))

    def similarity(self, u: NDArray[Any], v: NDArray[Any]) -> Any:
        """The cosine of two vectors; 0 where one is zeros, that of a text without a known token."""
        return self._embedder.model.similarity(u, v)[0, 0]

    def get_tokenizer(self) -> Any:
        """The model's `tokenizers.Tokenizer`, by which chunks are measured."""
        return self._embedder.model.tokenizer

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._embedder.model!r})"
