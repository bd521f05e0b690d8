"""Checks of values: what passes, and what the errors say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from m2v_core import InvalidInputError
from m2v_core.checks import did_you_mean, flag, lone_surrogate, number, one_of, whole
from m2v_core.vectors import unit


def test_what_passes() -> None:
    whole("n", 0)
    whole("n", None, 1, or_none=True)
    number("p", 0.5, above=0, below=1)
    number("p", 1, least=0, most=1)
    one_of("method", "token", ("composed", "token"))
    flag("normalize", None, or_none=True)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, -1, np.int64(1)])
def test_no_whole_number(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="n should be a whole number, 0 or more; found"):
        whole("n", value)


@pytest.mark.parametrize("value", [True, "1", None, math.nan, math.inf, 0, 1])
def test_no_number_within_bounds(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="p should be a number, above 0, below 1; found"):
        number("p", value, above=0, below=1)


def test_the_error_is_short() -> None:
    with pytest.raises(InvalidInputError) as raised:
        whole("n", "x" * 10_000)
    assert len(str(raised.value)) < 300


def test_suggestions() -> None:
    with pytest.raises(InvalidInputError, match=r"one of composed, token; found 'tokens'\. Did you mean 'token'"):
        one_of("method", "tokens", ("composed", "token"))
    assert did_you_mean("zebra", ["rounds"]) == ""


def test_lone_surrogates() -> None:
    assert lone_surrogate("plain") is None
    assert lone_surrogate("日本語 \U0001f600") is None
    assert lone_surrogate("日\ud800") == 1


def test_unit_rows_keep_dtype_and_zeros() -> None:
    rows = unit(np.array([[3, 4], [0, 0]], np.float32))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])
