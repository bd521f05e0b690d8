"""Subclasses of the estimators, with an `__init__` of their own or without."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.utils.estimator_checks as checks
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from conftest import make_model
from m2v_core import InvalidInputError
from m2v_train import (
    StaticModelForClassification,
    StaticModelForPairSimilarity,
    StaticModelForRegression,
    StaticModelForSimilarity,
)
from m2v_train.engine.checkpoint import FILE, Checkpoint
from training_texts import FAST, LABELS, TEXTS

OPTIONS = {**FAST, "max_epochs": 2}


class Plain(StaticModelForClassification):
    pass


class Prefixed(StaticModelForClassification):
    """Has a parameter of its own, which it makes use of."""

    def __init__(self, model: Any = None, *, prefix: str = "", **options: Any) -> None:
        super().__init__(model, **options)
        self.prefix = prefix

    def fit(self, X: Any, y: Any, **options: Any) -> Any:
        return super().fit([self.prefix + text for text in X], y, **options)


class BelowPrefixed(Prefixed):
    pass


class PassesAllOn(Prefixed):
    def __init__(self, *args: Any, note: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.note = note


class Quick(StaticModelForClassification):
    """Has another default."""

    def __init__(self, model: Any = None, *, max_epochs: int = 1, **options: Any) -> None:
        super().__init__(model, max_epochs=max_epochs, **options)


class Mixin:
    def __init__(self, *args: Any, note: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.note = note


class Mixed(Mixin, StaticModelForClassification):
    pass


class Few(StaticModelForRegression):
    """Takes two options and no others."""

    def __init__(self, model: Any, scale: float, max_epochs: int = 2) -> None:
        super().__init__(model, max_epochs=max_epochs)
        self.scale = scale


EXTRA = {Plain: [], Prefixed: ["prefix"], BelowPrefixed: ["prefix"], PassesAllOn: ["note", "prefix"], Quick: []}
EXTRA |= {Mixed: ["note"]}


@pytest.mark.parametrize("cls", EXTRA)
def test_parameters(cls: Any) -> None:
    model = make_model()
    estimator = cls(model, learning_rate=0.5)
    own = StaticModelForClassification(model).get_params()
    assert sorted(set(estimator.get_params()) - set(own)) == EXTRA[cls]
    assert estimator.get_params()["max_epochs"] == (1 if cls is Quick else own["max_epochs"])
    changed = {"max_epochs": 7, "hidden_dim": 3, **dict.fromkeys(EXTRA[cls], "x")}
    twin = clone(estimator.set_params(**changed))
    assert type(twin) is cls
    assert twin.get_params() == estimator.get_params() == {**estimator.get_params(), **changed, "learning_rate": 0.5}
    assert twin.model is model
    if cls is Plain:
        assert repr(cls(model)) == f"Plain(model={model!r})"
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'hidden_dm'. Did you mean 'hidden_dim'\?"):
        cls(model, hidden_dm=3)


@pytest.mark.parametrize("cls", EXTRA)
def test_training_copies_and_pickles(cls: Any) -> None:
    options = {name: value for name, value in OPTIONS.items() if cls is not Quick or name != "max_epochs"}
    fitted = cls(make_model(), **options).fit(TEXTS, LABELS)
    assert fitted.history_[-1]["epoch"] == (1 if cls is Quick else 2)
    for twin in (copy.copy(fitted), copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(twin.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
        assert twin.get_params().keys() == fitted.get_params().keys()
    expected = StaticModelForClassification(make_model(), **OPTIONS).fit(TEXTS, LABELS, max_epochs=fitted.max_epochs)
    np.testing.assert_array_equal(fitted.predict_proba(TEXTS), expected.predict_proba(TEXTS))


@pytest.mark.parametrize("cls", [Plain, Prefixed])
@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_scikit_learns_checks(cls: Any) -> None:
    checks.check_estimator(cls(make_model()))
    for name in ("check_no_attributes_set_in_init", "check_get_params_invariance", "check_set_params"):
        getattr(checks, name)(cls.__name__, cls(make_model(), max_epochs=1))


def test_a_search_over_a_parameter_of_its_own() -> None:
    search = GridSearchCV(Prefixed(make_model(), **OPTIONS), {"prefix": ["", "☃ "]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_estimator_.prefix == search.best_params_["prefix"]


def test_few_parameters() -> None:
    model = make_model()
    estimator = Few(model, 2.0, max_epochs=1)
    assert estimator.get_params() == {"model": model, "scale": 2.0, "max_epochs": 1}
    assert clone(estimator).get_params() == estimator.get_params()
    assert len(estimator.fit(TEXTS, range(len(TEXTS))).history_) == 1
    with pytest.raises(ValueError, match="Invalid parameter 'hidden_dim'"):
        estimator.set_params(hidden_dim=3)


def test_a_parameter_without_a_default_is_handed_on() -> None:
    class Needs(StaticModelForClassification):
        def __init__(self, model: Any = None, *, level: int, **options: Any) -> None:
            super().__init__(model, **options)
            self.level = level

    class Below(Needs):
        def __init__(self, model: Any = None, **options: Any) -> None:
            super().__init__(model, **options)

    assert clone(Below(make_model(), level=4, n_layers=0)).get_params()["level"] == 4


def test_from_pretrained(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    loaded = Prefixed.from_pretrained(tmp_path, prefix="a ", max_epochs=3)
    assert (loaded.prefix, loaded.max_epochs) == ("a ", 3)
    assert Prefixed.from_static_model(make_model(), prefix="b ").prefix == "b "
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'prefx'. Did you mean 'prefix'\?"):
        Prefixed.from_pretrained("nowhere", prefx="a ")


def test_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Prefixed(make_model(), **OPTIONS).fit(TEXTS, LABELS)
    write = Checkpoint.write

    def write_and_stop(*args: Any) -> None:
        write(*args)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "write", write_and_stop)
    stopped = Prefixed(make_model(), checkpoint_dir=tmp_path, **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(TEXTS, LABELS)
    assert (tmp_path / FILE).exists()
    fitted = clone(stopped).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(TEXTS), expected.predict_proba(TEXTS))


def test_an_init_that_stores_no_options() -> None:
    class Forgets(StaticModelForClassification):
        def __init__(self, model: Any = None) -> None:
            self.model = model

    with pytest.raises(InvalidInputError, match=r"Forgets.__init__ should call super\(\).__init__\(model"):
        Forgets(make_model()).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("construct_embeddings", "change the StaticModel"),
        ("construct_weights", "Set freeze and freeze_weights"),
        ("_encode", "Set normalize"),
        ("forward", "Set normalize"),
        ("_create_datasets", "Pass validation data"),
        ("_to_targets", "override fit"),
        ("val_metric", "by loss elsewhere"),
        ("early_stopping_direction", "by loss elsewhere"),
    ],
)
@pytest.mark.parametrize(
    "base",
    [
        StaticModelForClassification,
        StaticModelForRegression,
        StaticModelForSimilarity,
        StaticModelForPairSimilarity,
    ],
)
def test_what_extends_model2vec_is_refused(base: Any, name: str, remedy: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"Mine should not define {name}: .*{remedy}"):
        type("Mine", (base,), {name: lambda self: None})(make_model()).fit(TEXTS, LABELS)
    mixin = type("Mixin", (), {name: "anything"})
    with pytest.raises(InvalidInputError, match=rf"Mine should not define {name}"):
        type("Mine", (mixin, base), {})(make_model()).fit(TEXTS, LABELS)
