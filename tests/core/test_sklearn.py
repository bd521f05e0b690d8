"""The adapter for scikit-learn."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model
from m2v_core import InvalidInputError, StaticModel

sklearn = pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn")

from m2v_core.integrations.sklearn import StaticModelTransformer

STATUSES = ("passed", "skipped", "failed")
TEXTS = ["good day", "", "another good day!", "a"]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    make_model(normalize=True).save_pretrained(tmp_path / "m")
    return str(tmp_path / "m")


def test_vectors(folder: str) -> None:
    pandas = pytest.importorskip("pandas")
    model = StaticModel.from_pretrained(folder)
    for given in (folder, Path(folder), model):
        transformer = StaticModelTransformer(given, truncate_dim=4)
        assert np.array_equal(transformer.fit_transform(TEXTS), model.encode(TEXTS, truncate_dim=4))
        assert np.array_equal(transformer.transform(pandas.Series(TEXTS)), model.encode(TEXTS, truncate_dim=4))
        assert np.array_equal(transformer.transform(np.array(TEXTS)), model.encode(TEXTS, truncate_dim=4))


def test_parameters_are_those_of_the_moment(folder: str, tmp_path: Path) -> None:
    other = make_model("unigram")
    other.save_pretrained(tmp_path / "other")
    transformer = StaticModelTransformer(folder)
    transformer.transform(TEXTS)
    transformer.set_params(model=str(tmp_path / "other"), max_length=1)
    assert np.array_equal(transformer.transform(TEXTS), other.encode(TEXTS, max_length=1))
    with pytest.raises(ValueError, match="Invalid parameter 'dim'"):
        transformer.set_params(dim=3)


def test_clone_shares_the_model() -> None:
    from sklearn.base import clone

    transformer = StaticModelTransformer(make_model(), max_length=None, normalize=True)
    copied = clone(transformer)
    assert copied is not transformer
    assert copied.model is transformer.model
    assert copied.get_params() == transformer.get_params()


@pytest.mark.parametrize("by_folder", [True, False])
def test_pickle(folder: str, by_folder: bool) -> None:
    transformer = StaticModelTransformer(folder if by_folder else StaticModel.from_pretrained(folder))
    expected = transformer.transform(TEXTS)
    data = pickle.dumps(transformer)
    assert np.array_equal(pickle.loads(data).transform(TEXTS), expected)
    assert (b"[UNK]" in data) != by_folder, "a model that can be loaded again is not in the file"


def test_names_and_frames(folder: str) -> None:
    pytest.importorskip("pandas")
    transformer = StaticModelTransformer(folder, truncate_dim=2).set_output(transform="pandas")
    assert list(transformer.get_feature_names_out()) == ["staticmodeltransformer0", "staticmodeltransformer1"]
    frame = transformer.fit_transform(TEXTS)
    assert list(frame.columns) == ["staticmodeltransformer0", "staticmodeltransformer1"]
    assert np.array_equal(frame.to_numpy(), StaticModel.from_pretrained(folder).encode(TEXTS, truncate_dim=2))


def test_errors(folder: str) -> None:
    with pytest.raises(InvalidInputError, match="found one text: 'good'"):
        StaticModelTransformer(folder).transform("good")
    with pytest.raises(InvalidInputError, match=r"text|str"):
        StaticModelTransformer(folder).transform([["good"]])
    with pytest.raises(InvalidInputError, match="truncate_dim"):
        StaticModelTransformer(folder, truncate_dim=99).fit(TEXTS)


def test_a_pipeline_learns() -> None:
    """Nested parameters are searched, and folds see the same vectors as one fit."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    model = make_model()
    texts, labels = ["good", "good good", "a good", "day", "day day", "a day"] * 3, ["g", "g", "g", "d", "d", "d"] * 3
    pipeline = make_pipeline(StaticModelTransformer(model), LogisticRegression(C=100))
    search = GridSearchCV(pipeline, {"staticmodeltransformer__truncate_dim": [1, 8]}, cv=3).fit(texts, labels)
    assert search.best_params_ == {"staticmodeltransformer__truncate_dim": 8}
    by_hand = LogisticRegression(C=100).fit(model.encode(texts), labels)
    assert np.array_equal(search.predict(texts), by_hand.predict(model.encode(texts)))


class FromNumbers(StaticModelTransformer):
    """scikit-learn has only numbers to test with: a row of them becomes words before it is a text."""

    def fit(self, X=None, y=None):
        return super().fit(self.texts(X), y)

    def transform(self, X):
        return super().transform(self.texts(X))

    def texts(self, X) -> list[str]:
        rows = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
        return [" ".join("good" if value > 0 else "day" for value in np.ravel(row)) for row in rows]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = tags.input_tags.sparse = tags.no_validation = True
        return tags


@pytest.mark.filterwarnings("ignore:Estimator FromNumbers has:UserWarning")
def test_check_estimator() -> None:
    from sklearn.exceptions import SkipTestWarning
    from sklearn.utils.estimator_checks import check_estimator

    found = check_estimator(FromNumbers(make_model()), on_skip=None, on_fail=None)
    names = {status: {check["check_name"] for check in found if check["status"] == status} for status in STATUSES}
    assert names["failed"] == set()
    assert names["skipped"] <= {"check_array_api_input"}  # it wants an environment variable of SciPy's
    assert len(names["passed"]) > 30
    with pytest.warns(SkipTestWarning, match=r"requires input  of type .*string=True"):
        check_estimator(StaticModelTransformer(make_model()))
