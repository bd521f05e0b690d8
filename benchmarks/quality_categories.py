"""Tasks for the other categories of MTEB: clustering, pair classification, retrieval. They do not count in the mean."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from quality_tasks import RESAMPLES, Embed, Score, check_labels, numbered
from search_collections import Collection, K
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, v_measure_score

from m2v_core.errors import InvalidInputError


@dataclass(frozen=True)
class Clustering:
    """V-measure x 100 of labels with groups by k-means, as many as there are labels; the mean of some starts.

    Attributes:
        name: Its column.
        texts: All texts.
        labels: A label for each text.
        folds: Number of starts.
        seed: Of the first start; the others follow it.
        counts: Whether it is a part of the mean.
    """

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    folds: int = 3
    seed: int = 0
    counts: bool = False
    measure: str = "v-measure x 100"

    def __post_init__(self) -> None:
        check_labels(self.name, self.labels)

    def score(self, embed: Embed) -> Score:
        """Embed all texts once, then group them from each start (Rosenberg and Hirschberg, EMNLP 2007)."""
        vectors, labels = embed(self.texts), numbered(self.labels)
        values = []
        for start in range(self.folds):
            groups = KMeans(len(np.unique(labels)), n_init=1, random_state=self.seed + start)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than labels
                values.append(100 * float(v_measure_score(labels, groups.fit_predict(vectors))))
        return Score(float(np.mean(values)), tuple(values), averaged=len(values))


@dataclass(frozen=True)
class PairClassification:
    """Average precision x 100 of cosines, by which pairs that mean the same are told from those that do not.

    Attributes:
        name: Its column.
        texts: The first texts of all pairs, then the second ones.
        gold: A score for each pair.
        low: Pairs below it are negative.
        high: Pairs above it are positive; those between both are left out.
        seed: Of the bootstrap samples of the pairs.
        counts: Whether it is a part of the mean.
    """

    name: str
    texts: tuple[str, ...]
    gold: tuple[float, ...]
    low: float = 2.0
    high: float = 4.0
    seed: int = 0
    counts: bool = False
    measure: str = "average precision x 100"

    def __post_init__(self) -> None:
        if not (min(self.gold) < self.low and max(self.gold) > self.high):
            raise InvalidInputError(
                f"{self.name}: expected pairs with scores below {self.low:g} and above {self.high:g}; found scores "
                f"from {min(self.gold):g} to {max(self.gold):g}."
            )

    def score(self, embed: Embed) -> Score:
        """Embed all texts once, the pairs that are left out too, so that STS-B's vectors serve twice."""
        n, gold, vectors = len(self.gold), np.array(self.gold), embed(self.texts)
        kept = (gold < self.low) | (gold > self.high)
        cosines = np.einsum("nd,nd->n", vectors[:n], vectors[n:])[kept]
        same = gold[kept] > self.high
        draws = np.random.default_rng(self.seed).integers(len(same), size=(RESAMPLES, len(same)))
        samples = tuple(_average_precision(same[draw], cosines[draw]) for draw in draws)
        return Score(_average_precision(same, cosines), samples, averaged=1)


@dataclass(frozen=True)
class Retrieval:
    """nDCG@10 x 100 of queries in the texts of a collection, by cosines alone; the mean of the judged queries.

    Attributes:
        name: Its column.
        collection: Texts, queries and judgements.
        counts: Whether it is a part of the mean.
    """

    name: str
    collection: Collection = field(repr=False)
    counts: bool = False
    measure: str = "nDCG@10 x 100"

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the collection, then its queries."""
        return (*self.collection.texts, *self.collection.queries)

    def score(self, embed: Embed) -> Score:
        """Embed all texts once; a teacher reads as much of each as it can."""
        n, vectors = len(self.collection.texts), embed(self.texts)
        found = np.argsort(-(vectors[n:] @ vectors[:n].T), axis=1, kind="stable")[:, :K]
        values = self.collection.ndcg(found.tolist())
        return Score(float(values.mean()), tuple(values.tolist()), averaged=len(values))


def _average_precision(same: NDArray[np.bool_], cosines: NDArray[np.float32]) -> float:
    """0 where no pair of a sample means the same."""
    return 100 * float(average_precision_score(same, cosines)) if same.any() else 0.0
