"""Texts without a token: some, whole batches of them, all."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from conftest import make_model
from m2v_core import InvalidInputError, StaticModel, quantize_model
from m2v_train import (
    StaticModelForClassification,
    StaticModelForPairSimilarity,
    StaticModelForRegression,
    StaticModelForSimilarity,
)
from training_texts import FAST, LABELS, TEXTS

N = 40
OPTIONS = {**FAST, "max_epochs": 2}
#: Estimators, and what they are trained on beside N texts.
TARGETS: dict[Any, Any] = {
    StaticModelForClassification: LABELS[:N],
    StaticModelForRegression: np.arange(N),
    StaticModelForSimilarity: np.ones((N, 2)),
    StaticModelForPairSimilarity: TEXTS[:N],
}
EMPTY = {"empty": [""] * N, "unknown": ["☃", "Ωμέγα"] * (N // 2), "blank": [" \n"] * N}
FREEZING = [{}, {"freeze": True}, {"freeze": True, "freeze_weights": True}, {"freeze_weights": False}]


def mostly_empty(n: int = N) -> list[str]:
    """One text in ten has tokens."""
    return [text if i % 10 == 0 else "☃" for i, text in enumerate(TEXTS[:n])]


@pytest.mark.parametrize("cls", TARGETS)
@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("options", FREEZING)
def test_all_texts(cls: Any, kind: str, options: dict[str, Any]) -> None:
    estimator = cls(make_model(), **OPTIONS, **options)
    with pytest.raises(InvalidInputError, match=r"None of the 40 texts in (X|text_a) has a token .* another model\."):
        estimator.fit(EMPTY[kind], TARGETS[cls])
    assert not hasattr(estimator, "classes_")


@pytest.mark.parametrize("cls", TARGETS)
def test_all_validation_texts(cls: Any) -> None:
    names = ("text_a_val", "text_b_val") if cls is StaticModelForPairSimilarity else ("X_val", "y_val")
    held = dict(zip(names, (["", "☃"], TARGETS[cls][:2]), strict=True))
    with pytest.raises(InvalidInputError, match=f"None of the 2 texts in {names[0]} has a token"):
        cls(make_model(), **OPTIONS).fit(TEXTS[:N], TARGETS[cls], **held)


@pytest.mark.parametrize("name", ["text_b", "negatives", "text_b_val", "negatives_val"])
def test_one_side_of_pairs(name: str) -> None:
    columns = {"text_a": TEXTS[:N], "text_b": TEXTS[:N], "negatives": TEXTS[:N]}
    columns |= {f"{column}_val": texts[:9] for column, texts in columns.items()}
    columns[name] = ["☃"] * len(columns[name])
    with pytest.raises(InvalidInputError, match=f"None of the {len(columns[name])} texts in {name} has a token"):
        StaticModelForPairSimilarity(make_model(), **OPTIONS).fit(**columns)


@pytest.mark.parametrize(("side", "found"), [("train", "texts to train on"), ("validation", "texts to validate with")])
@pytest.mark.parametrize("cls", TARGETS)
def test_all_texts_on_one_side_of_the_split(cls: Any, side: str, found: str) -> None:
    from m2v_train.data.split import split_indices

    strata = None
    if cls is StaticModelForClassification:
        strata = np.unique(LABELS[:N], return_inverse=True)[1]
    rows = split_indices(N, 0.1, strata=strata, seed=42)[side == "validation"]
    texts = ["" if i in rows else text for i, text in enumerate(TEXTS[:N])]
    with pytest.raises(InvalidInputError, match=rf"None of the {len(rows)} {found} has a token .* Change test_size"):
        cls(make_model(), **OPTIONS).fit(texts, TARGETS[cls])


@pytest.mark.parametrize("cls", TARGETS)
@pytest.mark.parametrize("batch_size", [2, N])
def test_whole_batches(cls: Any, batch_size: int) -> None:
    """One text in ten has tokens, so that most batches of two have none."""
    fitted = cls(make_model(), **OPTIONS).fit(
        *(mostly_empty(), TARGETS[cls]), test_size=N // 2, batch_size=batch_size, token_dropout=0.9
    )
    losses = [entry[name] for entry in fitted.history_ for name in ("train_loss", "val_loss")]
    assert np.isfinite(losses).all()
    assert np.isfinite(fitted.to_static_model().embedding).all()
    assert np.isfinite(fitted.to_pipeline().head.logits(fitted.to_static_model().encode(["", "good"]))).all()


def weighted() -> StaticModel:
    return quantize_model(make_model(), vocabulary_quantization=5)


@pytest.mark.parametrize("options", FREEZING)
@pytest.mark.parametrize("make", [make_model, weighted])
def test_blocks_of_empty_batches(options: dict[str, Any], make: Any) -> None:
    """A block has 32 batches: with one text each, the first blocks of an epoch have no tokens at all."""
    texts, labels = ["", "☃"] * 150, [*"ab"] * 150
    texts[7] = "good day"
    fitted = StaticModelForClassification(make(), **OPTIONS, **options).fit(
        texts, labels, X_val=["good", ""], y_val=["a", "b"], batch_size=1, token_dropout=0.5
    )
    assert np.isfinite([entry["train_loss"] for entry in fitted.history_]).all()
    assert fitted.predict(["", "☃"]).tolist() == fitted.predict(["", ""]).tolist()


def test_the_head_learns_from_them() -> None:
    """The vector of an empty text is zero: its number becomes the bias."""
    options = {**OPTIONS, "learning_rate": 0.1, "max_epochs": 200, "early_stopping_patience": None}
    fitted = StaticModelForRegression(make_model(), n_layers=0, freeze=True, **options)
    fitted.fit([*[""] * 20, *["good"] * 20], [*[3.0] * 20, *[5.0] * 20])
    np.testing.assert_allclose(fitted.predict(["", "☃", "good"])[:, 0], [3, 3, 5], atol=0.1)


@pytest.mark.parametrize(("n_empty", "level"), [(0, None), (1, logging.INFO), (4, logging.INFO), (5, logging.WARNING)])
def test_a_log_line_counts_them(n_empty: int, level: int | None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "m2v_train")
    texts = [*["☃"] * n_empty, *TEXTS[n_empty:N]]
    StaticModelForClassification(make_model(), **OPTIONS).fit(texts, LABELS[:N])
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    if level:
        assert caplog.messages[0].startswith(f"{n_empty} of the 40 texts in X have no token that the model knows")


@pytest.mark.parametrize("cls", TARGETS)
def test_prediction(cls: Any) -> None:
    fitted = cls(make_model(), **OPTIONS).fit(TEXTS[:N], TARGETS[cls])
    assert len(fitted.predict(["", "☃"])) == 2
    assert len(fitted.predict([])) == 0
    assert len(fitted.predict("good day")) == 1
    if cls is StaticModelForClassification:
        assert fitted.predict_proba([]).shape == (0, 3)
        assert fitted.evaluate(["", "☃"], ["bad", "bad"])["accuracy"] in (0, 1)
        with pytest.raises(InvalidInputError, match="found 0 texts, 0 labels"):
            fitted.evaluate([], [])
