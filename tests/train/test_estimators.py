from __future__ import annotations

import pickle
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import sklearn.utils.estimator_checks as checks
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from conftest import make_model
from m2v_core import StaticModel, StaticModelPipeline, quantize_model
from m2v_core.errors import InvalidInputError
from m2v_train import (
    StaticModelForClassification,
    StaticModelForPairSimilarity,
    StaticModelForRegression,
    StaticModelForSimilarity,
)
from training_texts import FAST, LABELS, TEXTS, label_of, sentences

ALL = (
    StaticModelForClassification,
    StaticModelForRegression,
    StaticModelForSimilarity,
    StaticModelForPairSimilarity,
)
#: Checks of scikit-learn that need no numbers as input; `check_estimator` leaves them out for texts.
CHECKS = (
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_mixin_order",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimator_cloneable",
)


def classifier(**options: object) -> StaticModelForClassification:
    return StaticModelForClassification(make_model(), **{**FAST, **options})


# --- scikit-learn's manners ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_scikit_learns_checks(cls) -> None:
    checks.check_estimator(cls(make_model()))
    for name in CHECKS:
        getattr(checks, name)(cls.__name__, cls(make_model(), max_epochs=1))


def test_options_are_stored_and_no_more() -> None:
    model = make_model()
    estimator = StaticModelForClassification(model, n_layers=-3, focal_gamma=2)  # wrong, which `fit` tells
    assert estimator.get_params()["n_layers"] == -3
    assert clone(estimator).get_params() == estimator.get_params()
    assert clone(estimator).model is model
    with pytest.raises(InvalidInputError, match="n_layers should be a whole number, 0 or more; found -3"):
        estimator.fit(TEXTS, LABELS)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'learning_rat'. Did you mean 'learning_rate'\?"):
        StaticModelForClassification(model, learning_rat=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'temperature'"):
        classifier().fit(TEXTS, LABELS, temperature=1)


def test_options_of_fit_are_for_that_time() -> None:
    estimator = classifier(max_epochs=5)
    assert estimator.fit(TEXTS, LABELS, max_epochs=1) is estimator
    assert estimator.history_[-1]["epoch"] == 1
    assert estimator.max_epochs == 5
    assert estimator.fit(TEXTS, LABELS).history_[-1]["epoch"] == 5


def test_search_and_cross_validation() -> None:
    scores = cross_val_score(classifier(), TEXTS, LABELS, cv=2)
    assert scores.min() > 0.8
    search = GridSearchCV(classifier(), {"max_epochs": [1, 30], "learning_rate": [0.02]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_["max_epochs"] == 30


def test_pickles() -> None:
    fitted = classifier(max_epochs=3).fit(TEXTS, LABELS)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


@pytest.mark.parametrize("cls", ALL)
def test_what_is_not_fitted(cls) -> None:
    with pytest.raises(NotFittedError):
        cls(make_model()).predict(["good"])
    with pytest.raises(NotFittedError):
        cls(make_model()).to_static_model()
    with pytest.raises(
        InvalidInputError, match=f"model should be the StaticModel to start from.*{cls.__name__}.from_pre"
    ):
        cls().fit(TEXTS, LABELS)


# --- classification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, int])
def test_single_labels(kind: type) -> None:
    names = ["bad", "plain", "sunny"]
    labels = LABELS if kind is str else [names.index(label) + 7 for label in LABELS]
    fitted = classifier().fit(TEXTS, labels)
    assert fitted.classes_.tolist() == sorted(set(labels))
    fresh = sentences(200, seed=1)
    expected = [label_of(text) if kind is str else names.index(label_of(text)) + 7 for text in fresh]
    assert accuracy_score(expected, fitted.predict(fresh)) > 0.95
    assert fitted.score(fresh, expected) == fitted.evaluate(fresh, expected)["accuracy"]
    probabilities = fitted.predict_proba(fresh)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fitted.classes[probabilities.argmax(axis=1)], fitted.predict(fresh))


def test_lists_of_labels() -> None:
    labels = [sorted({word for word in text.split() if word in ("good", "bad", "sun")}) for text in TEXTS]
    fitted = classifier(max_epochs=60).fit(TEXTS, labels)
    assert fitted.multilabel
    fresh = sentences(100, seed=2)
    found = [sorted(row) for row in fitted.predict(fresh)]
    assert (
        np.mean(
            [
                row == sorted({w for w in t.split() if w in row or w in ("good", "bad", "sun")})
                for row, t in zip(found, fresh, strict=True)
            ]
        )
        > 0.9
    )
    everything = fitted.predict(fresh, threshold=0.0)
    assert all(len(row) == 3 for row in everything)


def test_scores_of_lists_of_labels_count_by_weight() -> None:
    texts, tags = ["good", "bad", "good bad"] * 20, [["good"], ["bad"], ["bad", "good"]] * 20
    fitted = classifier(max_epochs=1).fit(texts, tags)
    predicted = [row.tolist()[::-1] for row in fitted.predict(texts[:3])]  # the order of a text's labels is free
    assert fitted.score(texts[:3], predicted) == 1
    predicted[1] = [label for label in ("bad", "good") if label not in predicted[1]]
    assert fitted.score(texts[:3], predicted) == pytest.approx(2 / 3)
    assert fitted.score(texts[:3], predicted, sample_weight=[1, 2, 1]) == pytest.approx(1 / 2)
    with pytest.raises(InvalidInputError, match="same number of rows"):
        fitted.score(texts[:2], tags[:3])


def test_the_rows_that_are_held_out() -> None:
    fitted = classifier(max_epochs=1).fit(TEXTS, LABELS, test_size=0.2)
    assert len(fitted.validation_indices_) == 60
    own = [TEXTS[i] for i in fitted.validation_indices_], [LABELS[i] for i in fitted.validation_indices_]
    assert fitted.score(*own) == pytest.approx(fitted.history_[-1]["val_accuracy"])
    assert classifier(max_epochs=1).fit(TEXTS, LABELS, X_val=TEXTS[:9], y_val=LABELS[:9]).validation_indices_ is None


def test_the_best_state_is_kept_and_training_stops() -> None:
    """A second half of training with a rate that ruins the model is forgotten."""
    fitted = classifier(max_epochs=-1, early_stopping_patience=3).fit(TEXTS, LABELS)
    accuracies = [entry["val_accuracy"] for entry in fitted.history_]
    best = int(np.argmax(accuracies))
    assert len(accuracies) - 1 - best <= 3 + 1
    kept = classifier(max_epochs=best + 1, early_stopping_patience=None).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(kept.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_validation_data() -> None:
    fitted = classifier(max_epochs=4).fit(TEXTS, LABELS, X_val=TEXTS[:50], y_val=LABELS[:50])
    expected = accuracy_score(LABELS[:50], fitted.predict(TEXTS[:50]))
    assert max(entry["val_accuracy"] for entry in fitted.history_) == pytest.approx(expected)


def test_class_weights_shift_the_balance() -> None:
    rare = {"bad": 50.0, "plain": 1.0, "sunny": 1.0}
    plain, weighted = (classifier(max_epochs=2, class_weight=weight).fit(TEXTS, LABELS) for weight in (None, rare))
    assert (weighted.predict(TEXTS) == "bad").sum() > (plain.predict(TEXTS) == "bad").sum()


def test_one_seed_one_model_bit_for_bit() -> None:
    one, same, other = (
        classifier(max_epochs=3, random_seed=seed, token_dropout=0.2).fit(TEXTS, LABELS) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.to_static_model().embedding, same.to_static_model().embedding)
    for layer, twin in zip(one.to_pipeline().head.layers, same.to_pipeline().head.layers, strict=True):
        np.testing.assert_array_equal(layer.weight, twin.weight)
    assert (one.to_static_model().embedding != other.to_static_model().embedding).any()
    assert one.history_ == same.history_


# --- what is trained ----------------------------------------------------------------------------------------------


def test_a_frozen_table() -> None:
    model = make_model()
    fitted = StaticModelForClassification(model, freeze=True, **{**FAST, "hidden_dim": 64}).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(fitted.to_static_model().embedding, model.embedding)
    assert fitted.score(TEXTS, LABELS) > 0.7


def test_the_callers_model_stays() -> None:
    model = make_model()
    before = model.embedding.copy()
    fitted = StaticModelForClassification(model, **FAST).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(model.embedding, before)
    changed = (fitted.to_static_model().embedding != before).any(axis=1)
    assert changed[model.tokenize("good day bad sun")].all()
    untouched = [
        token for token in range(model.n_tokens) if token not in set(chain.from_iterable(model.tokenize(TEXTS)))
    ]
    assert not changed[untouched].any()


@pytest.mark.parametrize(("freeze_weights", "trained"), [(None, True), (True, False), (False, True)])
def test_weights_of_clusters(freeze_weights: bool | None, trained: bool) -> None:
    model = quantize_model(make_model(), vocabulary_quantization=6)
    before = model.weights.copy()
    fitted = StaticModelForClassification(model, freeze=True, freeze_weights=freeze_weights, **FAST).fit(TEXTS, LABELS)
    student = fitted.to_static_model()
    assert (student.weights != before).any() == trained
    np.testing.assert_array_equal(student.token_mapping, model.token_mapping)
    np.testing.assert_array_equal(student.embedding, model.embedding)


def test_learned_weights_go_into_the_table() -> None:
    plain, learned = (
        StaticModelForClassification(make_model(), freeze=True, freeze_weights=setting, **FAST).fit(TEXTS, LABELS)
        for setting in (None, False)
    )
    np.testing.assert_array_equal(plain.to_static_model().embedding, make_model().embedding)
    ratio = learned.to_static_model().embedding / make_model().embedding
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones_like(ratio), rtol=1e-4)  # a factor for each token
    assert ratio[:, 0].std() > 0.01
    assert learned.to_static_model().weights is None


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_small_dtypes_are_trained_in_float32(dtype: str) -> None:
    fitted = StaticModelForClassification(quantize_model(make_model(), quantize_to=dtype), **FAST).fit(TEXTS, LABELS)
    assert fitted.to_static_model().embedding_dtype == "float32"
    assert fitted.score(TEXTS, LABELS) > 0.9


def test_what_the_model_knows_of_itself_is_kept(tmp_path) -> None:
    model = make_model(base_model_name="org/teacher", language="de", config={"license": "mit", "mine": 1})
    pipeline = StaticModelForClassification(model, **FAST, max_length=9).fit(TEXTS, LABELS).to_pipeline()
    pipeline.save_pretrained(tmp_path / "out")
    loaded = StaticModelPipeline.from_pretrained(tmp_path / "out")
    config = loaded.model.config
    assert (config.base_model, config.language, config.license, config.extra["mine"]) == (
        "org/teacher",
        ("de",),
        "mit",
        1,
    )
    assert (config.normalize, config.max_length) == (True, 9)
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), pipeline.predict_proba(TEXTS), atol=1e-6)


def test_the_pipeline_computes_what_was_trained() -> None:
    """The loss that validation measured on devices, computed again by m2v-core alone."""
    fitted = classifier(max_epochs=1, early_stopping_patience=None).fit(
        TEXTS, LABELS, X_val=TEXTS[:60], y_val=LABELS[:60]
    )
    probabilities = fitted.to_pipeline().predict_proba(TEXTS[:60])
    own = probabilities[np.arange(60), np.searchsorted(fitted.classes_, LABELS[:60])]
    assert -np.log(own).mean() == pytest.approx(fitted.history_[0]["val_loss"], rel=1e-4)


# --- vectors and pairs --------------------------------------------------------------------------------------------


def test_similarity_learns_directions() -> None:
    target = make_model(dim=5)
    vectors = target.encode(TEXTS) * np.linspace(0.1, 9, len(TEXTS))[:, None]  # lengths do not count
    fitted = StaticModelForSimilarity(make_model(), **{**FAST, "max_epochs": 60}).fit(TEXTS, vectors)
    found, wanted = fitted.predict(TEXTS), target.encode(TEXTS)
    cosines = (found * wanted).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosines.mean() > 0.97
    np.testing.assert_array_equal(fitted.encode(TEXTS), found)


def test_regression_learns_numbers() -> None:
    numbers = np.array([text.count("good") / len(text.split()) for text in TEXTS])
    fitted = StaticModelForRegression(make_model(), **{**FAST, "max_epochs": 100}).fit(TEXTS, numbers)
    assert fitted.predict(TEXTS).shape == (300, 1)
    assert fitted.score(TEXTS, numbers) > 0.95


@pytest.mark.parametrize("with_negatives", [False, True])
def test_pairs_come_together(with_negatives: bool) -> None:
    names, noise = ("good", "bad", "sun", "unable", "day"), ("days sunny", "sunny sunny days", "days days", "sunny")
    first = [f"{name} {others} {more}" for name in names for others in noise for more in noise]
    second = [f"{name}." for name in names for _ in range(16)]
    negatives = [f"{names[(i + 1) % 5]} {name}" for i, name in enumerate(names) for _ in range(16)]
    model = make_model()
    options = {**FAST, "n_layers": 0, "max_epochs": 40, "early_stopping_patience": None}
    fitted = StaticModelForPairSimilarity(model, **options).fit(
        first, second, negatives=negatives if with_negatives else None
    )
    assert fitted.to_pipeline().head.layers == ()
    assert share_found(model, first, second) < 0.7
    assert share_found(fitted.to_static_model(), first, second) > 0.9
    assert StaticModelForPairSimilarity(model, out_dim=3, **FAST).fit(first, second).predict(["good"]).shape == (1, 3)


def share_found(model: StaticModel, first: list[str], second: list[str]) -> float:
    """The share of first texts that are nearest to their own second text."""
    candidates = sorted(set(second))
    cosines = model.encode(first, normalize=True) @ model.encode(candidates, normalize=True).T
    return float(np.mean([candidates[i] == own for i, own in zip(cosines.argmax(axis=1), second, strict=True)]))


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "data", "options", "message"),
    [
        (StaticModelForClassification, (["a"] * 9, ["x"] * 9), {}, "at least two classes"),
        (StaticModelForClassification, (TEXTS, LABELS[:-1]), {}, "same number of rows; found 300 in X, 299 in y"),
        (StaticModelForClassification, (TEXTS, LABELS), {"X_val": TEXTS}, "belong together; found X_val without y_val"),
        (StaticModelForClassification, (TEXTS, LABELS), {"X_val": ["a"], "y_val": ["else"]}, "others: 'else'"),
        (StaticModelForClassification, (TEXTS, LABELS), {"class_weight": {"bad": 1}}, "missing: 'plain', 'sunny'"),
        (
            StaticModelForClassification,
            (TEXTS, LABELS),
            {"token_dropout": 1.0},
            "token_dropout should be a number, 0 or more, below 1",
        ),
        (StaticModelForClassification, (TEXTS, LABELS), {"device": "abacus"}, "device should be 'auto', or one that"),
        (StaticModelForRegression, (TEXTS, [float("nan")] * 300), {}, "finite float32 numbers"),
        (
            StaticModelForSimilarity,
            (TEXTS, np.ones((300, 2))),
            {"X_val": ["a"], "y_val": [[1.0]]},
            "vectors of 2 numbers",
        ),
        (StaticModelForPairSimilarity, (["a"] * 2, ["b"] * 2), {}, "two pairs or more to train on; found 1"),
        (
            StaticModelForPairSimilarity,
            (TEXTS, TEXTS),
            {"batch_size": 1},
            "batch_size should be a whole number, 2 or more",
        ),
    ],
)
def test_errors_before_training_starts(cls, data: tuple, options: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        cls(make_model(), max_epochs=1).fit(*data, **options)


def test_texts_without_tokens() -> None:
    texts, labels = ["", "✪", *TEXTS], ["plain", "plain", *LABELS]
    fitted = classifier(max_epochs=3, token_dropout=0.5).fit(texts, labels)
    assert np.isfinite(fitted.predict_proba(texts)).all()
    assert np.isfinite([entry["train_loss"] for entry in fitted.history_]).all()


def test_keywords_of_model2vec(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "m")
    estimator = StaticModelForClassification.from_pretrained(
        model_name=tmp_path / "m",  # type: ignore[call-arg]
        show_progressbar=False,
        normalize_embeddings=False,
        max_epochs=1,
    )
    assert (estimator.show_progress_bar, estimator.normalize) == (False, False)
    estimator.fit(["good", "bad"] * 20, ["a", "b"] * 20, show_progressbar=False)
    assert len(estimator.predict(["good"], show_progressbar=False, convert_to_numpy=True)) == 1
    with pytest.raises(InvalidInputError, match=r"convert_to_tensor should be False"):
        estimator.predict_proba(["good"], convert_to_tensor=True)
    with pytest.raises(TypeError, match=r"show_progress_bar= and show_progressbar= mean the same"):
        estimator.fit(["good"], ["a"], show_progressbar=False, show_progress_bar=False)
    with pytest.raises(TypeError, match="unexpected keyword argument 'convert_to_numpy'"):
        estimator.fit(["good"], ["a"], convert_to_numpy=True)
