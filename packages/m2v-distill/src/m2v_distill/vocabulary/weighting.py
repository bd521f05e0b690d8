"""How much each token counts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy import ndarray


def sif_weights(n_tokens: int, sif_coefficient: float) -> Float64[ndarray, " V"]:
    """Smooth inverse frequency of tokens whose ids follow their frequency, most frequent first.

    Frequencies are those of Zipf's law, p(rank) proportional to 1 / rank with the first token at rank 2.

    Args:
        n_tokens: V.
        sif_coefficient: a, above 0 and below 1.

    Example:
        >>> sif_weights(3, 0.5).round(3).tolist()
        [0.52, 0.619, 0.684]
    """
    return sif_weights_of(zipf_frequencies(n_tokens), sif_coefficient)


def zipf_frequencies(n_tokens: int) -> Float64[ndarray, " V"]:
    """Frequencies by Zipf's law, in no scale: 1 / rank, with the first token at rank 2.

    Example:
        >>> zipf_frequencies(3).round(3).tolist()
        [0.5, 0.333, 0.25]
    """
    ranks: ndarray = np.arange(2, n_tokens + 2, dtype=np.float64)
    return 1 / ranks


def sif_weights_of(counts: Float64[ndarray, " V"], sif_coefficient: float) -> Float64[ndarray, " V"]:
    """Smooth inverse frequency of tokens that were counted: a / (a + p) with p = count / total.

    A token that was never seen has weight 1 (Arora, Liang and Ma, A Simple but Tough-to-Beat Baseline for Sentence
    Embeddings, ICLR 2017, section 3).

    Args:
        counts: How often each token occurs, or anything in proportion to it; not all 0.
        sif_coefficient: a, above 0 and below 1.

    Example:
        >>> sif_weights_of(np.array([9.0, 1.0, 0.0]), 0.1).round(3).tolist()
        [0.1, 0.5, 1.0]
    """
    weights: ndarray = sif_coefficient / (sif_coefficient + counts / counts.sum())
    return weights
