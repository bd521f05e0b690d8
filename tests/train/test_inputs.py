"""What users hold, of the libraries that they hold it in."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight

from conftest import make_model
from m2v_core import BadTextError, InvalidInputError, StaticModel
from m2v_core.data.sources import ROWS
from m2v_train.data import inputs
from m2v_train.data.inputs import (
    TokenTexts,
    as_labels,
    as_texts,
    as_vectors,
    check_aligned,
    class_weights,
    split_indices,
)
from m2v_train.data.ragged import take_rows
from tokenizer_files import unigram


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
    assert TokenTexts.of(make_model(), texts).ids.tolist() == TokenTexts.of(make_model(), TEXTS).ids.tolist()


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
    assert (labels.multilabel, labels.ends, labels.targets.tolist(), labels.counts.tolist()) == (
        False,
        None,
        [1, 0, 1],
        [1, 2],
    )


@pytest.mark.parametrize("hold", HOLDERS)
def test_lists_of_labels(hold: Hold) -> None:
    labels = as_labels(hold([["b", "a", "b"], [], ["c"]]), "y")
    assert (labels.classes, labels.multilabel, len(labels)) == (["a", "b", "c"], True, 3)
    assert (labels.targets.tolist(), labels.ends.tolist(), labels.counts.tolist()) == ([0, 1, 2], [2, 2, 3], [1, 1, 1])  # type: ignore[union-attr]


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
    for one, expected in [(labels, y), (labels.take(np.array(chosen, int)), [y[i] for i in chosen])]:
        ends = one.ends
        assert ends is not None
        rows = np.split(np.array(one.classes)[one.targets], ends[:-1])[: len(expected)]
        assert [row.tolist() for row in rows] == [sorted(set(row)) for row in expected]
        assert one.counts.tolist() == [sum(label in row for row in expected) for label in one.classes]


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
    check_aligned(
        X=TEXTS, y=np.zeros((4, 2)), z=as_labels([[1], [], [], []], "z"), t=TokenTexts.of(make_model(), TEXTS)
    )
    with pytest.raises(InvalidInputError, match=r"X and y should have .*; found 4 in X, 1 in y"):
        check_aligned(X=TEXTS, y=["a"])


# --- splits -----------------------------------------------------------------------------------------------------------


@given(st.integers(2, 300), st.one_of(st.floats(0.01, 0.99), st.integers(1, 299)), st.integers(0, 9), st.booleans())
def test_splits(n: int, test_size: float | int, seed: int, stratified: bool) -> None:
    if isinstance(test_size, int) and test_size >= n:
        return
    strata = np.random.default_rng(seed).integers(0, 5, n) if stratified else None
    train, val = split_indices(n, test_size, strata=strata, seed=seed)
    assert sorted([*train, *val]) == list(range(n))
    assert all(np.all(np.diff(part) > 0) for part in (train, val))
    n_val = test_size if isinstance(test_size, int) else min(max(1, round(n * test_size)), n - 1)
    if strata is None or np.bincount(strata)[np.unique(strata)].min() < 2 or len(np.unique(strata)) > n_val:
        assert len(val) == n_val
    else:
        sizes = np.bincount(strata)
        drawn = np.bincount(strata[val], minlength=len(sizes))
        assert np.all(drawn[sizes > 0] >= 1)
        assert np.all(drawn[sizes > 0] < sizes[sizes > 0])
        assert len(val) == n_val or len(train) == np.count_nonzero(sizes)  # one row of each class is left


@given(st.lists(st.integers(10, 60), min_size=2, max_size=6), st.floats(0.15, 0.5))
def test_proportions_are_scikit_learns(sizes: list[int], test_size: float) -> None:
    """Both give each class its share, rounded up or down; ours by largest remainder, scikit-learn's ties at random."""
    strata = np.repeat(np.arange(len(sizes)), sizes)
    n_val = round(len(strata) * test_size)
    _, ours = split_indices(len(strata), n_val, strata=strata, seed=0)
    _, theirs = train_test_split(np.arange(len(strata)), test_size=n_val, stratify=strata, random_state=0)
    assert len(ours) == len(theirs)
    assert np.abs(np.bincount(strata[ours]) - np.bincount(strata[theirs])).max() <= 1


def test_a_split_depends_on_its_seed_alone() -> None:
    strata = np.arange(100) % 3
    first, again, other = (split_indices(100, 0.2, strata=strata, seed=seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    drawn = np.zeros(100)
    for seed in range(300):
        drawn[split_indices(100, 0.2, strata=strata, seed=seed)[1]] += 1
    assert drawn.min() > 30  # of 60 expected: no row is left out
    assert drawn.max() < 95


def test_the_size_of_a_split() -> None:
    assert len(split_indices(1000, 0.5, max_test_size=20, seed=0)[1]) == 20
    assert len(split_indices(1000, 50, max_test_size=20, seed=0)[1]) == 50
    assert len(split_indices(2, 0.01, seed=0)[1]) == 1
    rare = np.array([0] * 99 + [1])  # a class of one text: not stratified
    assert len(split_indices(100, 0.2, strata=rare, seed=0)[1]) == 20
    many = np.repeat(np.arange(50), 2)  # more classes than rows for validation: not stratified
    assert len(split_indices(100, 0.2, strata=many, seed=0)[1]) == 20
    gaps = np.array([1, 1, 1, 1, 7, 7])  # classes without rows are no classes
    assert sorted(gaps[split_indices(6, 2, strata=gaps, seed=0)[1]]) == [1, 7]


@pytest.mark.parametrize("test_size", [True, 0, 10, -1, 0.0, 1.0, 1.5, float("nan"), "0.1", None])
def test_bad_sizes(test_size: Any) -> None:
    with pytest.raises(InvalidInputError, match="number of rows from 1 to 9; found"):
        split_indices(10, test_size, seed=0)


def test_too_few_rows() -> None:
    with pytest.raises(InvalidInputError, match=r"two rows at least, .* found 1"):
        split_indices(1, 0.5, seed=0)


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens(any_model: StaticModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from m2v_train.data import inputs

    texts = ["good day", "", "bad, sunny days!", "✪", *["unable good"] * 5]
    lists = any_model.tokenize(texts)
    monkeypatch.setattr(inputs, "_TEXTS", 4)  # several parts
    tokens = TokenTexts.of(any_model, texts)
    assert (tokens.ids.dtype, tokens.ends.dtype) == (np.int32, np.int64)
    assert [part.tolist() for part in np.split(tokens.ids, tokens.ends[:-1])] == lists
    assert tokens.lengths.tolist() == [len(row) for row in lists]
    assert TokenTexts.of(any_model, texts, max_length=1).lengths.max() == 1
    chosen = np.array([2, 0, 2, 1])
    taken = tokens.take(chosen)
    assert [part.tolist() for part in np.split(taken.ids, taken.ends[:-1])] == [lists[i] for i in chosen]
    assert len(tokens.take(np.array([], int))) == 0


@given(st.lists(st.lists(st.integers(0, 99), max_size=3)), st.integers(1, 5), st.data())
def test_taking_rows(rows: list[list[int]], step: int, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1))) if rows else []
    values = np.array([value for row in rows for value in row], np.int32)
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("m2v_train.data.ragged._ROWS", step)
        taken, new_ends = take_rows(values, ends, np.array(chosen, np.int64))
    assert taken.dtype == np.int32
    assert taken.tolist() == [value for index in chosen for value in rows[index]]
    assert new_ends.tolist() == np.cumsum([len(rows[index]) for index in chosen]).tolist()


def test_a_text_that_cannot_be_spelt_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = json.loads(unigram())
    raw["model"]["unk_id"] = None
    model = StaticModel(np.eye(len(raw["model"]["vocab"]), 4, dtype=np.float32), json.dumps(raw))
    monkeypatch.setattr(inputs, "_TEXTS", 2)
    with pytest.raises(BadTextError, match="cannot spell text 5, 'good ☃ day'"):
        TokenTexts.of(model, [*["good"] * 5, "good ☃ day"])
