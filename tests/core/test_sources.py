"""What users hold texts and labels in, of the libraries that they hold it in."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import pytest

from conftest import make_model
from m2v_core import InvalidInputError
from m2v_core.data.sources import ROWS, as_array, as_column, plain, rows_of
from m2v_core.evaluation import label_rows

Hold = Callable[[list[Any]], Any]


def module(name: str) -> Any:
    return pytest.importorskip(name)


def dataset(values: list[Any], kind: str | None = None) -> Any:
    return module("datasets").Dataset.from_dict({"it": values}).with_format(kind)["it"]


HOLDERS: dict[str, Hold] = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "views": lambda values: dict(enumerate(values)).values(),
    "pandas": lambda values: module("pandas").Series(values, index=range(len(values), 0, -1)),
    "pyarrow": lambda values: module("pyarrow").array(values),
    "chunked": lambda values: module("pyarrow").chunked_array([values[:1], values[1:]]),
    "pyarrow scalars": lambda values: list(module("pyarrow").array(values)),
    "datasets": dataset,
    "datasets as numpy": lambda values: dataset(values, "numpy"),
    "datasets, a slice as numpy": lambda values: dataset(values, "numpy")[:],
}
FLAT: dict[str, Hold] = {**HOLDERS, "numpy": np.array, "objects": lambda values: np.array(values, object)}
FLAT["numpy scalars"] = lambda values: list(np.array(values))
NUMBERS: dict[str, Hold] = {"jax": lambda values: module("jax.numpy").array(values)}
NUMBERS["jax scalars"] = lambda values: list(module("jax.numpy").array(values))


class Mood(str, Enum):
    GOOD = "good"


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize("hold", FLAT.values(), ids=FLAT)
def test_rows_of_texts(hold: Hold) -> None:
    texts = ["good day", "", "日本 good"]
    rows = rows_of(hold(texts), "X")
    assert rows == texts
    assert set(map(type, rows)) == {str}
    np.testing.assert_array_equal(make_model().encode(hold(texts)), make_model().encode(texts))


@pytest.mark.parametrize("hold", [*FLAT.values(), *NUMBERS.values()], ids=[*FLAT, *NUMBERS])
def test_rows_of_numbers(hold: Hold) -> None:
    rows = label_rows(hold([3, 1, 3]), "y")
    assert rows == [3, 1, 3]
    assert set(map(type, rows)) == {int}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_rows_of_lists(hold: Hold) -> None:
    rows = label_rows(hold([["b", "a"], [], ["c"]]), "y")
    assert rows == [["b", "a"], [], ["c"]]


def test_rows_within_rows() -> None:
    assert label_rows([np.array([1, 2]), (np.int8(3),), {np.str_("a")}, []], "y") == [[1, 2], [3], ["a"], []]
    assert [type(plain(value)) for value in (Mood.GOOD, Level.HIGH, np.str_("a"), np.int8(1))] == [str, int, str, int]
    assert plain(True) is True


def test_many_rows() -> None:
    numbers = list(range(2 * ROWS + 5))
    assert rows_of(np.array(numbers), "y") == numbers
    assert rows_of(dataset(numbers), "y") == numbers


def test_tables_and_matrices() -> None:
    rows = {"text": ["good"], "label": ["a"]}
    pd, ds = module("pandas"), module("datasets")
    for table in (pd.DataFrame(rows), ds.Dataset.from_dict(rows)):
        with pytest.raises(
            InvalidInputError, match=r"found a \w+ of 'text', 'label'\. Take a column of it: data\['text"
        ):
            make_model().encode(table)
        with pytest.raises(InvalidInputError, match="y should be one column"):
            label_rows(table, "y")
    with pytest.raises(InvalidInputError, match=r"y should be a list of labels.*shape \(2, 3\).* for row in y\]"):
        label_rows(np.ones((2, 3), int), "y")
    for value in ("good", np.array("good")):
        with pytest.raises(InvalidInputError, match="y should be a list"):
            label_rows(value, "y")


def test_a_transform() -> None:
    """It can be iterated over, if not read without its format."""
    upper = module("datasets").Dataset.from_dict({"it": ["a", "b"]})
    upper = upper.with_transform(lambda batch: {"it": [text.upper() for text in batch["it"]]})
    assert rows_of(upper["it"], "X") == ["A", "B"]
    with pytest.raises(InvalidInputError, match="without a transform; found one"):
        as_column(upper["it"], "X")


def test_small_floats() -> None:
    jnp = module("jax.numpy")
    numbers = jnp.array([[1.5, 2], [3, 4]], jnp.bfloat16)
    for value in (numbers, list(numbers)):
        assert as_array(value).tolist() == [[1.5, 2], [3, 4]]
        assert as_array(value).dtype == np.float64
