from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit, log_softmax

from m2v_train.engine.losses import Objective, pair_losses

DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(6, 1, 4)).astype(np.float32) * 3
CLASSES = np.array([0, 1, 2, 3, 1, 0], np.int32)
VALID = np.array([1, 1, 1, 1, 1, 0], np.float32)
ONES = np.ones(4, np.float32)


def mean(objective: Objective, outputs, targets, weights=ONES, name: str = "loss") -> float:
    total, count = objective.totals(
        jnp.asarray(outputs), jnp.asarray(targets), jnp.asarray(VALID), jnp.asarray(weights)
    )[name]
    return float(total / count)


def test_cross_entropy() -> None:
    expected = optax.softmax_cross_entropy_with_integer_labels(LOGITS[:5, 0], CLASSES[:5]).mean()
    assert mean(Objective("classes"), LOGITS, CLASSES) == pytest.approx(float(expected), rel=1e-5)
    right = (LOGITS[:5, 0].argmax(axis=1) == CLASSES[:5]).mean()
    assert mean(Objective("classes"), LOGITS, CLASSES, name="accuracy") == pytest.approx(right)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_weighted_focal_loss(gamma: float) -> None:
    """The mean by the weights of the samples' classes, as PyTorch's weighted cross-entropy."""
    weights = np.array([1, 2, 0.5, 3], np.float32)
    nll = -log_softmax(LOGITS[:5, 0].astype(float), axis=1)[np.arange(5), CLASSES[:5]]
    own = weights[CLASSES[:5]]
    expected = ((1 - np.exp(-nll)) ** gamma * nll * own).sum() / own.sum()
    assert mean(Objective("classes", gamma=gamma), LOGITS, CLASSES, weights) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_labels(gamma: float) -> None:
    """The class weight counts for texts that have the class, as `pos_weight` does in PyTorch."""
    targets = (DRAW.random((6, 4)) < 0.4).astype(np.int8)
    targets[1] = 0
    weights = np.array([1, 2, 0.5, 3], np.float32)
    p = expit(LOGITS[:5, 0].astype(float))
    t = targets[:5]
    nll = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    weighted = -(weights * t * np.log(p) + (1 - t) * np.log(1 - p))
    expected = ((1 - np.exp(-nll)) ** gamma * weighted).mean()
    assert mean(Objective("labels", gamma=gamma), LOGITS, targets, weights) == pytest.approx(expected, rel=1e-5)
    guesses = p > 0.5
    union = (guesses | (t > 0)).sum(axis=1)
    jaccard = np.where(union, (guesses & (t > 0)).sum(axis=1) / np.maximum(union, 1), 0).mean()
    assert mean(Objective("labels"), LOGITS, targets, weights, name="accuracy") == pytest.approx(jaccard)


def test_vectors() -> None:
    outputs, targets = DRAW.normal(size=(6, 1, 4)).astype(np.float32), DRAW.normal(size=(6, 4)).astype(np.float32)
    squares = ((outputs[:5, 0] - targets[:5]) ** 2).mean()
    assert mean(Objective("squares"), outputs, targets) == pytest.approx(float(squares), rel=1e-5)
    cosine = optax.cosine_distance(outputs[:5, 0], targets[:5]).mean()
    assert mean(Objective("cosine"), outputs, targets) == pytest.approx(float(cosine), rel=1e-5)


def brute_force(vectors: np.ndarray, texts: np.ndarray, n: int, temperature: float) -> list[float]:
    """InfoNCE of each anchor, candidate by candidate."""
    losses = []
    for i in range(n):
        scores = []
        for column in range(1, texts.shape[1]):
            for j in range(n):
                own = column == 1 and i == j
                same_positive = texts[j, column] == texts[i, 1]
                same_anchor = column == 1 and texts[j, 0] == texts[i, 0]
                if texts[j, column] < 0:  # this pair has fewer hard negatives
                    continue
                if own or not (same_positive or same_anchor):
                    scores.append((own, float(vectors[i, 0] @ vectors[j, column]) / temperature))
        positive = next(score for own, score in scores if own)
        losses.append(float(np.log(np.sum(np.exp([score for _, score in scores])))) - positive)
    return losses


@pytest.mark.parametrize("width", [2, 3, 5])
def test_pairs(width: int) -> None:
    """With one hard negative for each pair, and with up to three."""
    vectors = DRAW.normal(size=(6, width, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    texts = np.arange(6 * width).reshape(6, width).astype(np.int32)
    texts[2, 0] = texts[0, 0]  # the same anchor twice
    texts[3, 1] = texts[1, 1]  # the same positive twice
    texts[4, -1] = texts[2, 1]  # a hard negative, or positive, that is another's positive
    if width == 5:
        texts[[0, 0, 3, 5], [3, 4, 4, 2]] = -1
    found = pair_losses(jnp.asarray(vectors), jnp.asarray(texts), jnp.asarray(VALID), 0.05)
    np.testing.assert_allclose(found[:5], brute_force(vectors, texts, 5, 0.05), rtol=1e-4)
    assert np.isfinite(found).all()


def test_prefixes() -> None:
    """The Matryoshka loss is the sum of the losses of models that have the first dimensions alone."""
    outputs = DRAW.normal(size=(6, 3, 8)).astype(np.float32)
    texts = np.arange(18).reshape(6, 3).astype(np.int32)
    expected = np.zeros(5)
    for width in (8, 4, 2):
        part = outputs[..., :width]
        part = part / np.linalg.norm(part, axis=2, keepdims=True)
        expected += brute_force(part, texts, 5, 0.1)
    assert mean(Objective("pairs", temperature=0.1, prefixes=(8, 4, 2)), outputs, texts) == pytest.approx(
        expected.mean(), rel=1e-5
    )
    alone = mean(Objective("pairs", temperature=0.1), outputs, texts)
    assert alone == pytest.approx(mean(Objective("pairs", temperature=0.1, prefixes=(8,)), outputs, texts), rel=1e-6)
