"""The table of a student that is fitted to a collection, in the space of its teacher."""

from __future__ import annotations

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Float32, Float64, Int
from numpy import ndarray

from m2v_core.ragged import Ragged
from m2v_distill.fit.design import Design
from m2v_distill.fit.ridge import linear_map, mean_shift, ridge

#: Relative residual at which a column counts as converged: a smaller one takes longer and finds no more.
TOLERANCE = 3e-2

#: Power of the inverse document frequency by which the rows of the table are multiplied.
RARITY = 0.35


def collection_table(
    texts: Ragged,
    vectors: Float32[ndarray, "N H"],
    features: Float32[ndarray, "V F"],
    *,
    strength: float,
    mesh: Mesh,
    tolerance: float = TOLERANCE,
    show_progress_bar: bool | None = False,
) -> Float32[ndarray, "V H"]:
    """The table E whose token means X E are closest to a teacher's vectors Y of texts: ridge regression with a prior.

    With X and Y centred, E minimises `|Y - X E|^2 + strength |E - F W|^2`: its prior is the linear function W of the
    tokens' features F that is closest to Y. So a token that the texts lack gets a row from its features. The difference
    of both means is added to each row. It does not change with the tokens, and so the token means have the mean of Y:
    they are in the space of the teacher, and need no centring.

    Args:
        texts: Token ids of each text.
        vectors: The teacher's vector of each text, Y, of unit length.
        features: Features of each token, F, such as the rows of another student.
        strength: Ridge penalty.
        mesh: Devices among which the columns of the table are divided.
        tolerance: See `ridge`.
        show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.

    Example:
        >>> import jax
        >>> mesh = Mesh(np.array(jax.devices()[:1]), ("columns",))
        >>> texts, vectors = Ragged.of([[0], [1], [0, 1]]), np.array([[3, 1], [5, 1], [4, 1]], np.float32)
        >>> collection_table(texts, vectors, np.eye(3, dtype=np.float32), strength=1e-3, mesh=mesh)[:2].round(1)
        array([[3., 1.],
               [5., 1.]], dtype=float32)
    """
    used, ids = np.unique(texts.values, return_inverse=True)  # the others keep their prior, and cost nothing
    design = Design(Ragged(ids.astype(np.int32), texts.offsets), len(used), mesh)
    cross = design.cross([vectors], vectors.shape[1])
    table: ndarray = features @ linear_map(design, cross, features[used])
    prior = table[used]
    found = ridge(
        design,
        cross,
        prior,
        strength / len(design),
        tolerance=tolerance,
        max_steps=200,
        show_progress_bar=show_progress_bar,
    )
    # A vector added to all rows changes no X E, so the rows of the solution differ from the prior by 0 on average.
    table[used] = found - (found - prior).mean(axis=0)
    table += mean_shift(design, table[used], vectors.mean(axis=0, dtype=np.float64))
    return table


def rarity(texts: Ragged, n_tokens: int, power: float = RARITY) -> Float64[ndarray, " V"]:
    """The factor of each token: its inverse document frequency to a power, 1 on average over the tokens of documents.

    The inverse document frequency is log(1 + N / (1 + n)) for a token that n of N documents have. In the average, each
    document counts a token once.

    Args:
        texts: Token ids of each document; at least one has a token.
        n_tokens: Number of tokens in the vocabulary, V.
        power: The power.

    Example:
        >>> rarity(Ragged.of([[0, 1], [0, 0, 2], [0]]), 4, power=1.0).round(2)
        array([0.8 , 1.3 , 1.3 , 1.97])
    """
    counts = np.bincount(texts.distinct()[0], minlength=n_tokens)
    inverse = np.log(1 + len(texts) / (1 + counts))
    factors: ndarray = (inverse / np.average(inverse, weights=counts)) ** power
    return factors


def rarer_larger(
    table: Float32[ndarray, "V H"], factors: Float64[ndarray, " V"], mean: Float[ndarray, " H"]
) -> Float32[ndarray, "V H"]:
    """Rows, less a mean vector, times factors of their tokens.

    A query is shorter than what a table is fitted to, and its rare words tell more of what it asks for.

    Example:
        >>> rarer_larger(np.array([[1], [4]], np.float32), np.array([1.0, 2.0]), np.array([2.0])).tolist()
        [[1.0], [6.0]]
    """
    centre = mean.astype(np.float32)
    rows: ndarray = (table - centre) * factors[:, None].astype(np.float32) + centre
    return rows


def sampled(texts: Ragged, n: int, *, seed: int) -> Int[ndarray, " n"]:
    """The rows of a random sample of texts, in order, of which those with rare tokens are more likely.

    A text has the weight of the sum of 1 / (number of texts that have the token) over its tokens, each once: a token
    that few texts have makes all of these likely. The sample is drawn without replacement (Efraimidis and Spirakis
    2006: the n largest of u^(1 / weight), with u uniform).

    Example:
        >>> texts = Ragged.of([[0, 1]] * 50 + [[0, 2]])
        >>> 50 in sampled(texts, 2, seed=0)
        True
    """
    if n >= len(texts):
        return np.arange(len(texts))
    tokens, rows = texts.distinct()
    weights = np.bincount(rows, 1 / np.bincount(tokens)[tokens], len(texts))
    uniform = np.random.default_rng(seed).random(len(texts))
    with np.errstate(divide="ignore"):
        keys = np.log(uniform) / weights  # minus infinity for a text without tokens
    return np.sort(np.argpartition(-keys, n)[:n])
