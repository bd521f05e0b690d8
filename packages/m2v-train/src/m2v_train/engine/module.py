"""The model that is trained: token vectors to text vectors, and the layers on top of them."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int, Int32


class MLP(nnx.Module):
    """Linear layers with ReLU activations between them; without layers the identity.

    Initial weights are drawn as in model2vec: from He's uniform distribution for hidden layers, from Glorot's for the
    last layer.

    Args:
        sizes: Sizes of the input, of the hidden layers, and of the output; a single size makes no layers.
        rngs: Source of the initial weights.
    """

    def __init__(self, sizes: list[int], rngs: nnx.Rngs) -> None:
        he, glorot = nnx.initializers.he_uniform(), nnx.initializers.glorot_uniform()
        last = len(sizes) - 2
        self.layers = nnx.List(
            nnx.Linear(*ends, kernel_init=glorot if i == last else he, rngs=rngs)
            for i, ends in enumerate(pairwise(sizes))
        )

    def __call__(self, vectors: Float[Array, "*n D"]) -> Float[Array, "*n O"]:
        """Compute outputs: logits, numbers or vectors."""
        for i, layer in enumerate(self.layers):
            vectors = layer(jax.nn.relu(vectors) if i else vectors)
        return vectors


def layer_sizes(dim: int, out_dim: int, *, n_layers: int, hidden_dim: int, may_be_empty: bool) -> list[int]:
    """Sizes of the input, the hidden layers and the output of an `MLP`.

    Example:
        >>> layer_sizes(4, 2, n_layers=1, hidden_dim=8, may_be_empty=True)
        [4, 8, 2]
        >>> layer_sizes(4, 4, n_layers=0, hidden_dim=8, may_be_empty=True)
        [4]
    """
    if n_layers == 0 and dim == out_dim and may_be_empty:
        return [dim]
    return [dim, *[hidden_dim] * n_layers, out_dim]


class TokenBatch(NamedTuple):
    """Tokens of a batch of texts, split among n devices and padded to m tokens on each.

    Attributes:
        ids: The U different tokens of the batch.
        columns: Index into `ids` of each token.
        texts: Index of each token's text among the texts of its device, ascending.
        scale: 1 / length of that text; 0 for padding.
    """

    ids: Int32[np.ndarray, "*s U"] | Int[Array, "*s U"]
    columns: Int32[np.ndarray, "*s n m"] | Int[Array, "*s n m"]
    texts: Int32[np.ndarray, "*s n m"] | Int[Array, "*s n m"]
    scale: Float32[np.ndarray, "*s n m"] | Float[Array, "*s n m"]


def text_vectors(
    vectors: Float[Array, "U D"], tokens: TokenBatch, n_texts: int, *, normalize: bool
) -> Float[Array, "n k D"]:
    """Text vectors as `StaticModel.encode` computes them, differentiable: the mean of each text's token vectors.

    Args:
        vectors: Vectors of the tokens `tokens.ids`, multiplied by their weights.
        tokens: Tokens of the texts.
        n_texts: Number of texts on each device, k. Texts without tokens have zero vectors.
        normalize: Scale to unit length. Zero vectors stay zero and have a zero gradient.

    Example:
        >>> tokens = TokenBatch(jnp.array([4, 6]), jnp.array([[0, 1]]), jnp.array([[0, 0]]), jnp.array([[0.5, 0.5]]))
        >>> text_vectors(jnp.eye(2), tokens, 2, normalize=False).tolist()
        [[[0.5, 0.5], [0.0, 0.0]]]
    """

    def summed(terms: Float[Array, "m D"], texts: Int[Array, " m"]) -> Float[Array, "k D"]:
        return jax.ops.segment_sum(terms, texts, n_texts, indices_are_sorted=True)

    scaled = vectors[tokens.columns] * jnp.asarray(tokens.scale)[..., None]
    means: Array = jax.vmap(summed)(scaled, jnp.asarray(tokens.texts))
    return unit(means) if normalize else means


def unit(vectors: Float[Array, "*n D"]) -> Float[Array, "*n D"]:
    """Scale vectors to unit length; zero vectors stay zero and have a zero gradient, unlike with optax."""
    squares = jnp.sum(vectors**2, axis=-1, keepdims=True)
    # The inner where keeps the square root's infinite slope at zero out of the gradient.
    return jnp.where(squares > 0, vectors / jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
