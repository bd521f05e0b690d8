"""Pairs of texts: hard negatives, and vectors whose first dimensions are good alone."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from conftest import make_model
from m2v_core.errors import InvalidInputError
from m2v_core.ragged import Ragged
from m2v_core.search import RetrievalEvaluator
from m2v_core.vectors import unit
from m2v_train import StaticModelForPairSimilarity
from m2v_train.data.inputs import as_text_lists
from m2v_train.data.pairs import pair_samples
from training_texts import FAST, TEXTS

OPTIONS = {**FAST, "max_epochs": 3, "n_layers": 0, "freeze_weights": True}


def test_samples_of_pairs() -> None:
    """Two pairs, with one and with two hard negatives; texts of the same tokens have the same number."""
    texts = Ragged.of([[1, 2], [3], [4], [1, 2], [5], [3], [3]], np.int32)
    samples = pair_samples(texts, np.array([1, 2]), width=5)
    first, second = (samples.texts_of(np.array([i])) for i in (0, 1))
    assert [row.tolist() for row in first] == [[1, 2], [4], [5], [], []]
    assert [row.tolist() for row in second] == [[3], [1, 2], [3], [3], []]
    a, b, c, d = 0, 1, 2, 3
    assert samples.targets.tolist() == [[a, c, d, -1, -1], [b, a, b, b, -1]]


def test_hard_negatives_of_any_number() -> None:
    """Lists of one text are the texts themselves; lists of any length train too, also as validation data."""
    others = TEXTS[1:] + TEXTS[:1]
    options = {"text_a": TEXTS, "text_b": [f"{text} day" for text in TEXTS]}
    alone = StaticModelForPairSimilarity(make_model(), **OPTIONS).fit(negatives=others, **options)
    lists = StaticModelForPairSimilarity(make_model(), **OPTIONS).fit(negatives=[[text] for text in others], **options)
    assert alone.history_ == lists.history_
    uneven = [others[i : i + i % 3] for i in range(len(others))]
    held = {"text_a_val": TEXTS[:9], "text_b_val": TEXTS[1:10], "negatives_val": [[text] * 5 for text in TEXTS[2:11]]}
    fitted = StaticModelForPairSimilarity(make_model(), **OPTIONS).fit(negatives=uneven, **options, **held)
    assert np.isfinite(fitted.history_[-1]["val_loss"])


@pytest.mark.parametrize(
    ("negatives", "message"),
    [
        (
            [["a"], "b"],
            r"negatives should hold a list of texts in each row, as in the first; found 'b' \(str\) at inde",
        ),
        (["a", ["b"]], r"negatives should hold texts \(str\); found \['b'\] \(list\) at index 1"),
        ([[], []], "negatives should hold at least one text; found empty lists alone"),
        ([["a"], ["b", None]], r"negatives\[1\] should hold texts \(str\); found None .* at index 1"),
        ([["a"]], "should have the same number of rows; found 2 in text_a, 2 in text_b, 1 in negatives"),
    ],
)
def test_wrong_negatives(negatives: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        StaticModelForPairSimilarity(make_model(), **OPTIONS).fit(["a", "b"], ["c", "d"], negatives=negatives)


def test_lists_as_arrays() -> None:
    texts, counts = as_text_lists(np.array([["a", "b"], ["c", "d"]]), "negatives")
    assert (list(texts), counts.tolist()) == (["a", "b", "c", "d"], [2, 2])


def test_matryoshka_makes_first_dimensions_better(caplog: pytest.LogCaptureFixture) -> None:
    """Few dimensions have a lower loss than a cut of a model that was trained without, and all keep nearly theirs."""
    first = list(dict.fromkeys(TEXTS))[:96]
    second = [f"{text} {text.split()[0]}" for text in first]
    model, losses = make_model(dim=16), {}
    for dims in (None, (16, 4, 2)):
        options = {**OPTIONS, "max_epochs": 12, "learning_rate": 0.05, "matryoshka_dims": dims}
        fitted = StaticModelForPairSimilarity(model, **options).fit(first, second).to_static_model()
        for width in (4, 16):
            a, b = (unit(fitted.encode(texts)[:, :width]) for texts in (first, second))
            losses[dims, width] = -np.diag(log_softmax(a @ b.T / 0.05, axis=1)).mean()
    assert not caplog.records
    assert losses[(16, 4, 2), 4] < 0.95 * losses[None, 4]
    assert losses[(16, 4, 2), 16] < 1.5 * losses[None, 16]


def test_dimensions_that_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """Those after the largest prefix keep their values, and a warning says so."""
    model = make_model()
    with caplog.at_level(logging.WARNING, logger="m2v_train"):
        fitted = StaticModelForPairSimilarity(model, matryoshka_dims=[2, 3], normalize=False, **OPTIONS).fit(
            TEXTS, TEXTS
        )
    assert "matryoshka_dims should include all 8 dimensions of the trained vectors" in caplog.text
    table = fitted.to_static_model().embedding
    np.testing.assert_array_equal(table[:, 3:], model.embedding[:, 3:])
    assert not np.array_equal(table[:, :3], model.embedding[:, :3])


def test_a_share_of_the_table_before() -> None:
    """The result is the mean; an evaluator measures it, and not what was trained."""
    model, evaluator = make_model(), RetrievalEvaluator(**COLLECTION, k=5)
    options = {**OPTIONS, "max_epochs": 2, "freeze_weights": True, "early_stopping_patience": None}
    whole, mean = (
        StaticModelForPairSimilarity(model, initial_share=share, **options).fit(TEXTS, TEXTS[::-1]).to_static_model()
        for share in (0.0, 0.25)
    )
    np.testing.assert_allclose(mean.embedding, 0.75 * whole.embedding + 0.25 * model.embedding, atol=1e-6)
    fitted = StaticModelForPairSimilarity(model, initial_share=0.25, **options)
    fitted.fit(TEXTS, TEXTS[::-1], evaluator=evaluator)
    best = max(record["val_ndcg@5"] for record in fitted.history_)
    assert evaluator(fitted.to_static_model())["ndcg@5"] == pytest.approx(best, abs=1e-6)
    with pytest.raises(InvalidInputError, match="initial_share should be 0 for a model with a head"):
        StaticModelForPairSimilarity(model, initial_share=0.25, n_layers=1).fit(TEXTS, TEXTS)


@pytest.mark.parametrize("dims", [[], (0,), (4, 4), (9,), "8", [2.0], 8])
def test_wrong_dimensions(dims: object) -> None:
    with pytest.raises(InvalidInputError, match="matryoshka_dims should be a list of different whole numbers"):
        StaticModelForPairSimilarity(make_model(), matryoshka_dims=dims).fit(TEXTS, TEXTS)


# --- early stopping on search -------------------------------------------------------------------------------------

COLLECTION = {
    "queries": dict(enumerate(TEXTS[:30])),
    "corpus": {i: f"{text} day" for i, text in enumerate(TEXTS[:30])},
    "relevant": {i: [i] for i in range(30)},
}


def test_the_best_state_is_the_one_that_searches_best() -> None:
    """The measures are those of the model that `fit` would have returned; its head is a part of it."""
    evaluator = RetrievalEvaluator(**COLLECTION, k=5)
    options = {**OPTIONS, "n_layers": 1, "max_epochs": 6, "early_stopping_patience": None, "hidden_dim": 4}
    fitted = StaticModelForPairSimilarity(make_model(), **options)
    fitted.fit(TEXTS, [f"{text} sun" for text in TEXTS], evaluator=evaluator)
    found = [record["val_ndcg@5"] for record in fitted.history_]
    assert len(set(found)) > 1
    assert evaluator(fitted.to_pipeline())["ndcg@5"] == pytest.approx(max(found), abs=1e-6)
    assert {"val_loss", "val_mrr@5", "val_recall@100"} <= set(fitted.history_[0])
    assert fitted.history_[0]["val_mrr@5"] <= 1


def test_search_stops_training(tmp_path: Path) -> None:
    """After validations without a better nDCG, whatever the loss; a checkpoint is of one evaluator."""

    class Rising(RetrievalEvaluator):
        values = iter([0.2, 0.5, 0.5001, 0.3, 0.4, 0.9, 0.9])

        def __call__(self, _: object) -> dict[str, float]:
            return {"ndcg@10": next(self.values)}

    options = {**OPTIONS, "max_epochs": 20, "early_stopping_patience": 3, "checkpoint_dir": tmp_path}
    fitted = StaticModelForPairSimilarity(make_model(), **options)
    fitted.fit(TEXTS, TEXTS, evaluator=Rising(**COLLECTION))
    assert [record["val_ndcg@10"] for record in fitted.history_] == [0.2, 0.5, 0.5001, 0.3, 0.4]
    (tmp_path / "training.safetensors").unlink()
    fitted.fit(TEXTS, TEXTS, max_epochs=1)
    again = StaticModelForPairSimilarity(make_model(), **options)
    again.fit(TEXTS, TEXTS, max_epochs=1, evaluator=RetrievalEvaluator(**COLLECTION))
    assert "val_ndcg@10" in again.history_[0]


def test_evaluators_of_others() -> None:
    with pytest.raises(
        InvalidInputError, match=r"evaluator should be an m2v_core\.search\.RetrievalEvaluator, or None"
    ):
        StaticModelForPairSimilarity(make_model()).fit(TEXTS, TEXTS, evaluator=len)
