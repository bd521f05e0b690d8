"""The model that is trained, as functions: rows to texts' vectors, and the head on top of them."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int, Int32


class Head(nnx.Module):
    """Linear layers with ReLUs between them; with none, vectors pass as they are.

    The first weights are drawn as in model2vec: He's uniform distribution for hidden layers, Glorot's for the last one.

    Args:
        dims: Of the vectors, of hidden layers, and of the outputs; one alone for no layers.
        rngs: Where weights are drawn from.
    """

    def __init__(self, dims: list[int], rngs: nnx.Rngs) -> None:
        he, glorot = nnx.initializers.he_uniform(), nnx.initializers.glorot_uniform()
        last = len(dims) - 2
        self.layers = nnx.List(
            nnx.Linear(*sizes, kernel_init=glorot if i == last else he, rngs=rngs)
            for i, sizes in enumerate(pairwise(dims))
        )

    def __call__(self, vectors: Float[Array, "*n D"]) -> Float[Array, "*n O"]:
        """Outputs: logits, numbers or vectors."""
        for i, layer in enumerate(self.layers):
            vectors = layer(jax.nn.relu(vectors) if i else vectors)
        return vectors


def head_dims(dim: int, out_dim: int, *, n_layers: int, hidden_dim: int, may_be_empty: bool) -> list[int]:
    """The sizes of a head's layers.

    Example:
        >>> head_dims(4, 2, n_layers=1, hidden_dim=8, may_be_empty=True)
        [4, 8, 2]
        >>> head_dims(4, 4, n_layers=0, hidden_dim=8, may_be_empty=True)
        [4]
    """
    if n_layers == 0 and dim == out_dim and may_be_empty:
        return [dim]
    return [dim, *[hidden_dim] * n_layers, out_dim]


class Tokens(NamedTuple):
    """The tokens of a batch of texts, on each of n devices padded to one length m with tokens of share 0.

    Attributes:
        columns: Which of the batch's rows each token has.
        weights: Which of the batch's token weights it has; `None` without such.
        texts: The text that it belongs to, from 0 on each device, ascending.
        shares: 1 / length of that text.
    """

    columns: Int32[np.ndarray, "*s n m"] | Int[Array, "*s n m"]
    weights: Int32[np.ndarray, "*s n m"] | Int[Array, "*s n m"] | None
    texts: Int32[np.ndarray, "*s n m"] | Int[Array, "*s n m"]
    shares: Float32[np.ndarray, "*s n m"] | Float[Array, "*s n m"]


def text_vectors(
    rows: Float[Array, "U D"],
    weights: Float[Array, " W"] | None,
    tokens: Tokens,
    n_texts: int,
    *,
    normalize: bool,
) -> Float[Array, "n k D"]:
    """What `StaticModel.encode` computes, differentiable: the mean of each text's rows, times their tokens' weights.

    Args:
        rows: Rows of the table.
        weights: Of tokens; `None` for ones.
        tokens: See `Tokens`.
        n_texts: Texts on each device, k; those without tokens get zeros.
        normalize: Scale to unit length; zero vectors stay zero, and their gradient is zero.

    Example:
        >>> tokens = Tokens(jnp.array([[0, 1]]), None, jnp.array([[0, 0]]), jnp.array([[0.5, 0.5]]))
        >>> text_vectors(jnp.eye(2), None, tokens, 2, normalize=False).tolist()
        [[[0.5, 0.5], [0.0, 0.0]]]
    """
    shares = jnp.asarray(tokens.shares)
    factors = shares if weights is None else shares * weights[tokens.weights]

    def summed(own: Float[Array, "m D"], texts: Int[Array, " m"]) -> Float[Array, "k D"]:
        return jax.ops.segment_sum(own, texts, n_texts, indices_are_sorted=True)

    means: Array = jax.vmap(summed)(rows[tokens.columns] * factors[..., None], jnp.asarray(tokens.texts))
    return unit(means) if normalize else means


def unit(vectors: Float[Array, "*n D"]) -> Float[Array, "*n D"]:
    """Vectors of length 1; zeros stay zeros."""
    squares = jnp.sum(vectors**2, axis=-1, keepdims=True)
    # The inner where keeps the square root's infinite slope at zero out of the gradient.
    return jnp.where(squares > 0, vectors / jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
