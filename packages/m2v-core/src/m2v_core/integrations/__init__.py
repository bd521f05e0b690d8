"""Adapters: a static model as an object of another library. Each module needs its library, and nothing imports it here.

All of them take a model, or a folder or `org/name` that they load, and the options of `StaticModel.encode`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.model import StaticModel


@dataclass(frozen=True)
class Embedder:
    """A model, and the options of `encode` that an adapter was given.

    Attributes:
        model: The model.
        options: Keywords of each call of `encode`.
    """

    model: StaticModel
    options: dict[str, Any]

    @classmethod
    def of(cls, model: Any, options: dict[str, Any]) -> Embedder:
        """A model, which is loaded if it is a folder or `org/name`, with options that are checked.

        Raises:
            InvalidInputError: `model` is something else, or an option is out of range.
            TypeError: `encode` has no such option.
            M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

        Example:
            >>> Embedder.of(tiny_model(), {"normalize": True}).encode(["good day"]).round(2)
            array([[0.71, 0.71]], dtype=float32)
        """
        if isinstance(model, str | os.PathLike):
            model = StaticModel.from_pretrained(model)
        expected = "a StaticModel, a folder or the name of a model on the Hub"
        checks.expect(isinstance(model, StaticModel), "model", expected, model)
        embedder = cls(model, dict(options))
        embedder.encode([])
        return embedder

    @property
    def dim(self) -> int:
        """Number of columns of the vectors."""
        return int(self.encode([]).shape[1])

    def encode(self, texts: str | Iterable[str], **options: Any) -> NDArray[Any]:
        """The vectors of texts, without a prompt."""
        return self.model.encode(texts, **{**self.options, **options})

    def queries(self, texts: str | Iterable[str], **options: Any) -> NDArray[Any]:
        """The vectors of queries, with the model's prompt for them."""
        return self.model.encode_query(texts, **{**self.options, **options})

    def documents(self, texts: str | Iterable[str], **options: Any) -> NDArray[Any]:
        """The vectors of documents, with the model's prompt for them."""
        return self.model.encode_document(texts, **{**self.options, **options})
