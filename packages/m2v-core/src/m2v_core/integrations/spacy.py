"""spaCy: the component `static_model`, which sets `doc.vector` (spacy). Its entry point lets spaCy find it by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from m2v_core.extras import needs
from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel

with needs("spacy"):
    from spacy.language import Language
    from spacy.tokens import Doc


class StaticModelVectors:
    """A component of a spaCy pipeline that sets `doc.vector`, and so what `doc.similarity` compares.

    In a pipeline: `nlp.add_pipe("static_model", config={"model": "my-model"})`.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        options: Options of `StaticModel.encode`, such as `truncate_dim`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> import spacy
        >>> StaticModelVectors(tiny_model())(spacy.blank("en")("good day")).vector
        array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, model: StaticModel | str | os.PathLike[str], **options: Any) -> None:
        self._embedder = Embedder.of(model, options)

    def __call__(self, doc: Doc) -> Doc:
        """The document with its vector."""
        doc.vector = self._embedder.encode(doc.text)
        return doc

    def pipe(self, docs: Iterable[Doc], batch_size: int = 1000) -> Iterator[Doc]:
        """The documents with their vectors, embedded in batches."""
        remaining = iter(docs)
        while batch := list(islice(remaining, batch_size)):
            for doc, vector in zip(batch, self._embedder.encode([doc.text for doc in batch]), strict=True):
                doc.vector = vector
                yield doc


@Language.factory("static_model", assigns=["doc.vector"], default_config={"options": {}})
def create(nlp: Language, name: str, model: str, options: dict[str, Any]) -> StaticModelVectors:  # noqa: ARG001
    """The component of a pipeline's config; called by spaCy, with its names of the arguments."""
    return StaticModelVectors(model, **options)
