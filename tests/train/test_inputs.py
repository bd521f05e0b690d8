"""What users hold, of the libraries that they hold it in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from conftest import make_model
from m2v_core import InvalidInputError
from m2v_core.data.sources import ROWS
from m2v_train.data.inputs import as_texts, as_vectors, check_aligned
from m2v_train.data.labels import as_labels, class_weights
from m2v_train.data.tokens import tokenize


def pandas(values: list[Any]) -> Any:
    return pytest.importorskip("pandas").Series(values, index=range(len(values), 0, -1), dtype=object)


def pandas_own(values: list[Any]) -> Any:
    return pytest.importorskip("pandas").Series(values)


def pyarrow(values: list[Any]) -> Any:
    return pytest.importorskip("pyarrow").array(values)


def chunked(values: list[Any]) -> Any:
    return pytest.importorskip("pyarrow").chunked_array([values[:1], values[1:]])


def dataset(values: list[Any]) -> Any:
    return pytest.importorskip("datasets").Dataset.from_dict({"it": values})


def datasets_column(values: list[Any]) -> Any:
    return dataset(values)["it"]


def formatted(values: list[Any]) -> Any:
    return dataset(values).with_format("numpy")["it"]


def selected(values: list[Any]) -> Any:
    return dataset([*values, *values])["it"].source.select(range(len(values), 2 * len(values)))["it"]


def nested(values: list[Any]) -> Any:
    return dataset([{"deep": value} for value in values])["it"]["deep"]


def array_like(values: list[Any]) -> Any:
    class ArrayLike:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            array = np.empty(len(values), object)
            array[:] = values
            return array

    return ArrayLike()


HOLDERS = [
    list,
    tuple,
    deque,
    pandas,
    pandas_own,
    pyarrow,
    chunked,
    datasets_column,
    formatted,
    selected,
    nested,
    array_like,
]
Hold = Callable[[list[Any]], Any]
TEXTS = ["good day", "", "日本 good", "bad"]


@pytest.mark.parametrize("hold", [*HOLDERS, np.array, lambda values: np.array(values, object)])
def test_texts(hold: Hold) -> None:
    X = hold(TEXTS)
    texts = as_texts(X, "X")
    assert [type(text) for text in texts[1:3]] == [str, str]
    assert list(texts) == TEXTS
    assert list(texts[1:3]) == TEXTS[1:3]
    assert tokenize(make_model(), texts).values.tolist() == tokenize(make_model(), TEXTS).values.tolist()


@pytest.mark.parametrize("hold", [list, tuple, datasets_column])
def test_texts_are_not_copied(hold: Hold) -> None:
    X = hold(TEXTS)
    assert type(as_texts(X, "X")) is type(X)


def test_many_texts_of_a_dataset() -> None:
    texts = [f"good {i}" for i in range(2 * ROWS + 5)]
    assert list(as_texts(datasets_column(texts), "X")) == texts
    with pytest.raises(InvalidInputError, match=f"None .NoneType., a missing value at index {2 * ROWS + 5}"):
        as_texts(datasets_column([*texts, None]), "X")


@pytest.mark.parametrize("hold", HOLDERS)
def test_a_missing_text(hold: Hold) -> None:
    with pytest.raises(InvalidInputError, match=r"X should hold texts .* a missing value at index 1\."):
        as_texts(hold(["good", None]), "X")


def tables() -> dict[str, Any]:
    pd, pa, ds = map(pytest.importorskip, ("pandas", "pyarrow", "datasets"))
    rows = {"text": ["good"], "label": ["a"]}
    table = ds.Dataset.from_dict(rows)
    return {
        "DataFrame": pd.DataFrame(rows),
        "Table": pa.table(rows),
        "Dataset": table,
        "dict": rows,
        "DatasetDict": ds.DatasetDict({"text": table, "label": table}),
    }


@pytest.mark.parametrize("name", ["DataFrame", "Table", "Dataset", "dict", "DatasetDict"])
def test_a_table_instead_of_a_column(name: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"found a {name} of 'text', 'label'\. Take .*: data\['text'\]"):
        as_texts(tables()[name], "X")


def test_a_stream_or_a_transform() -> None:
    table = dataset(TEXTS)
    for stream in (table.to_iterable_dataset(), table.to_iterable_dataset()["it"]):
        with pytest.raises(InvalidInputError, match=r"which has no length or no order.* without streaming=True"):
            as_texts(stream, "X")
    with pytest.raises(InvalidInputError, match=r"without a transform; found one .* dataset\.map"):
        as_texts(table.with_transform(lambda batch: batch)["it"], "X")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("good", "X should be a list or column; found a single str"),
        (b"good", "found a single bytes"),
        ([], "at least one text; found none"),
        (np.array([], str), "at least one text; found none"),
        (iter(TEXTS), "found list_iterator, which has no length"),
        (set(TEXTS), "found set, which has no length or no order"),
        (np.array("good"), "found ndarray, which has no length"),
        (None, "found NoneType"),
        (["good", 3], r"found 3 \(int\) at index 1"),
        (["good", b"x" * 99], r"found b'x+\.\.\. \(bytes\) at index 1"),
        (np.array([["good"]]), r"found \['good'\] \(list\) at index 0"),
        (["good", "\ud800"], "text 1 has a lone surrogate"),
        ([*["good"] * ROWS, float("nan")], rf"nan \(float\), a missing value at index {ROWS}"),
    ],
)
def test_bad_texts(X: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        as_texts(X, "X")


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", [*HOLDERS, np.array])
@pytest.mark.parametrize("values", [["b", "a", "b"], [3, 1, 3]])
def test_labels(hold: Hold, values: list[Any]) -> None:
    labels = as_labels(hold(values), "y")
    assert labels.classes == sorted(set(values))
    assert {type(label) for label in labels.classes} == {type(values[0])}
    assert (labels.multilabel, labels.targets.tolist(), labels.counts.tolist()) == (False, [1, 0, 1], [1, 2])


@pytest.mark.parametrize("hold", HOLDERS)
def test_lists_of_labels(hold: Hold) -> None:
    labels = as_labels(hold([["b", "a", "b"], [], ["c"]]), "y")
    assert (labels.classes, labels.multilabel, len(labels)) == (["a", "b", "c"], True, 3)
    assert labels.targets[np.arange(3)].tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert labels.counts.tolist() == [1, 1, 1]


class Mood(str, Enum):
    GOOD = "good"
    BAD = "bad"


def test_labels_become_plain() -> None:
    plain = as_labels([Mood.GOOD, "bad", np.str_("good")], "y").classes
    assert [(type(label), label) for label in plain] == [(str, "bad"), (str, "good")]
    assert [type(label) for label in as_labels([np.int8(3), 1], "y").classes] == [int, int]
    categories = pytest.importorskip("pandas").Series(["b", "a", "b"], dtype="category")
    assert as_labels(categories, "y").targets.tolist() == [1, 0, 1]
    names = pytest.importorskip("datasets").ClassLabel(names=["x", "y"])
    assert as_labels(dataset([0, 1]).cast_column("it", names)["it"], "y").classes == [0, 1]
    assert as_labels(jnp.array([2, 5]), "y").classes == [2, 5]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([True, False], r"y\[0\] should be a label: .* found True \(bool\)"),
        (["a", 1.5], r"y\[1\] should be a label: .* found 1.5 \(float\)"),
        (["a", None], r"y\[1\] .* found None \(NoneType\), a missing value. Leave its text out"),
        (np.array([1.0, np.nan]), r"y\[0\] .* found 1.0 \(float\)"),
        (["a", float("nan")], r"y\[1\] .* found nan \(float\), a missing value"),
        (["a", 1], r"found 'a' \(str\) as y\[0\] and 1 \(int\) as y\[1\]"),
        (["a", ["a"]], r"found 'a' \(str\) at index 0 and \['a'\] \(list\) at index 1"),
        ([["a"], "a"], r"at index 0 and 'a' \(str\) at index 1"),
        ([["a"], None], r"at index 0 and None \(NoneType\) at index 1"),
        ([["a"], ["b", None]], r"y\[1\]\[1\] .* a missing value"),
        ([["a"], ["b", 2]], r"as y\[0\]\[0\] and 2 \(int\) as y\[1\]\[1\]"),
        ([[["a"]]], r"y\[0\]\[0\] should be a label"),
        (["a", "a"], "at least two classes; found only 'a', 2 times: there is nothing to learn"),
        ([[], []], "at least one label; found 2 empty lists"),
        ([], "at least one label; found none"),
        ("ab", "found a single str"),
        (np.eye(3, dtype=int), r"found an array of shape \(3, 3\).* \[np.flatnonzero\(row\).tolist\(\) for row in y\]"),
    ],
)
def test_bad_labels(y: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        as_labels(y, "y")


def test_labels_of_known_classes() -> None:
    known = as_labels(["b", "a"], "y")
    again = as_labels(["b", "b"], "y_val", classes=np.array(known.classes), multilabel=False)
    assert (again.classes, again.targets.tolist(), again.counts.tolist()) == (["a", "b"], [1, 1], [0, 2])
    empty = as_labels([[]], "y_val", classes=known.classes, multilabel=True)
    assert (empty.classes, len(empty), empty.counts.tolist()) == (["a", "b"], 1, [0, 0])
    with pytest.raises(
        InvalidInputError, match=r"y_val should .* that were trained on, 'a', 'b'; found others: 'd', 'c'"
    ):
        as_labels(["b", "d", "c", "d"], "y_val", classes=known.classes)
    with pytest.raises(InvalidInputError, match="found others: 1"):
        as_labels([1], "y_val", classes=known.classes)
    with pytest.raises(
        InvalidInputError, match="y_val should hold single labels, as the training data does; found lists"
    ):
        as_labels([["a"]], "y_val", classes=known.classes, multilabel=False)
    with pytest.raises(InvalidInputError, match=r"y_val should hold lists of labels, .*; found single labels"):
        as_labels(["a"], "y_val", classes=known.classes, multilabel=True)


@given(st.lists(st.lists(st.integers(-3, 9)), min_size=1), st.data())
def test_lists_of_labels_come_back(y: list[list[int]], data: st.DataObject) -> None:
    if not any(y):
        return
    labels = as_labels(y, "y")
    chosen = data.draw(st.lists(st.integers(0, len(y) - 1)))
    rows = labels.targets[np.array(chosen, int)]
    assert rows.shape == (len(chosen), len(labels.classes))
    classes = np.array(labels.classes)
    assert [classes[row > 0].tolist() for row in rows] == [sorted(set(y[i])) for i in chosen]
    assert labels.counts.tolist() == [sum(label in row for row in y) for label in labels.classes]


# --- class weights ----------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("abcd"), min_size=2).filter(lambda y: len(set(y)) > 1))
def test_balanced_weights_are_scikit_learns(y: list[str]) -> None:
    labels = as_labels(y, "y")
    expected = compute_class_weight("balanced", classes=np.array(labels.classes), y=np.array(y))
    np.testing.assert_allclose(class_weights("balanced", labels), expected, rtol=1e-6)


def test_weights() -> None:
    labels = as_labels([1, 2, 2], "y")
    assert class_weights(None, labels).tolist() == [1, 1]
    weights = class_weights({np.int64(2): 0, 1: np.float32(0.5)}, labels)
    assert (weights.dtype, weights.tolist()) == (np.float32, [0.5, 0])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("balance", r"None, 'balanced' or a dictionary .* found 'balance' \(str\)"),
        ([1.0, 2.0], r"found \[1.0, 2.0\] \(list\)"),
        ({"a": 1}, "missing: 'b'. The classes are 'a', 'b'"),
        ({"a": 1, "b": 1, "c": 1}, "no other; unknown: 'c'"),
        ({"a": -1, "b": 1}, r"class_weight\['a'\] should be a number from 0 up; found -1"),
        ({"a": float("inf"), "b": 1}, r"class_weight\['a'\] .* found inf"),
        ({"a": float("nan"), "b": 1}, r"class_weight\['a'\] .* found nan"),
        ({"a": 1, "b": "1"}, r"class_weight\['b'\] .* found '1' \(str\)"),
        ({"a": 1, "b": None}, r"class_weight\['b'\] .* found None"),
        ({"a": 0, "b": 0}, "above 0 for one class at least"),
    ],
)
def test_bad_weights(weight: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        class_weights(weight, as_labels(["a", "b"], "y"))


def test_balanced_weights_of_a_class_without_texts() -> None:
    with pytest.raises(InvalidInputError, match="a label of each class; found none of 'a'"):
        class_weights("balanced", as_labels(["b"], "y", classes=["a", "b"]))


# --- vectors ----------------------------------------------------------------------------------------------------------

VECTORS = [[1.0, 2.0], [3.0, 4.5]]


@pytest.mark.parametrize("hold", [*HOLDERS, np.array, jnp.array, lambda v: [np.array(row) for row in v]])
def test_vectors(hold: Hold) -> None:
    vectors = as_vectors(hold(VECTORS), "y")
    assert (vectors.dtype, vectors.tolist()) == (np.float32, VECTORS)


@pytest.mark.parametrize("hold", [*HOLDERS, np.array, jnp.array])
@pytest.mark.parametrize("numbers", [[1, 2, 5], [0.5, 2.0, -1.0]])
def test_numbers_are_a_column(hold: Hold, numbers: list[float]) -> None:
    vectors = as_vectors(hold(numbers), "y")
    assert (vectors.dtype, vectors.tolist()) == (np.float32, [[number] for number in numbers])


def test_many_vectors() -> None:
    array = np.random.default_rng(0).normal(size=(ROWS + 3, 2))
    assert np.array_equal(as_vectors(datasets_column(array.tolist()), "y"), array.astype(np.float32))
    rows: list[Any] = array.tolist()
    for place, length in [(ROWS, 1), (ROWS + 2, 3)]:
        bad = [*rows]
        bad[place] = [0.0] * length
        with pytest.raises(InvalidInputError, match="vectors of one length"):
            as_vectors(bad, "y")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([], "at least one vector; found none"),
        (np.zeros((0, 3)), "at least one vector; found none"),
        (np.zeros((2, 0)), r"found array\(\[\], dtype=float64\) \(ndarray\) at index 0"),
        ([[]], r"found \[\] \(list\) at index 0"),
        ([[1, 2], [3]], "one length; found 2 numbers at index 0 and 1 numbers at index 1"),
        ([[1, 2], 3], "one length; found 2 numbers at index 0 and a single number at index 1"),
        ([[1, 2], [3, float("nan")], [float("inf"), 0]], r"found \[3, nan\] \(list\) at index 1, and 1 more such"),
        (np.array([1, np.inf]), r"found inf .* at index 1\. Leave"),
        ([1e300], "found 1e[+]300"),
        ([1.0, None], r"found None \(NoneType\) at index 1"),
        ([[1.0], [None]], r"found \[None\] \(list\) at index 1"),
        (["1.5"], r"found '1.5' \(str\) at index 0"),
        ([True, False], r"found True \(bool\) at index 0"),
        (np.zeros((2, 2, 2)), "at index 0"),
        ("ab", "found a single str"),
    ],
)
def test_bad_vectors(y: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        as_vectors(y, "y")


def test_lengths() -> None:
    check_aligned(X=TEXTS, y=np.zeros((4, 2)), z=as_labels([[1], [], [], []], "z"), t=tokenize(make_model(), TEXTS))
    with pytest.raises(InvalidInputError, match=r"X and y should have .*; found 4 in X, 1 in y"):
        check_aligned(X=TEXTS, y=["a"])
