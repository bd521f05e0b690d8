"""Haystack: `StaticModelTextEmbedder` and `StaticModelDocumentEmbedder`, components of pipelines (haystack-ai)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from m2v_core.errors import InvalidInputError
from m2v_core.extras import needs
from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel

with needs("haystack-ai"):
    from haystack import Document, component, default_from_dict, default_to_dict


class _Component:
    """What both components share: their model, which is loaded when it is needed, and their dictionary."""

    # Not __init__: the decorator makes the classes again, and `super()` in a method would be that of the first ones.
    def _keep(self, model: StaticModel | str | os.PathLike[str], **parameters: Any) -> None:
        self.model = model if isinstance(model, StaticModel) else os.fspath(model)
        self._parameters = parameters
        self._embedder: Embedder | None = None
        if isinstance(model, StaticModel):
            self.warm_up()

    def warm_up(self) -> None:
        """Load the model, if it was not loaded yet; `run` does so too."""
        self._loaded()

    def _loaded(self) -> Embedder:
        if self._embedder is None:
            self._embedder = Embedder.of(self.model, self._parameters["encode_options"] or {})
        return self._embedder

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary, for the file of a pipeline.

        Raises:
            InvalidInputError: The component was given a model and not its folder or name, which a file can hold.
        """
        if isinstance(self.model, StaticModel):
            raise InvalidInputError(
                f"The file of a pipeline holds a model's folder or name; found {self.model!r}. Save the model, and "
                f"make the component of its folder: model.save_pretrained(folder)."
            )
        made: dict[str, Any] = default_to_dict(self, model=self.model, **self._parameters)
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component of a dictionary that `to_dict` made."""
        made: Self = default_from_dict(cls, data)
        return made


@component
class StaticModelTextEmbedder(_Component):
    """Embeds a text, such as a query, by a static model.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        prefix: Text before the text, "" for none. Default: the model's prompt for queries, if it has one.
        suffix: Text after the text.
        encode_options: Options of `StaticModel.encode`, such as `truncate_dim`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> StaticModelTextEmbedder(tiny_model()).run("good day")
        {'embedding': [0.5, 0.5]}
    """

    def __init__(
        self,
        model: StaticModel | str | os.PathLike[str],
        *,
        prefix: str | None = None,
        suffix: str = "",
        encode_options: dict[str, Any] | None = None,
    ) -> None:
        self._keep(model, prefix=prefix, suffix=suffix, encode_options=encode_options)
        self.prefix, self.suffix = prefix, suffix

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """The embedding of a text.

        Raises:
            TypeError: `text` is no text.
        """
        if not isinstance(text, str):
            raise TypeError(
                f"text should be a text (str); found {text!r:.200}. Documents are for StaticModelDocumentEmbedder."
            )
        return {"embedding": self._loaded().queries(text + self.suffix, prompt=self.prefix).tolist()}


@component
class StaticModelDocumentEmbedder(_Component):
    """Embeds documents by a static model.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        prefix: Text before each, "" for none. Default: the model's prompt for documents, if it has one.
        suffix: Text after each.
        meta_fields_to_embed: Names of metadata whose values are put before the content.
        embedding_separator: What separates these values and the content.
        progress_bar: Whether to show progress on stderr.
        encode_options: Options of `StaticModel.encode`, such as `batch_size`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> embedder = StaticModelDocumentEmbedder(tiny_model(), meta_fields_to_embed=["title"])
        >>> embedder.run([Document(content="day", meta={"title": "good"})])["documents"][0].embedding
        [0.5, 0.5]
    """

    def __init__(
        self,
        model: StaticModel | str | os.PathLike[str],
        *,
        prefix: str | None = None,
        suffix: str = "",
        meta_fields_to_embed: Sequence[str] | None = None,
        embedding_separator: str = "\n",
        progress_bar: bool = False,
        encode_options: dict[str, Any] | None = None,
    ) -> None:
        self._keep(
            model,
            prefix=prefix,
            suffix=suffix,
            meta_fields_to_embed=list(meta_fields_to_embed or ()),
            embedding_separator=embedding_separator,
            progress_bar=progress_bar,
            encode_options=encode_options,
        )
        self.prefix, self.suffix, self.progress_bar = prefix, suffix, progress_bar
        self.meta_fields_to_embed, self.embedding_separator = list(meta_fields_to_embed or ()), embedding_separator

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Copies of documents with their embeddings.

        Raises:
            TypeError: `documents` is no list of documents.
        """
        _check_documents(documents)
        texts = [self._text(document) for document in documents]
        vectors = self._loaded().documents(texts, prompt=self.prefix, show_progress_bar=self.progress_bar).tolist()
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in pairs]}

    def _text(self, document: Document) -> str:
        metadata = (document.meta.get(name) for name in self.meta_fields_to_embed)
        parts = [str(value) for value in metadata if value is not None]
        return self.embedding_separator.join([*parts, document.content or ""]) + self.suffix


def _check_documents(documents: Any) -> None:
    if not isinstance(documents, list) or any(not isinstance(document, Document) for document in documents):
        raise TypeError(
            f"documents should be a list of Document; found {documents!r:.200}. A text is for StaticModelTextEmbedder."
        )
