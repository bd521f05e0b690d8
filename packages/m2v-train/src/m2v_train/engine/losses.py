"""Losses and metrics of the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Num

from m2v_train.engine.module import unit

#: Smallest normal float32, in place of a 0 that is raised to a power or divided by.
TINY = float(np.finfo(np.float32).tiny)

LossKind = Literal["classes", "labels", "cosine", "squares", "pairs"]

#: Sum over a batch, and the number to divide it by, for "loss" and other metrics.
Totals = dict[str, tuple[Array, Array]]


@dataclass(frozen=True)
class Objective:
    """A loss and its metrics. Hashable: equal objectives share one compiled program.

    Attributes:
        kind: "classes" for one class per text, "labels" for any number of classes, "cosine" and "squares" for target
            vectors, "pairs" for texts that belong together.
        gamma: Exponent of the focal loss.
        temperature: InfoNCE temperature.
        prefixes: Widths of the Matryoshka loss: the loss of pairs is the sum over the first dimensions of the vectors,
            as many as each width says. Empty for all dimensions alone.
    """

    kind: LossKind
    gamma: float = 0.0
    temperature: float = 0.05
    prefixes: tuple[int, ...] = ()

    @property
    def is_classification(self) -> bool:
        """Whether outputs are logits of classes; the best state is then chosen by accuracy, otherwise by loss."""
        return self.kind in ("classes", "labels")

    def totals(
        self,
        outputs: Float[Array, "b w O"],
        targets: Num[Array, "b ..."],
        valid: Float[Array, " b"],
        class_weights: Float[Array, " C"],
    ) -> Totals:
        """Sum the loss and other metrics over a batch.

        Args:
            outputs: Outputs for the w texts of each sample.
            targets: A class index, zeros and ones for the classes, a vector; or for pairs a number for each text that
                identifies it, -1 for none.
            valid: 1 for a sample, 0 for padding.
            class_weights: Weights of classes; ignored by other tasks.
        """
        count = valid.sum()
        if self.kind == "classes":
            logits = outputs[:, 0]
            nll = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
            weights = valid * class_weights[targets]
            right = (logits.argmax(axis=1) == targets) * valid
            return {
                "loss": ((focus(nll, self.gamma) * nll * weights).sum(), weights.sum()),
                "accuracy": (right.sum(), count),
            }
        if self.kind == "labels":
            logits, ones = outputs[:, 0], targets.astype(outputs.dtype)
            nll = optax.sigmoid_binary_cross_entropy(logits, ones)
            losses = (focus(nll, self.gamma) * nll * jnp.where(ones > 0, class_weights, 1)).mean(axis=1)
            union = jnp.maximum(((logits > 0) | (ones > 0)).sum(axis=1), 1)
            jaccard = ((logits > 0) * ones).sum(axis=1) / union
            return {"loss": ((losses * valid).sum(), count), "accuracy": ((jaccard * valid).sum(), count)}
        if self.kind == "cosine":
            losses = 1 - (unit(outputs[:, 0]) * unit(targets)).sum(axis=1)
        elif self.kind == "squares":
            losses = optax.squared_error(outputs[:, 0], targets).mean(axis=1)
        else:
            losses = matryoshka_losses(outputs, targets, valid, self.temperature, self.prefixes)
        return {"loss": ((losses * valid).sum(), count)}


def focus(nll: Float[Array, "*n"], gamma: float) -> Float[Array, "*n"]:
    """Factor (1 - p)^gamma of the focal loss (Lin et al. 2017), computed from -log p."""
    if gamma == 0:
        return jnp.ones_like(nll)
    return jnp.maximum(-jnp.expm1(-nll), TINY) ** gamma


def matryoshka_losses(
    outputs: Float[Array, "b w O"],
    texts: Num[Array, "b w"],
    valid: Float[Array, " b"],
    temperature: float,
    prefixes: tuple[int, ...] = (),
) -> Float[Array, " b"]:
    """The sum of `pair_losses` over prefixes of the outputs, each scaled to unit length.

    The formula is that of Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022, equation 1, with weights
    of 1, as `MatryoshkaLoss` of sentence-transformers computes it.

    Args:
        outputs: Outputs for the texts of each sample; other arguments as of `pair_losses`.
        texts: A number for each text that identifies it.
        valid: 1 for a sample, 0 for padding.
        temperature: Divisor of the cosines.
        prefixes: Numbers of first dimensions; empty for all dimensions alone.
    """
    widths = prefixes or (outputs.shape[-1],)
    parts = [pair_losses(unit(outputs[..., :width]), texts, valid, temperature) for width in widths]
    return jnp.stack(parts).sum(axis=0)


def pair_losses(
    vectors: Float[Array, "b w D"], texts: Num[Array, "b w"], valid: Float[Array, " b"], temperature: float
) -> Float[Array, " b"]:
    """InfoNCE (van den Oord et al., 2018) of each anchor: its positive against all other second texts of the batch.

    This is the multiple-negatives ranking loss of sentence-transformers. Hard negatives, which samples have after the
    second text, are candidates for all anchors too. A candidate is left out for an anchor if it is the text of the
    anchor's positive, or the positive of an anchor with the same text.

    Args:
        vectors: Unit vectors of each sample's anchor, positive and hard negatives.
        texts: A number for each text that identifies it; -1 where a sample has fewer hard negatives than others.
        valid: 1 for a sample, 0 for padding.
        temperature: Divisor of the cosines.
    """
    b, w = texts.shape
    anchors, candidates = vectors[:, 0], jnp.concatenate([vectors[:, i] for i in range(1, w)])
    logits = anchors @ candidates.T / temperature
    candidate_texts = jnp.concatenate([texts[:, i] for i in range(1, w)])
    same_positive = candidate_texts[None, :] == texts[:, 1, None]
    same_anchor = texts[:, 0, None] == texts[None, :, 0]
    of_same_anchor = jnp.concatenate([same_anchor] + [jnp.zeros((b, b), bool)] * (w - 2), axis=1)
    missing = (candidate_texts < 0) | (jnp.tile(valid, w - 1) == 0)
    excluded = same_positive | of_same_anchor | missing[None, :]
    excluded = excluded & ~jnp.eye(b, (w - 1) * b, dtype=bool)
    losses: Array = optax.softmax_cross_entropy_with_integer_labels(
        jnp.where(excluded, -jnp.inf, logits), jnp.arange(b)
    )
    return losses
