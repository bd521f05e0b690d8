"""A model whose tokens count by how rare they are in a collection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import InvalidInputError
from m2v_core.model import StaticModel
from m2v_core.ragged import Ragged


def collection_weights(tokens: Ragged, n_tokens: int) -> NDArray[np.float32]:
    """A factor [n_tokens] for each token: the square root of its inverse document frequency.

    It is `sqrt(log(1 + (N - n + 0.5) / (n + 0.5)))` for a token in n of N texts, with the frequency of BM25 (Robertson
    and Zaragoza 2009, section 3.1, as Lucene has it), which no token of all texts makes zero.

    Example:
        >>> collection_weights(Ragged.of([[0, 1], [1, 1]]), 3).round(2)
        array([0.83, 0.43, 1.34], dtype=float32)
    """
    counts = np.bincount(tokens.distinct()[0], minlength=n_tokens)
    return np.sqrt(np.log1p((len(tokens) - counts + 0.5) / (counts + 0.5))).astype(np.float32)


def with_weights(model: StaticModel, factors: NDArray[np.float32]) -> StaticModel:
    """The model with a factor for each token.

    Raises:
        InvalidInputError: There are not as many factors as tokens.
    """
    if factors.shape != (model.n_tokens,):
        raise InvalidInputError(f"Expected a factor for each of {model.n_tokens} tokens; found {len(factors)}.")
    stored = model.stored
    weights = factors if stored.weights is None else (stored.weights * factors).astype(np.float32)
    return StaticModel.from_stored(replace(stored, weights=weights, ranges=None))
