"""A static model as a differentiable JAX function of its table."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from m2v_core import StaticModel
from m2v_core.format import StoredModel


class Parameters(NamedTuple):
    """What can be trained, as a JAX pytree.

    Attributes:
        embeddings: One row for each token.
        weights: One factor for each token.
    """

    embeddings: Float[Array, "V D"]
    weights: Float[Array, " V"]


def parameters_of(model: StaticModel) -> Parameters:
    """The parameters of a model, float32: its table (a clustered one with a row for each token again) and weights.

    Example:
        >>> parameters_of(tiny_model()).weights.tolist()
        [1.0, 1.0, 1.0]
    """
    table, weights = model.embedding, model.weights
    rows = table if model.token_mapping is None else table[model.token_mapping]
    ones = np.ones(len(rows), np.float32)
    return Parameters(jnp.asarray(rows, jnp.float32), jnp.asarray(ones if weights is None else weights, jnp.float32))


def mean_embeddings(
    parameters: Parameters,
    ids: Int[Array, " total"],
    text_of_id: Int[Array, " total"],
    n_texts: int,
    *,
    normalize: bool = False,
) -> Float[Array, "n D"]:
    """What `StaticModel.encode` computes, differentiable with respect to the parameters.

    Args:
        parameters: See `parameters_of`.
        ids: Token ids of all texts, flat.
        text_of_id: The text that each of them belongs to, ascending, from 0 to `n_texts` - 1.
        n_texts: Number of texts n; those without ids get zeros.
        normalize: Scale to unit length; zero vectors stay zero, and their gradient is zero.

    Example:
        >>> vectors = mean_embeddings(parameters_of(tiny_model()), jnp.array([1, 2]), jnp.array([0, 0]), 2)
        >>> vectors.tolist()
        [[0.5, 0.5], [0.0, 0.0]]
    """
    rows = parameters.embeddings[ids] * parameters.weights[ids, None]
    sums = jax.ops.segment_sum(rows, text_of_id, n_texts, indices_are_sorted=True)
    counts = jax.ops.segment_sum(jnp.ones_like(ids), text_of_id, n_texts, indices_are_sorted=True)
    means = sums / jnp.maximum(counts, 1)[:, None]
    if not normalize:
        return means
    squares = jnp.sum(means**2, axis=1, keepdims=True)
    # The inner where keeps the square root's infinite slope at zero out of the gradient.
    return jnp.where(squares > 0, means / jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)


def to_static_model(parameters: Parameters, model: StaticModel) -> StaticModel:
    """A model with trained parameters and the tokenizer and config of `model`, which is left as it is.

    The weights are folded into a float32 table.

    Example:
        >>> to_static_model(parameters_of(tiny_model()), tiny_model()).encode("good").tolist()
        [1.0, 0.0]
    """
    table = np.asarray(parameters.embeddings * parameters.weights[:, None], np.float32)
    return StaticModel.from_stored(StoredModel(table, model.stored.tokenizer_json, model.config))
