"""Estimators under the name model2vec.train: made, called and read as model2vec's are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx
from sklearn.base import clone

import m2v_train
from conftest import make_model
from m2v_core.compat.model import StaticModel
from m2v_core.compat.pipeline import StaticModelPipeline
from m2v_core.errors import InvalidInputError
from m2v_train.compat import estimators
from m2v_train.compat.names import MODULES

TEXTS, LABELS = ["good", "day", "good day"] * 10, ["praise", "time", "praise"] * 10
QUICK = {"max_epochs": 2, "batch_size": 8, "test_size": 0.2, "token_dropout": 0.0}
NAMES = [name for name in estimators.__all__ if name.startswith("StaticModelFor")]


def parts() -> dict[str, Any]:
    model = make_model()
    return {"vectors": model.embedding, "tokenizer": model.tokenizer}


def test_names_through_the_finder(tmp_path: Path) -> None:
    code = """
import m2v_core.compat.auto, sys
from importlib import import_module
import model2vec, model2vec.train
print(hasattr(model2vec, "nothing"), sorted({"jax", "sklearn"} & sys.modules.keys()))
from m2v_train.compat.names import MODULES
for module, names in MODULES.items():
    for name in names:
        assert getattr(import_module(module), name) is not None
from model2vec.train import *
from model2vec.inference import convert_legacy_pipeline
print(StaticModelForClassification, sorted(dir(model2vec.train)) == sorted(MODULES["model2vec.train"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "False []",
        "<class 'model2vec.train.classifier.StaticModelForClassification'> True",
    ]


def test_the_table_names_all_estimators() -> None:
    assert set(NAMES) == set(MODULES["model2vec.train"])


@pytest.mark.parametrize("name", NAMES)
def test_made_of_vectors_and_a_tokenizer(name: str) -> None:
    made = getattr(estimators, name)(**parts(), out_dim=3, n_layers=0).to("cpu")
    assert np.array_equal(made.model.embedding, make_model().embedding)
    assert made.get_params()["n_layers"] == clone(made).n_layers == 0
    assert clone(made).model is made.model
    assert made.out_dim == 3
    assert made.embed_dim == 8


def test_a_classifier() -> None:
    options = (0.01, 8, None, 2, 5, 0.2, "cpu")
    named = estimators.StaticModelForClassification.from_static_model(make_model(), out_dim=2)
    found = named.fit(TEXTS, LABELS, *options, token_dropout=0.0)
    plain = m2v_train.StaticModelForClassification(make_model())
    plain.fit(TEXTS, LABELS, learning_rate=0.01, device="cpu", **QUICK)
    assert found is named
    assert np.array_equal(named.predict_proba(TEXTS), plain.predict_proba(TEXTS))
    assert named.classes_ == ["praise", "time"]
    assert named.classes.tolist() == plain.classes_.tolist()
    assert named.evaluate(TEXTS, LABELS) == plain.evaluate(TEXTS, LABELS)
    assert named.score(TEXTS, LABELS) == plain.score(TEXTS, LABELS)
    assert type(named.to_static_model()) is StaticModel
    assert type(named.to_pipeline()) is StaticModelPipeline
    assert named.to_pipeline().classes_.tolist() == ["praise", "time"]


@pytest.mark.parametrize("name", ["StaticModelForSimilarity", "StaticModelForRegression"])
def test_targets_by_position(name: str) -> None:
    targets = np.random.default_rng(0).normal(size=(len(TEXTS), 2)).astype("float32")
    named = getattr(estimators, name)(make_model()).fit(TEXTS, targets, 0.01, 8, None, 2, 5, 0.2, "cpu")
    plain = getattr(m2v_train, name)(make_model()).fit(TEXTS, targets, learning_rate=0.01, device="cpu", **QUICK)
    assert np.array_equal(named.predict(TEXTS), plain.predict(TEXTS))
    assert type(named.to_static_model()) is StaticModel


def test_pairs_by_position() -> None:
    options = (0.01, 8, None, 2, 5, 0.2, "cpu", None, None, None, 7, 0.1)
    named = estimators.StaticModelForPairSimilarity(make_model(), out_dim=4).fit(TEXTS, TEXTS[::-1], *options)
    assert named.predict(["good"]).shape == (1, 4)
    plain = m2v_train.StaticModelForPairSimilarity(make_model(), out_dim=4, random_seed=7, temperature=0.1)
    plain.fit(TEXTS, TEXTS[::-1], learning_rate=0.01, device="cpu", **QUICK)
    assert np.array_equal(named.predict(TEXTS), plain.predict(TEXTS))


def test_a_model_by_its_other_name(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "model")
    found = estimators.StaticModelForClassification.from_pretrained(model_name=tmp_path / "model", out_dim=2)
    assert np.array_equal(found.model.embedding, make_model().embedding)
    with pytest.raises(ValueError, match="neither a folder"):
        estimators.StaticModelForClassification.from_pretrained("no such model")


def test_unknown_options_are_errors() -> None:
    with pytest.raises(TypeError, match="unknown"):
        estimators.StaticModelForClassification.from_static_model(make_model(), unknown=1)


@pytest.mark.parametrize("name", NAMES)
def test_out_dim(name: str, tmp_path: Path) -> None:
    """It is taken by every constructor; after `fit` it is the number of outputs, which for pairs is the one given."""
    cls, pairs = getattr(estimators, name), name == "StaticModelForPairSimilarity"
    assert cls.from_static_model(make_model()).out_dim == (None if pairs else 2)
    assert cls.from_static_model(make_model(max_length=7)).max_length == 7
    assert cls.from_static_model(make_model(max_length=7), max_length=None).max_length is None
    assert cls.from_static_model(model=make_model(), out_dim=5).out_dim == 5
    make_model().save_pretrained(tmp_path)
    made = cls.from_pretrained(tmp_path, out_dim=5, **QUICK)
    assert isinstance(made, estimators.BaseFinetuneable)
    assert ("out_dim" in made.get_params()) is pairs
    targets = {"StaticModelForClassification": LABELS, "StaticModelForPairSimilarity": TEXTS[::-1]}
    made.fit(TEXTS, targets.get(name, np.ones((len(TEXTS), 3))))
    expected = {"StaticModelForClassification": 2, "StaticModelForPairSimilarity": 5}.get(name, 3)
    outputs = made.predict_proba(["day"]) if name == "StaticModelForClassification" else made.predict(["day"])
    assert made.out_dim == outputs.shape[1] == expected
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'n_hidden'"):
        cls.from_static_model(model=make_model(), n_hidden=3)


class Extended(estimators.StaticModelForClassification):
    """In the manner of model2vec's subclasses: keywords alone, its own before those of the class."""

    def __init__(self, *, extra: str = "default", **kwargs: Any) -> None:
        self.extra = extra
        super().__init__(**kwargs)

    def construct_head(self, dim: int, out_dim: int, config: Any, rngs: nnx.Rngs) -> nnx.Module:
        return nnx.Sequential(nnx.LayerNorm(dim, rngs=rngs), super().construct_head(dim, out_dim, config, rngs))


def test_a_subclass_with_a_keyword_and_a_head_of_its_own(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    for made in (
        Extended.from_pretrained(tmp_path, extra="own", hidden_dim=3),
        Extended.from_static_model(model=make_model(), extra="own", hidden_dim=3),
        Extended(**parts(), extra="own", hidden_dim=3, out_dim=4),
    ):
        assert (made.extra, made.hidden_dim) == ("own", 3)
        assert clone(made).get_params() == made.get_params()
        assert set(made.get_params()) - set(m2v_train.StaticModelForClassification().get_params()) == {"extra"}
    made.fit(TEXTS, LABELS, **QUICK)
    assert made.predict(["good"]).shape == (1,)
    assert type(made.to_static_model()) is StaticModel
    with pytest.raises(InvalidInputError, match="should be linear layers with ReLU"):
        made.to_pipeline()
