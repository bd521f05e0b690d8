"""Tables that are fitted to the teacher's vectors of texts, or of random groups of tokens.

The teacher's vector of a token alone is that of a text of one token. Within a text, the token has more or less weight,
and its meaning depends on its neighbours. So the teacher embeds texts, and the table is the one whose token means are
closest to these vectors (`ridge`). Without a corpus, random groups of tokens serve as texts: enough to learn the weight
of each token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray

from m2v_distill.fit.design import Design
from m2v_distill.fit.ridge import fitted_scale, linear_table, ridge

#: Number of tokens in a random group.
GROUP_SIZE = 8

#: Smallest number of groups. A prior of hundreds of features needs several for each, however small the vocabulary is.
GROUPS = 4096

#: Power of the standard deviation by which principal components are divided.
WHITENING = 0.3

#: Strength of the prior per text, for groups and for a corpus.
GROUP_STRENGTH, CORPUS_STRENGTH = 3e-6, 6e-6

#: Part of a corpus' correction of the prior that is made: texts of one kind say too much about the others.
CORPUS_STEP = 0.5

#: Size of the input embeddings beside the fitted table before PCA, relative to it.
EMBEDDING_SIZE = 0.5


def token_groups(
    tokens: Int[ndarray, " T"],
    *,
    rounds: int,
    size: int = GROUP_SIZE,
    at_least: int = GROUPS,
    seed: int = 0,
) -> list[list[int]]:
    """Random groups of tokens: the vocabulary is shuffled and divided into groups, at least `rounds` times.

    Args:
        tokens: Token ids.
        rounds: Smallest number of groups that each token is in.
        size: Number of tokens of a group; the last one of a round may be smaller. Few tokens are divided into at least
            two groups: one group of all tokens, or of a single one, teaches nothing.
        at_least: Smallest number of groups, reached by more rounds.
        seed: Seed of the shuffling.

    Example:
        >>> groups = token_groups(np.arange(5), size=2, rounds=2, at_least=0)
        >>> [len(group) for group in groups], sorted(sum(groups, []))
        ([2, 2, 1, 2, 2, 1], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    """
    random = np.random.default_rng(seed)
    size = min(size, len(tokens) // 2)
    if not size:
        return []
    rounds = max(rounds, -(-at_least // -(-len(tokens) // size)))
    shuffled = [random.permutation(tokens) for _ in range(rounds)]
    return [order[start : start + size].tolist() for order in shuffled for start in range(0, len(order), size)]


def group_sequences(
    groups: Sequence[Sequence[int]], pieces: Sequence[Sequence[int]], longest: int | None
) -> tuple[list[list[int]], list[list[int]]]:
    """The teacher's ids of groups of tokens, without the last tokens of a group that is too long.

    Args:
        groups: Token ids of each group.
        pieces: The teacher's ids of each token.
        longest: Largest number of ids of a sequence; `None` for no limit.

    Returns:
        The groups without tokens that do not fit, and without empty groups, and the ids of each.

    Example:
        >>> group_sequences([[0, 1], [1, 0], [2]], [[7], [8, 9], [1, 2, 3]], longest=2)
        ([[0], [1]], [[7], [8, 9]])
    """
    kept, sequences = [], []
    for group in groups:
        lengths = accumulate(len(pieces[token]) for token in group)
        fitting = [token for token, end in zip(group, lengths, strict=True) if longest is None or end <= longest]
        if fitting:
            kept.append(fitting)
            sequences.append([piece for token in fitting for piece in pieces[token]])
    return kept, sequences


def mean_rows(table: Float32[ndarray, "I E"], pieces: Sequence[Sequence[int]]) -> Float32[ndarray, "V E"]:
    """The mean of the rows of each token's ids; zeros for a token without ids.

    Example:
        >>> mean_rows(np.array([[1], [3]], np.float32), [[0], [0, 1], []]).tolist()
        [[1.0], [2.0], [0.0]]
    """
    means = np.zeros((len(pieces), table.shape[1]), np.float32)
    single = [token for token, ids in enumerate(pieces) if len(ids) == 1]
    means[single] = table[[pieces[token][0] for token in single]]
    for token, ids in enumerate(pieces):
        if len(ids) > 1:
            means[token] = table[ids].mean(axis=0)
    return means


def standard(features: Float32[ndarray, "V F"]) -> Float32[ndarray, "V F"]:
    """Features centred, and divided by the standard deviation of all their values."""
    centred = features - features.mean(axis=0)
    scaled: ndarray = centred / max(float(centred.std()), np.finfo(np.float32).tiny)
    return scaled


def fit_groups(
    design: Design, targets: Float32[ndarray, "N H"], features: Sequence[Float32[ndarray, "V _"]]
) -> Float32[ndarray, "V H"]:
    """The table that is fitted to the teacher's vectors of groups.

    Its prior is the best linear function of features of each token: the teacher's vector of the token alone, and its
    input embedding. So the groups need to tell only how a token differs from others with similar features.

    Args:
        design: The groups.
        targets: The teacher's unit vectors of the groups.
        features: Tables of features, of one or several kinds.
    """
    cross = design.cross([targets], targets.shape[1])
    prior = linear_table(design, cross, np.concatenate([standard(table) for table in features], axis=1))
    return ridge(design, cross, prior, GROUP_STRENGTH)


def fit_corpus(
    design: Design,
    targets: Iterator[Float32[ndarray, "_ H"]],
    prior: Float32[ndarray, "V H"],
    *,
    show_progress_bar: bool | None = False,
) -> Float32[ndarray, "V H"]:
    """The table half way from a prior to the one that is fitted to the teacher's vectors of real texts.

    The whole way would fit tasks on similar texts better, and others worse.

    Args:
        design: The texts.
        targets: The teacher's unit vectors of the texts, in parts.
        prior: Table of a student, with weights, for tokens that are rare in the texts; its scale is fitted.
        show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.
    """
    cross = design.cross(targets, prior.shape[1])
    scaled = np.float32(fitted_scale(design, cross, prior)) * prior
    table = ridge(design, cross, scaled, CORPUS_STRENGTH, show_progress_bar=show_progress_bar)
    return scaled + np.float32(CORPUS_STEP) * (table - scaled)


def weighted_rows(
    table: Float32[ndarray, "V H"], frequencies: Float[ndarray, " V"], weights: Float[ndarray, " V"]
) -> Float32[ndarray, "V H"]:
    """Rows times the weights of their tokens, shifted so that a token of a text has the mean 0.

    With frequencies p and weights w, row e becomes w (e - c), where c is the mean of e weighted by p w.

    Example:
        >>> weighted_rows(np.array([[0], [3]], np.float32), np.array([2.0, 1.0]), np.array([0.5, 0.5])).tolist()
        [[-0.5], [1.0]]
    """
    shares = frequencies * weights
    centre = (shares @ table / shares.sum()).astype(np.float32)
    rows: ndarray = (table - centre) * weights[:, None].astype(np.float32)
    return rows


def token_moments(
    table: Float32[ndarray, "V H"], frequencies: Float[ndarray, " V"]
) -> tuple[Float[ndarray, " H"], Float[ndarray, "H H"]]:
    """The mean and covariance of the rows of a token that is drawn by frequency.

    Up to a factor, the covariance is that of a text of independently drawn tokens.
    """
    shares = frequencies / frequencies.sum()
    centre = shares @ table
    centred = table - centre.astype(np.float32)
    return centre, ((centred * shares[:, None].astype(np.float32)).T @ centred).astype(np.float64)


def beside(
    table: Float32[ndarray, "V H"], other: Float32[ndarray, "V E"], frequencies: Float[ndarray, " V"], size: float
) -> Float32[ndarray, "V _"]:
    """Two tables side by side, the second at a size relative to the first.

    The inner product of two texts is then the sum of both tables' products. The size of a table is the root of the mean
    square length of the rows of a token that is drawn by frequency, less their mean.

    Example:
        >>> beside(np.array([[1], [-1]], np.float32), np.array([[6], [2]], np.float32), np.ones(2), 0.5).tolist()
        [[1.0, 1.5], [-1.0, 0.5]]
    """
    own, others = (_size(rows, frequencies) for rows in (table, other))
    factor = np.float32(size * own / others if others > 0 else 0)
    return np.concatenate([table, factor * other], axis=1)


def _size(table: Float32[ndarray, "V H"], frequencies: Float[ndarray, " V"]) -> float:
    """The root of the trace of the covariance in `token_moments`, without the matrix."""
    shares = frequencies / frequencies.sum()
    centred = table - (shares @ table).astype(np.float32)
    return math.sqrt(shares @ np.square(centred).sum(axis=1))
