"""What `quality.py` asks of an encoder: tasks as frozen records, each with a name and a score."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from m2v_core.errors import InvalidInputError

Embed = Callable[[tuple[str, ...]], NDArray[np.float32]]
Measure = Literal["accuracy", "macro F1"]

PARTS = 5  # a fold holds out one of them
RESAMPLES = 200


@dataclass(frozen=True)
class Score:
    """How well an encoder did a task.

    Attributes:
        value: Of 100.
        samples: The same on a part of the task, in an order that is the same for each encoder: a value for each fold,
            or for each bootstrap sample of the pairs.
        averaged: How many samples `value` is the mean of: all folds, or 1 for bootstrap samples.
    """

    value: float
    samples: tuple[float, ...]
    averaged: int


class Task(Protocol):
    """What the tasks have in common. `counts`: it is a part of the mean; `measure`: what its numbers are."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def counts(self) -> bool: ...  # noqa: D102
    @property
    def measure(self) -> str: ...  # noqa: D102
    @property
    def texts(self) -> tuple[str, ...]: ...  # noqa: D102
    def score(self, embed: Embed) -> Score: ...  # noqa: D102


@dataclass(frozen=True)
class Pairs:
    """Spearman's rank correlation x 100 of the cosines of pairs of texts with people's scores.

    Attributes:
        name: Its column.
        texts: The first texts of all pairs, then the second ones.
        gold: A score for each pair.
        counts: Whether it is a part of the mean.
        seed: Of the bootstrap samples of the pairs.
    """

    name: str
    texts: tuple[str, ...]
    gold: tuple[float, ...]
    counts: bool = True
    seed: int = 0
    measure: str = "Spearman x 100"

    def __post_init__(self) -> None:
        if len(set(self.gold)) < 2 or len(self.texts) != 2 * len(self.gold):
            raise InvalidInputError(f"{self.name}: expected pairs with different scores; found {len(self.gold)} pairs.")

    def score(self, embed: Embed) -> Score:
        """Embed all texts once, then compare ranks, on all pairs and on bootstrap samples of them."""
        n, gold, vectors = len(self.gold), np.array(self.gold), embed(self.texts)
        cosines = np.einsum("nd,nd->n", vectors[:n], vectors[n:])
        draws = np.random.default_rng(self.seed).integers(n, size=(RESAMPLES, n))
        samples = tuple(_correlation(cosines[draw], gold[draw]) for draw in draws)
        return Score(_correlation(cosines, gold), samples, averaged=1)


@dataclass(frozen=True)
class Probe:
    """A logistic regression on the vectors, measured on a held-out fifth; the mean of several fifths.

    Attributes:
        name: Its column.
        texts: All texts.
        labels: A label for each text.
        measure: What is measured on the held-out texts.
        folds: How many fifths are held out, one after the other.
        seed: Of the cut into fifths.
        counts: Whether it is a part of the mean.
    """

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    measure: Measure = "accuracy"
    folds: int = 3
    seed: int = 0
    counts: bool = True

    def __post_init__(self) -> None:
        check_labels(self.name, self.labels)

    def score(self, embed: Embed) -> Score:
        """Embed all texts once, then fit and predict for each fold."""
        vectors, labels = embed(self.texts), numbered(self.labels)
        values = []
        for train, held in held_out(labels, folds=self.folds, seed=self.seed):
            probe = LogisticRegression(C=10, max_iter=300)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # 300 steps are a part of the measure
                guess = probe.fit(vectors[train], labels[train]).predict(vectors[held])
            if self.measure == "accuracy":
                values.append(_accuracy(guess, labels[held]))
            else:
                values.append(100 * float(f1_score(labels[held], guess, average="macro")))
        return _mean(values)


@dataclass(frozen=True)
class NearestNeighbour:
    """How often the nearest other text has the same label, for texts of a held-out fifth; fields as of `Probe`."""

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    folds: int = 3
    seed: int = 0
    counts: bool = True
    measure: str = "accuracy of the nearest neighbour"

    def __post_init__(self) -> None:
        check_labels(self.name, self.labels)

    def score(self, embed: Embed) -> Score:
        """Embed all texts once, then look for the largest cosine in each fold's other four fifths."""
        vectors, labels = embed(self.texts), numbered(self.labels)
        values = []
        for train, held in held_out(labels, folds=self.folds, seed=self.seed):
            nearest = (vectors[held] @ vectors[train].T).argmax(axis=1)
            values.append(_accuracy(labels[train][nearest], labels[held]))
        return _mean(values)


def held_out(
    labels: NDArray[np.int64], *, folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of the texts to learn from and of a held-out fifth, a pair for each fold; no two fifths overlap.

    The labels' shares are the same in each, as far as their numbers allow. The same for each encoder, so that
    differences of encoders are paired.
    """
    cut = StratifiedKFold(PARTS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # a rare label misses some fifths
        for _, (train, held) in zip(range(folds), cut.split(labels, labels), strict=False):
            yield train, held


def difference(one: Score, other: Score) -> tuple[float, float | None]:
    """How much `one` is above `other` on the same task, and the standard error of that; `None` if it is unknown.

    The samples are paired, so what both find hard cancels out.
    """
    if len(one.samples) < 2:
        return one.value - other.value, None
    spread = np.std(np.subtract(one.samples, other.samples), ddof=1)
    return one.value - other.value, float(spread) / one.averaged**0.5


def mean_difference(pairs: list[tuple[float, float | None]]) -> tuple[float, float | None]:
    """The mean of the differences of several tasks, with its standard error if the tasks were independent."""
    errors = [error for _, error in pairs if error is not None]
    value = float(np.mean([value for value, _ in pairs]))
    return value, float(np.linalg.norm(errors)) / len(pairs) if len(errors) == len(pairs) else None


def _correlation(cosines: NDArray[np.float32], gold: NDArray[np.float64]) -> float:
    """0 where all cosines (or scores) are the same: such ranks say nothing."""
    if np.ptp(cosines) == 0 or np.ptp(gold) == 0:
        return 0.0
    return 100 * float(spearmanr(cosines, gold).statistic)


def _accuracy(guess: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    return 100 * float(np.mean(guess == labels))


def _mean(values: list[float]) -> Score:
    return Score(float(np.mean(values)), tuple(values), averaged=len(values))


def numbered(labels: tuple[str, ...]) -> NDArray[np.int64]:
    """A number for each label, the same for equal ones."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def check_labels(name: str, labels: tuple[str, ...]) -> None:
    """Raise `InvalidInputError` if no probe could be fitted: two labels must have five texts or more."""
    counts = np.unique(labels, return_counts=True)[1]
    if (counts >= PARTS).sum() < 2:
        raise InvalidInputError(
            f"{name}: expected two labels or more of {PARTS} texts each; found {len(labels)} texts of "
            f"{len(counts)} labels."
        )
