"""A student that is fitted to texts: what its tokens come to in the mean, not what each is alone.

Seen alone, a token's output tells what the teacher makes of a text of one token. In a text it counts for more or less,
and means what its neighbours let it mean. So the teacher embeds texts, and the table is the one whose means come
nearest (`ridge`). Without a corpus the texts are random groups of tokens: enough to learn how much each counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray

from m2v_distill.fit.design import Design
from m2v_distill.fit.ridge import fitted_scale, linear_table, ridge

#: Tokens of a random group.
GROUP_SIZE = 8

#: Groups at the least. A prior of hundreds of features needs several for each, however small the vocabulary.
GROUPS = 4096

#: Components are divided by this power of their standard deviation.
WHITENING = 0.3

#: How strongly a table is held to its prior, per text: of groups, and of a corpus.
GROUP_STRENGTH, CORPUS_STRENGTH = 3e-6, 6e-6


def token_groups(
    tokens: Int[ndarray, " T"],
    *,
    rounds: int,
    size: int = GROUP_SIZE,
    at_least: int = GROUPS,
    seed: int = 0,
) -> list[list[int]]:
    """Random groups of tokens: the vocabulary, shuffled and cut, `rounds` times over or more often.

    Args:
        tokens: Ids.
        rounds: How many groups each token is in at least.
        size: Of a group; a round's last one may be smaller. Few tokens are cut in two at least: from a group of them
            all there is nothing to learn, and from one token neither.
        at_least: How many groups there are to be, by more rounds.
        seed: The same seed gives the same groups.

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


def joined(
    groups: Sequence[Sequence[int]], pieces: Sequence[Sequence[int]], longest: int | None
) -> tuple[list[list[int]], list[list[int]]]:
    """The teacher's ids for groups of tokens, without tokens at the end that would make a sequence too long.

    Args:
        groups: Ids of tokens.
        pieces: The teacher's ids for each token.
        longest: Ids of a sequence at the most.

    Returns:
        The groups as far as they fit, without those of which nothing does, and their ids.

    Example:
        >>> joined([[0, 1], [1, 0], [2]], [[7], [8, 9], [1, 2, 3]], longest=2)
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
    """The mean of some rows for each token; zeros for none.

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
    """Features centred, and divided by the standard deviation of all of them together."""
    centred = features - features.mean(axis=0)
    scaled: ndarray = centred / max(float(centred.std()), np.finfo(np.float32).tiny)
    return scaled


def fit_groups(
    design: Design, targets: Float32[ndarray, "N H"], features: Sequence[Float32[ndarray, "V _"]]
) -> Float32[ndarray, "V H"]:
    """The table fitted to the teacher's vectors of groups.

    Its prior is the best linear function of what is known of each token: what it is to the teacher alone, and where the
    teacher starts from. So the groups need only tell what sets a token apart from others that are like it.

    Args:
        design: The groups.
        targets: The teacher's vectors of them, of length 1.
        features: Tables of one or several kinds.
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
    """The table fitted to the teacher's vectors of real texts.

    Args:
        design: The texts.
        targets: The teacher's vectors of them, of length 1, in parts.
        prior: A student's table, weights and all, for tokens of which the texts tell little; its scale is fitted.
        show_progress_bar: On stderr; `None` shows it on a terminal only.
    """
    cross = design.cross(targets, prior.shape[1])
    scaled = np.float32(fitted_scale(design, cross, prior)) * prior
    return ridge(design, cross, scaled, CORPUS_STRENGTH, show_progress_bar=show_progress_bar)


def token_moments(
    table: Float32[ndarray, "V H"], frequencies: Float[ndarray, " V"], weights: Float[ndarray, " V"]
) -> tuple[Float[ndarray, " H"], Float[ndarray, "H H"]]:
    """Centre and covariance of tokens as texts have them: drawn by frequency, and weighted.

    With p the frequencies and w the weights, the centre c is the mean of e by p w, and the covariance the mean of
    (e - c)(e - c)' by p w^2: up to its length, that of a text of tokens that are drawn independently.
    """
    heard = frequencies * weights
    centre = heard @ table / heard.sum()
    centred = (table - centre).astype(np.float32)
    share = heard * weights / (heard @ weights)
    return centre, ((centred * share[:, None].astype(np.float32)).T @ centred).astype(np.float64)


def text_moments(design: Design, table: Float32[ndarray, "V H"]) -> tuple[Float[ndarray, " H"], Float[ndarray, "H H"]]:
    """Centre and covariance of the vectors X E of texts."""
    return design.mean @ table, (table.T @ design.gram(table)).astype(np.float64) / len(design)
