"""What the backends of KeyBERT and BERTopic share: their base classes have the same methods."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel


class Backend:
    """The methods of a `BaseEmbedder`, by a static model. Subclasses inherit from this class first."""

    def __init__(self, model: StaticModel | str | os.PathLike[str], **options: Any) -> None:
        self._embedder = Embedder.of(model, options)
        super().__init__(embedding_model=self._embedder.model)  # type: ignore[call-arg] # that of BaseEmbedder

    def embed(self, documents: list[str], verbose: bool = False) -> NDArray[Any]:
        """The vectors of n documents or words, [n, D]."""
        return self._embedder.encode(documents, show_progress_bar=verbose)
