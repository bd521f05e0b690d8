from __future__ import annotations

import pickle
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import m2v_core.head
from m2v_core import Activation, InvalidInputError, Layer, MLPHead
from m2v_core.head import sigmoid, softmax

finite = st.floats(-1e4, 1e4, width=32)


def layer(n_in: int, n_out: int, dtype: str = "float32") -> Layer:
    generator = np.random.default_rng(n_in * 31 + n_out)
    return Layer(generator.normal(size=(n_out, n_in)).astype(dtype), generator.normal(size=n_out).astype(dtype))


@given(logits=arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=finite))
@settings(max_examples=60, deadline=None)
def test_activations_are_those_of_the_textbook(logits: np.ndarray) -> None:
    """In high precision, where nothing overflows."""
    wide = logits.astype(np.longdouble)
    np.testing.assert_allclose(sigmoid(logits), 1 / (1 + np.exp(-wide)), atol=1e-12)
    powers = np.exp(wide)
    if np.isfinite(powers).all() and powers.any():
        np.testing.assert_allclose(softmax(logits), powers / powers.sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(softmax(logits).sum(axis=1), 1)


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_logits(extreme: float) -> None:
    logits = np.array([[extreme, 0, -extreme]], np.float32)
    assert softmax(logits).tolist() == [[0, 0, 1] if extreme < 0 else [1, 0, 0]]
    assert sigmoid(logits).tolist() == [[0, 0.5, 1] if extreme < 0 else [1, 0.5, 0]]


def test_layers_are_scikit_learns() -> None:
    """The oracle: an MLPClassifier's weights give its probabilities and its classes."""
    neural_network = pytest.importorskip("sklearn.neural_network")
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(40, 5)), generator.choice(["a", "b", "c"], size=40)
    model = neural_network.MLPClassifier((7, 4), max_iter=5, random_state=0)
    for label in "abc":
        model.partial_fit(X[y == label], y[y == label], classes=["a", "b", "c"])
    layers = [Layer(weight.T, bias) for weight, bias in zip(model.coefs_, model.intercepts_, strict=True)]
    head = MLPHead(layers, "softmax", model.classes_)
    np.testing.assert_allclose(head.predict_proba(X), model.predict_proba(X), atol=1e-12)
    assert head.labels(head.logits(X)).tolist() == model.predict(X).tolist()
    assert head.classes_ is not None
    assert head.classes_[head.predict_index(X)].tolist() == model.predict(X).tolist()


def test_many_vectors_go_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    head = MLPHead([layer(4, 6), layer(6, 3)], "identity")
    X = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)
    whole = head.logits(X)
    monkeypatch.setattr(m2v_core.head, "ROWS", 5)
    np.testing.assert_allclose(head.logits(X), whole, atol=1e-5)
    assert head.logits(X[:0]).shape == (0, 3)


def test_labels_of_each_kind() -> None:
    logits = np.array([[3, -1, 0.5], [-1, -2, -3]], np.float32)
    one = MLPHead([layer(2, 3)], Activation.SOFTMAX, [10, 20, 30])
    assert one.labels(logits).tolist() == [10, 10]
    several = MLPHead([layer(2, 3)], Activation.SIGMOID, ["a", "b", "c"])
    found = several.labels(logits)
    assert (found.shape, found.dtype) == ((2,), np.dtype(object))
    assert [row.tolist() for row in found] == [["a", "c"], []]
    assert [row.tolist() for row in several.labels(logits, 0.9)] == [["a"], []]
    assert several.labels(logits, 0.1).shape == (2,)  # also where all have as many
    assert several.labels(logits[:0]).shape == (0,)
    plain = MLPHead([layer(2, 3)], Activation.IDENTITY)
    assert plain.labels(logits) is logits
    assert plain.probabilities(logits) is logits


def test_a_head_without_layers() -> None:
    X = np.eye(3, dtype=np.float32)
    assert MLPHead([], "identity").predict_regression(X) is X
    head = MLPHead([], "softmax", ["a", "b", "c"])
    head.check_takes(3)
    assert head.labels(head.logits(X)).tolist() == ["a", "b", "c"]
    with pytest.raises(InvalidInputError, match="each of its 4 outputs; found 3"):
        head.check_takes(4)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes(dtype: str) -> None:
    head = MLPHead([layer(3, 2, dtype)], "identity")
    found = head.logits(np.ones((1, 3), np.float32))
    assert found.dtype == (np.float64 if dtype == "float64" else np.float32)
    head.check_takes(3)
    with pytest.raises(InvalidInputError, match="takes vectors of 3 dimensions; the model gives 4"):
        head.check_takes(4)


class TheirActivation(str, Enum):
    """As model2vec writes it."""

    SOFTMAX = "softmax"


def test_what_a_head_is() -> None:
    head = MLPHead([layer(3, 5), layer(5, 2)], TheirActivation.SOFTMAX, np.array(["a", "b"], object))
    assert head.activation is Activation.SOFTMAX
    assert head.widths == [3, 5, 2]
    assert repr(head) == "MLPHead(widths=[3, 5, 2], activation='softmax', classes=2)"
    copy = pickle.loads(pickle.dumps(head))
    X = np.ones((2, 3), np.float32)
    assert np.array_equal(copy.logits(X), head.logits(X))


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (["a", "bc"], "U"),
        (np.array(["a", "b"], object), "U"),
        ([1, -(2**62)], "i"),
        (np.array([3, 4], np.int16), "i"),
        ([np.str_("a"), "b"], "U"),
        ([np.int64(3), 4], "i"),
        ([False, True], "b"),
        (("日", ""), "U"),
    ],
)
def test_classes(classes: Any, kind: str) -> None:
    found = MLPHead([layer(3, 2)], "softmax", classes).classes_
    assert found is not None
    assert found.dtype.kind == kind
    assert found.tolist() == list(classes)


@pytest.mark.parametrize(
    ("classes", "part"),
    [
        (["a", 1], "all of one kind"),
        ([True, 0], "all of one kind"),
        ([0.5, 1.5], "all of one kind"),
        ([None, None], "all of one kind"),
        ([["a"], ["b"]], "all of one kind"),
        ([], "all of one kind"),
        ("ab", "all of one kind"),
        (3, "all of one kind"),
        (["a\0", "b"], "valid Unicode without zeros"),
        (["a\ud800", "b"], "valid Unicode"),
        ([2**70, 1], "64 bits"),
        (["a", "a"], "found 'a' twice"),
        (["a"], "each of its 2 outputs; found 1"),
        (["a", "b", "c"], "each of its 2 outputs; found 3"),
        (None, "should have classes; found none"),
    ],
)
def test_what_are_no_classes(classes: Any, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        MLPHead([layer(3, 2)], "softmax", classes)


def test_what_is_no_head() -> None:
    with pytest.raises(InvalidInputError, match="one of softmax, sigmoid, identity; found 'relu'"):
        MLPHead([layer(3, 2)], "relu")
    with pytest.raises(InvalidInputError, match="no classes; found some"):
        MLPHead([layer(3, 2)], "identity", ["a", "b"])
    with pytest.raises(InvalidInputError, match=r"Layer 1 .* take the 5 outputs of layer 0; found .*\[2, 4\]"):
        MLPHead([layer(3, 5), layer(4, 2)], "identity")


@pytest.mark.parametrize(
    ("weight", "bias", "part"),
    [
        (np.ones((2, 3)), np.ones(3), r"found \[2, 3\] and \[3\]"),
        (np.ones(3), np.ones(3), "shape"),
        (np.ones((2, 3, 1)), np.ones(2), "shape"),
        (np.ones((0, 3)), np.ones(0), "shape"),
        (np.ones((2, 3), int), np.ones(2), "float16, float32, float64; found int64"),
        (np.ones((2, 3)), np.array([1, np.nan]), "bias should hold finite numbers"),
        (np.full((2, 3), np.inf), np.ones(2), "weight should hold finite numbers"),
    ],
)
def test_what_is_no_layer(weight: np.ndarray, bias: np.ndarray, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        Layer(weight, bias)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), None, "0.5", True])
def test_what_is_no_threshold(threshold: Any) -> None:
    with pytest.raises(InvalidInputError, match="from 0 to 1"):
        m2v_core.head.check_threshold(threshold)


def test_many_classes_are_checked_at_once() -> None:
    """A file of strangers names them; each was compared with all others."""
    layer = Layer(np.zeros((200_000, 1), np.float32), np.zeros(200_000, np.float32))
    with pytest.raises(InvalidInputError, match="all be different; found 5 twice"):
        MLPHead([layer], "softmax", [*range(199_999), 5])
    names = [f"class {number}" for number in range(199_999)]
    with pytest.raises(InvalidInputError, match=r"classes should take 1073741824 bytes at the most.*found 8000000000"):
        MLPHead([layer], "softmax", [*names, "x" * 10_000])
    assert len(MLPHead([layer], "softmax", [*names, "x"]).classes_) == 200_000
