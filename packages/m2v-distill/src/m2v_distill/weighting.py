"""How much each token counts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy import ndarray


def sif_weights(n_tokens: int, sif_coefficient: float) -> Float64[ndarray, " V"]:
    """Smooth inverse frequency of tokens whose ids follow their frequency, most frequent first.

    Frequencies are those of Zipf's law, p(rank) proportional to 1 / rank with the first token at rank 2, and
    the weight is a / (a + p) (Arora, Liang and Ma, A Simple but Tough-to-Beat Baseline for Sentence Embeddings,
    ICLR 2017, section 3).

    Args:
        n_tokens: V.
        sif_coefficient: a, above 0 and below 1.

    Example:
        >>> sif_weights(3, 0.5).round(3).tolist()
        [0.52, 0.619, 0.684]
    """
    inverse_rank = 1 / np.arange(2, n_tokens + 2, dtype=np.float64)
    probability = inverse_rank / inverse_rank.sum()
    weights: ndarray = sif_coefficient / (sif_coefficient + probability)
    return weights
