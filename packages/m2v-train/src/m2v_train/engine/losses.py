"""What each task minimises, and what is measured beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from m2v_train.engine.module import unit

#: The least float32 that is not 0, in place of a 0 that a power or a quotient cannot have.
TINY = float(np.finfo(np.float32).tiny)

Kind = Literal["classes", "labels", "cosine", "squares", "pairs"]
Totals = dict[str, tuple[Array, Array]]


@dataclass(frozen=True)
class Task:
    """A loss and its metrics. Hashable, so that a program that was compiled for one serves its equals.

    Attributes:
        kind: "classes" for one class of several, "labels" for any number of them, "cosine" and "squares" for target
            vectors, "pairs" for texts that belong together.
        gamma: Exponent of the focal loss.
        temperature: By which cosines of pairs are divided.
    """

    kind: Kind
    gamma: float = 0.0
    temperature: float = 0.05

    @property
    def monitored(self) -> str:
        """The metric by which the best state is chosen, and training stops early."""
        return "accuracy" if self.kind in ("classes", "labels") else "loss"

    def totals(
        self,
        outputs: Float[Array, "b w O"],
        targets: Num[Array, "b ..."],
        valid: Float[Array, " b"],
        class_weights: Float[Array, " C"],
    ) -> Totals:
        """Sums over a batch, and what to divide them by, for "loss" and other metrics.

        Args:
            outputs: Of the head, for the w texts of each sample.
            targets: A class index, zeros and ones for each class, a vector; or for pairs a number for each text,
                the same for the same text.
            valid: 1 for a sample, 0 for padding.
            class_weights: Of classes; of no account for other tasks.
        """
        count = valid.sum()
        if self.kind == "classes":
            logits = outputs[:, 0]
            nll = -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], axis=1)[:, 0]
            weights = valid * class_weights[targets]
            right = (logits.argmax(axis=1) == targets) * valid
            return {
                "loss": ((focus(nll, self.gamma) * nll * weights).sum(), weights.sum()),
                "accuracy": (right.sum(), count),
            }
        if self.kind == "labels":
            return self._labels(outputs[:, 0], targets.astype(outputs.dtype), valid, class_weights)
        if self.kind == "cosine":
            losses = 1 - (unit(outputs[:, 0]) * unit(targets)).sum(axis=1)
        elif self.kind == "squares":
            losses = ((outputs[:, 0] - targets) ** 2).mean(axis=1)
        else:
            losses = pair_losses(unit(outputs), targets, valid, self.temperature)
        return {"loss": ((losses * valid).sum(), count)}

    def _labels(
        self,
        logits: Float[Array, "b C"],
        targets: Float[Array, "b C"],
        valid: Float[Array, " b"],
        class_weights: Float[Array, " C"],
    ) -> Totals:
        count = valid.sum()
        log_p, log_q = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
        nll = -(targets * log_p + (1 - targets) * log_q)
        weighted = -(class_weights * targets * log_p + (1 - targets) * log_q)
        losses = (focus(nll, self.gamma) * weighted).mean(axis=1)
        guesses = logits > 0
        union = jnp.maximum((guesses | (targets > 0)).sum(axis=1), 1)
        jaccard = (guesses * targets).sum(axis=1) / union
        return {"loss": ((losses * valid).sum(), count), "accuracy": ((jaccard * valid).sum(), count)}


def focus(nll: Float[Array, "*n"], gamma: float) -> Float[Array, "*n"]:
    """The factor (1 - p)^gamma of the focal loss (Lin et al. 2017), from -log p."""
    if gamma == 0:
        return jnp.ones_like(nll)
    return jnp.maximum(-jnp.expm1(-nll), TINY) ** gamma


def pair_losses(
    vectors: Float[Array, "b w D"], texts: Num[Array, "b w"], valid: Float[Array, " b"], temperature: float
) -> Float[Array, " b"]:
    """InfoNCE (van den Oord et al., 2018) of each anchor: its positive against all other second texts of the batch.

    Hard negatives, if samples have a third text, are candidates for all anchors too. A candidate does not count for an
    anchor if it is the text of its positive, or belongs to an anchor of the same text (but as its own hard negative).

    Args:
        vectors: Of length 1: anchor, positive and perhaps a hard negative of each sample.
        texts: A number for each text, the same for the same text.
        valid: 0 for padding.
        temperature: By which cosines are divided.
    """
    b, w = texts.shape
    anchors, others = vectors[:, 0], jnp.concatenate([vectors[:, i] for i in range(1, w)])
    logits = anchors @ others.T / temperature
    other_texts = jnp.concatenate([texts[:, i] for i in range(1, w)])
    positive = other_texts[None, :] == texts[:, 1, None]
    same_anchor = texts[:, 0, None] == texts[None, :, 0]
    beside = jnp.concatenate([same_anchor] + [jnp.zeros((b, b), bool)] * (w - 2), axis=1)
    excluded = positive | beside | (jnp.tile(valid, w - 1) == 0)[None, :]
    excluded = excluded & ~jnp.eye(b, (w - 1) * b, dtype=bool)
    return -jax.nn.log_softmax(jnp.where(excluded, -jnp.inf, logits))[jnp.arange(b), jnp.arange(b)]
