"""What is computed of texts for requests; equal tasks are computed together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from m2v_core.blas import blas_threads
from m2v_core.encode.batches import Batching
from m2v_core.head import MLPHead
from m2v_core.model import UNSET, StaticModel

if TYPE_CHECKING:
    from m2v_core.search import Hit, Index


@dataclass(frozen=True, kw_only=True)
class Embed:
    """The vectors of texts, and their numbers of tokens.

    Attributes:
        model: The model.
        normalize: Whether vectors are scaled to unit length; `None` for the model's setting.
        dimensions: Number of dimensions to keep, the first ones; `None` for all.
        threads: Threads for a large batch.

    Example:
        >>> Embed(model=tiny_model())(["good day", "day"])
        (array([[0.5, 0.5],
               [0. , 1. ]], dtype=float32), array([2, 1]))
    """

    model: StaticModel
    normalize: bool | None = None
    dimensions: int | None = None
    threads: int | None = None

    def __call__(self, texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """[n, dimensions] float32, and [n] int64."""
        limit, unit = self.model._settings(UNSET, self.normalize)
        output = None
        if self.dimensions is not None:
            unit, output = self.model._output(unit, self.dimensions, "float32", None)
        counts = np.zeros(len(texts), np.int64)
        batching = Batching(threads=self.threads)
        return self.model._encoder.vectors(texts, limit, unit, batching, output, counts=counts), counts


@dataclass(frozen=True, kw_only=True)
class Count:
    """The numbers of tokens of texts before they are truncated, up to one more than the model takes.

    Example:
        >>> Count(model=tiny_model())(["good day", ""])
        (array([2, 0]),)
    """

    model: StaticModel

    def __call__(self, texts: list[str]) -> tuple[NDArray[np.int64]]:
        """[n] int64."""
        limit = self.model.max_length
        _, offsets = self.model.token_ids(texts, max_length=None if limit is None else limit + 1)
        return (np.diff(offsets),)


@dataclass(frozen=True, kw_only=True)
class Predict:
    """The outputs of a head for texts, and their numbers of tokens.

    Attributes:
        model: The model.
        head: Its head.
        raw: Whether the outputs are those of the last layer, and no probabilities.
        threads: Threads for a large batch.
    """

    model: StaticModel
    head: MLPHead
    raw: bool = False
    threads: int | None = None

    def __call__(self, texts: list[str]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """[n, outputs] float32 or float64, and [n] int64."""
        vectors, counts = Embed(model=self.model, threads=self.threads)(texts)
        with blas_threads(self.threads):
            outputs = self.head.logits(vectors)
        return (outputs if self.raw else self.head.probabilities(outputs)), counts


@dataclass(frozen=True, kw_only=True)
class Search:
    """The hits of queries.

    Attributes:
        index: What is searched.
        k: Number of hits.
        mode: See `Index.search`.
        filter: The filter of `Index.search` as JSON, which unlike an object can be compared; `None` for none.
        threads: Threads for a large product.
    """

    index: Index
    k: int = 10
    mode: str | None = None
    filter: bytes | None = None
    threads: int | None = None

    def __call__(self, texts: list[str]) -> tuple[list[list[Hit]]]:
        """A list for each query."""
        wanted = None if self.filter is None else orjson.loads(self.filter)
        return (self.index.search(texts, self.k, filter=wanted, mode=self.mode, threads=self.threads),)
