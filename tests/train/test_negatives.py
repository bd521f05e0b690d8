"""Hard negatives, beside a search of all pairs."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from conftest import make_model
from m2v_core.errors import InvalidInputError
from m2v_core.options import defaults_of
from m2v_core.vectors import unit
from m2v_train import StaticModelForPairSimilarity, mine_hard_negatives
from m2v_train.negatives import MiningConfig
from training_texts import sentences

MODEL = make_model(dim=16)
CORPUS = list(dict.fromkeys(sentences(120, seed=3)))
FIRST = [*CORPUS[:30], *CORPUS[:5]]  # five have two right texts, and all are in the corpus themselves
SECOND = CORPUS[30:65]
#: No two texts have the same cosine, as those of the same words have by a static model.
VECTORS = dict(zip(CORPUS, np.random.default_rng(0).normal(0.3, size=(len(CORPUS), 8)), strict=True))


class Drawn:
    """A model that gives each text of the corpus a vector drawn at random."""

    def encode(self, texts: list[str]) -> Any:
        return np.array([VECTORS[text] for text in texts], np.float32)


def searched(**options: Any) -> list[list[str]]:
    """Negatives of each pair by sorting all cosines; what a sample may be drawn from, with `num_negatives` beyond it."""
    config = MiningConfig(**options)
    corpus = list(dict.fromkeys([*CORPUS, *SECOND]))
    documents = dict(zip(corpus, unit(Drawn().encode(corpus)), strict=True))
    found = []
    for one in FIRST:
        query = documents[one]
        right = [second for first, second in zip(FIRST, SECOND, strict=True) if first == one]
        cosines = {text: float(vector @ query) for text, vector in documents.items()}
        nearest = sorted((text for text in corpus if text not in (*right, one)), key=lambda text: -cosines[text])
        least = min(cosines[text] for text in right)
        kept = [
            text
            for text in nearest[: config.candidates]
            if (config.max_score is None or cosines[text] <= config.max_score)
            and (config.min_score is None or cosines[text] >= config.min_score)
            and (config.absolute_margin is None or cosines[text] + config.absolute_margin <= least)
            and (config.relative_margin is None or cosines[text] <= least * (1 - config.relative_margin))
        ]
        found.append(kept[config.range_min :][: config.num_negatives])
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_negatives": 2, "range_min": 3},
        {"range_max": 4, "range_min": 2},
        {"max_score": 0.8},
        {"min_score": 0.7, "num_negatives": 9},
        {"absolute_margin": 0.1},
        {"relative_margin": 0.05, "range_max": 60},
        {"relative_margin": 0.2, "max_score": 0.7, "min_score": -0.1, "range_min": 1},
        {"num_negatives": 500},
    ],
)
def test_negatives_are_those_of_a_full_search(options: dict[str, Any]) -> None:
    mined = mine_hard_negatives(Drawn(), FIRST, SECOND, CORPUS, **options)
    assert (mined["text_a"], mined["text_b"]) == (FIRST, SECOND)
    assert mined["negatives"] == searched(**options)


def test_a_random_draw() -> None:
    options = {"range_max": 20, "range_min": 2, "relative_margin": 0.0}
    drawn = [
        mine_hard_negatives(Drawn(), FIRST, SECOND, CORPUS, sampling_strategy="random", random_seed=seed, **options)
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    for found, candidates in zip(drawn[0]["negatives"], searched(num_negatives=18, **options), strict=True):
        assert [text for text in candidates if text in found] == found
        assert len(found) == min(3, len(candidates))


def test_second_texts_alone_are_the_corpus() -> None:
    mined = mine_hard_negatives(MODEL, ["good", "bad", "good"], ["good day", "bad day", "day"])
    assert mined["negatives"] == [["bad day"], mined["negatives"][1], ["bad day"]]
    assert sorted(mined["negatives"][1]) == ["day", "good day"]


def test_anything_that_embeds_texts(tmp_path: Any) -> None:
    """A folder, and vectors of another model, which finds its own negatives."""
    MODEL.save_pretrained(tmp_path)
    expected = mine_hard_negatives(MODEL, FIRST, SECOND, CORPUS)
    assert mine_hard_negatives(tmp_path, FIRST, SECOND, CORPUS) == expected

    class Backwards:
        def encode(self, texts: list[str]) -> Any:
            vectors = MODEL.encode(texts)
            return vectors * np.where(np.array([text in FIRST for text in texts]), -1, 1)[:, None]

    others = [text for text in CORPUS if text not in FIRST]
    assert mine_hard_negatives(Backwards(), FIRST, SECOND, others) != mine_hard_negatives(MODEL, FIRST, SECOND, others)


def test_what_is_mined_trains(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="m2v_train"):
        mined = mine_hard_negatives(MODEL, FIRST, SECOND, CORPUS, max_score=0.6)
    few = sum(len(found) < 3 for found in mined["negatives"])
    none = sum(not found for found in mined["negatives"])
    assert few > none > 0
    assert f"{few} of 35 pairs have fewer than 3 hard negatives, {none} of them none" in caplog.text
    fitted = StaticModelForPairSimilarity(MODEL, n_layers=0, max_epochs=2, show_progress_bar=False).fit(**mined)
    assert np.isfinite(fitted.history_[-1]["val_loss"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": 0}, "num_negatives should be a whole number, 1 or more; found 0"),
        ({"range_min": 5, "range_max": 5}, "range_max should be a whole number, 6 or more, or None; found 5"),
        ({"max_score": "x"}, "max_score should be a number, or None; found 'x'"),
        ({"relative_margin": 1.0}, "relative_margin should be a number, below 1, or None; found 1.0"),
        ({"sampling_strategy": "best"}, "sampling_strategy should be one of top, random; found 'best'"),
        ({"text_b": ["a"]}, "text_a and text_b should have the same number of rows; found 35 in text_a, 1 in text_b"),
        ({"corpus": [1]}, r"corpus should hold texts \(str\); found 1 \(int\) at index 0"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        mine_hard_negatives(MODEL, **{"text_a": FIRST, "text_b": SECOND, **options})


def test_options_are_those_of_the_config() -> None:
    import inspect

    parameters = inspect.signature(mine_hard_negatives).parameters.values()
    assert {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} == defaults_of(MiningConfig)
