"""Hard negatives: texts that a model takes for a query's answer, and that are not."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
from jaxtyping import Float32, Int64

from m2v_core import StaticModel, checks
from m2v_core.options import picked
from m2v_core.progress import progress_bar
from m2v_core.search import Index
from m2v_core.search.encoders import document_vectors, query_vectors
from m2v_core.vectors import unit
from m2v_train.data.inputs import as_texts, check_aligned

logger = logging.getLogger("m2v_train")

#: Queries that are searched at a time.
_QUERIES = 1024

Strategy = Literal["top", "random"]


class Mined(TypedDict):
    """Columns that `StaticModelForPairSimilarity.fit` takes by these names."""

    text_a: list[str]
    text_b: list[str]
    negatives: list[list[str]]


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """Options of `mine_hard_negatives`, which describes them."""

    num_negatives: int = 3
    range_min: int = 0
    range_max: int | None = None
    max_score: float | None = None
    min_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    sampling_strategy: Strategy = "top"
    random_seed: int = 42
    show_progress_bar: bool | None = None

    def __post_init__(self) -> None:
        checks.whole("num_negatives", self.num_negatives, 1)
        checks.whole("range_min", self.range_min)
        checks.whole("range_max", self.range_max, self.range_min + 1, or_none=True)
        for name in ("max_score", "min_score", "absolute_margin"):
            checks.number(name, getattr(self, name), or_none=True)
        checks.number("relative_margin", self.relative_margin, below=1, or_none=True)
        checks.one_of("sampling_strategy", self.sampling_strategy, ("top", "random"))
        checks.whole("random_seed", self.random_seed)
        checks.flag("show_progress_bar", self.show_progress_bar, or_none=True)

    @property
    def candidates(self) -> int:
        """Number of nearest texts that are looked at."""
        if self.range_max is not None:
            return self.range_max
        limits = (self.max_score, self.min_score, self.absolute_margin, self.relative_margin)
        factor = 1 if all(limit is None for limit in limits) else 10
        return self.range_min + factor * self.num_negatives


def mine_hard_negatives(
    model: Any,
    text_a: Any,
    text_b: Any,
    corpus: Any = None,
    *,
    num_negatives: int = 3,
    range_min: int = 0,
    range_max: int | None = None,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    sampling_strategy: Strategy = "top",
    random_seed: int = 42,
    show_progress_bar: bool | None = None,
) -> Mined:
    """Find hard negatives for pairs of texts, by exact search for each first text.

    Options mean what they mean in sentence-transformers' function of this name. Never a negative of a pair are: its
    second text, those of other pairs with the same first text, and texts equal to the first text. Moreira et al.,
    "NV-Retriever: Improving text embedding models with effective hard-negative mining" (2024), recommend a
    `relative_margin` of 0.05.

    Args:
        model: What embeds the texts: a static model, its folder or name, an estimator, a teacher, or anything else with
            `encode`; by `encode_query` and `encode_document`, with their prompts, if it has them.
        text_a: First texts of n pairs, as `StaticModelForPairSimilarity.fit` takes them.
        text_b: Second texts.
        corpus: Texts that may be negatives, beside all second texts. Default: these alone.
        num_negatives: Maximum number of negatives for a pair.
        range_min: Number of nearest candidates to leave out, since they may be right, after all other conditions.
        range_max: Number of nearest texts that are looked at. Default: as many as are needed, and ten times as many
            negatives if scores or margins are limited.
        max_score: Largest cosine of a negative with the first text.
        min_score: Smallest cosine of a negative with the first text.
        absolute_margin: Least difference of the cosines of the second text and of a negative; 0 for a negative that is
            no nearer than the second text. If a first text has several second texts, the farthest counts.
        relative_margin: Least difference as a fraction of the cosine of the second text: with 0.05, a negative is at
            most 95% as similar.
        sampling_strategy: "top" for the nearest candidates, "random" for a random draw among them.
        random_seed: Seed of the draw.
        show_progress_bar: Show a progress bar on stderr; `None` shows it on a terminal only.

    Returns:
        The pairs in their order, and for each a list of negatives, the nearest first: the columns "text_a", "text_b"
        and "negatives" of `fit`. A pair has fewer negatives, or none, if fewer fit; a log line counts such pairs.

    Raises:
        InvalidInputError: Texts are none, their numbers differ, or an option is out of range.

    Example:
        >>> mined = mine_hard_negatives(tiny_model(), ["good"], ["good good"], ["day", "good day"], num_negatives=1)
        >>> mined["negatives"]
        [['good day']]
        >>> from m2v_train import StaticModelForPairSimilarity
        >>> mined = mine_hard_negatives(tiny_model(), ["good", "day"] * 9, ["good good", "day day"] * 9)
        >>> StaticModelForPairSimilarity(tiny_model(), n_layers=0, max_epochs=1).fit(**mined).predict(["day"]).shape
        (1, 2)
    """
    config = picked(MiningConfig, locals())
    pairs = _Pairs.of(text_a, text_b, corpus)
    if isinstance(model, str) or hasattr(model, "__fspath__"):
        model = StaticModel.from_pretrained(model)
    index, queries = Index(), unit(query_vectors(model, pairs.queries))
    index.add(vectors=document_vectors(model, pairs.corpus))
    documents = index.vectors()
    most = max(map(len, pairs.excluded))
    rng = np.random.default_rng(config.random_seed)
    negatives: list[list[int]] = []
    with progress_bar("Mining", unit="texts", total=len(queries), show=config.show_progress_bar) as bar:
        for start in range(0, len(queries), _QUERIES):
            block = queries[start : start + _QUERIES]
            hits = index.search_arrays(vectors=block, k=config.candidates + most)
            for number, (rows, scores) in enumerate(zip(hits.rows, hits.scores, strict=True), start):
                allowed = np.flatnonzero((rows >= 0) & ~np.isin(rows, pairs.excluded[number]))[: config.candidates]
                right = float((documents[pairs.positives[number]] @ queries[number]).min())
                negatives.append(_chosen(rows[allowed], scores[allowed], right, config, rng).tolist())
            bar.update(len(block))
    return pairs.mined(negatives, config.num_negatives)


def _chosen(
    rows: Int64[np.ndarray, " n"],
    scores: Float32[np.ndarray, " n"],
    right: float,
    config: MiningConfig,
    rng: np.random.Generator,
) -> Int64[np.ndarray, " k"]:
    """Some of the rows of one query's candidates, which come with the nearest first.

    Args:
        rows: Rows of texts.
        scores: Their cosines with the query.
        right: The cosine of the right text; of several the least.
        config: Options.
        rng: Source of the draw.
    """
    kept = np.ones(len(rows), bool)
    if config.absolute_margin is not None:
        kept &= scores + config.absolute_margin <= right
    if config.relative_margin is not None:
        kept &= scores <= right * (1 - config.relative_margin)
    if config.max_score is not None:
        kept &= scores <= config.max_score
    if config.min_score is not None:
        kept &= scores >= config.min_score
    rows = rows[kept][config.range_min :]
    if config.sampling_strategy == "random" and len(rows) > config.num_negatives:
        return rows[np.sort(rng.choice(len(rows), config.num_negatives, replace=False))]
    return rows[: config.num_negatives]


@dataclass(frozen=True)
class _Pairs:
    """Pairs of texts, and the corpus to search.

    Attributes:
        text_a: First texts of the pairs.
        text_b: Second texts.
        queries: The different first texts.
        corpus: The different texts of the corpus, and all second texts.
        query_of: Index into `queries` of each pair.
        positives: Rows of the corpus of each query's second texts.
        excluded: Rows of the corpus that are no negatives of each query.
    """

    text_a: list[str]
    text_b: list[str]
    queries: list[str]
    corpus: list[str]
    query_of: list[int]
    positives: list[list[int]]
    excluded: list[list[int]]

    @classmethod
    def of(cls, text_a: Any, text_b: Any, corpus: Any) -> _Pairs:
        first, second = list(as_texts(text_a, "text_a")), list(as_texts(text_b, "text_b"))
        check_aligned(text_a=first, text_b=second)
        more: Sequence[str] = [] if corpus is None else as_texts(corpus, "corpus")
        rows, numbers = _numbered([*more, *second]), _numbered(first)
        positives: list[dict[int, None]] = [{} for _ in numbers]
        for one, other in zip(first, second, strict=True):
            positives[numbers[one]][rows[other]] = None
        right = [list(found) for found in positives]
        same = [[rows[text]] if text in rows else [] for text in numbers]
        excluded = [[*found, *own] for found, own in zip(right, same, strict=True)]
        return cls(first, second, list(numbers), list(rows), [numbers[text] for text in first], right, excluded)

    def mined(self, negatives: list[list[int]], wanted: int) -> Mined:
        """The columns of `fit`, from the rows of each query's negatives."""
        found = [[self.corpus[row] for row in negatives[query]] for query in self.query_of]
        few, none = sum(len(each) < wanted for each in found), sum(not each for each in found)
        if few:
            logger.log(
                logging.WARNING if 2 * none > len(found) else logging.INFO,
                "%d of %d pairs have fewer than %d hard negatives, %d of them none: raise range_max, or lower margins",
                *(few, len(found), wanted, none),
            )
        return {"text_a": self.text_a, "text_b": self.text_b, "negatives": found}


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    """A number for each different text, in the order in which they come first."""
    return {text: number for number, text in enumerate(dict.fromkeys(texts))}
