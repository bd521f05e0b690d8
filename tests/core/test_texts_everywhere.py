"""Texts of every kind in every function that takes texts: the same behaviour in all."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from conftest import make_model
from m2v_core import InvalidInputError, Layer, MLPHead, StaticModelPipeline
from m2v_core.embed.batches import TextEmbedder
from m2v_core.embed.config import EmbedConfig
from m2v_core.search import Index, duplicates, passages

MODEL = make_model()
LAYER = Layer(np.eye(2, MODEL.dim, dtype=np.float32), np.zeros(2, np.float32))
PIPELINE = StaticModelPipeline(MODEL, MLPHead([LAYER], "softmax", ["a", "b"]))


def index() -> Index:
    found = Index(MODEL, lexical=True)
    found.add(["good day", "bad"])
    return found


#: Functions that take many texts.
MANY: dict[str, Callable[[Any], Any]] = {
    "encode": MODEL.encode,
    "encode_query": MODEL.encode_query,
    "encode_document": MODEL.encode_document,
    "encode_stream": lambda texts: list(MODEL.encode_stream(texts)),
    "encode_as_sequence": MODEL.encode_as_sequence,
    "tokenize": MODEL.tokenize,
    "token_ids": MODEL.token_ids,
    "calibrate": MODEL.calibrate,
    "predict": PIPELINE.predict,
    "predict_proba": PIPELINE.predict_proba,
    "evaluate": lambda texts: PIPELINE.evaluate(texts, ["a"] * len(texts)),
    "Index.add": lambda texts: index().add(texts),
    "Index.search": lambda texts: index().search(texts),
    "Index.search_arrays": lambda texts: index().search_arrays(texts),
    "lexical search": lambda texts: index().search(texts, mode="lexical"),
    "duplicates": lambda texts: duplicates(texts, model=MODEL),
}

#: Those that take one text too.
ONE = {
    **{name: MANY[name] for name in MANY if name not in ("encode_stream", "calibrate", "evaluate", "duplicates")},
    "passages": lambda text: passages(text, MODEL),
}

NO_TEXTS = [
    None,
    3,
    1.5,
    True,
    b"good",
    bytearray(b"x"),
    object(),
    {},
    [],
    ["good"],
    ("a", "b"),
    len,
    str,
]
SURROGATES = ["\ud800", "good \udc00 day", "\udfff" * 3]
ODD = [
    "\0",
    "a\0b",
    "",
    " ",
    "\ufeff",
    "\u202e",
    "e\u0301" * 50,
    "🙂" * 100,
    "\x7f\x80",
    "\r\n\t",
    "a" * 20_000,
    "\uffff",
    "\U0010ffff",
]


@pytest.mark.parametrize("name", MANY)
def test_a_text_that_is_none(name: str) -> None:
    for wrong in NO_TEXTS:
        with pytest.raises(InvalidInputError) as caught:
            MANY[name](["good", wrong, "day"])
        assert "at index 1" in str(caught.value) or name == "evaluate", (wrong, str(caught.value))
        assert type(wrong).__name__ in str(caught.value) or name == "evaluate", str(caught.value)


@pytest.mark.parametrize("name", MANY)
def test_a_lone_surrogate(name: str) -> None:
    for wrong in SURROGATES:
        with pytest.raises(InvalidInputError, match="text 1 has a lone surrogate"):
            MANY[name](["good", wrong, "day"])


@pytest.mark.parametrize("name", ONE)
def test_a_lone_surrogate_alone(name: str) -> None:
    for wrong in SURROGATES:
        with pytest.raises(InvalidInputError, match="has a lone surrogate"):
            ONE[name](wrong)


@pytest.mark.parametrize("name", MANY)
def test_something_else_than_texts(name: str) -> None:
    if name in ("evaluate", "duplicates", "Index.add", "Index.search", "Index.search_arrays", "lexical search"):
        wrongs: list[Any] = [3, 1.5, object(), len]  # None stands for no texts
    else:
        wrongs = [None, 3, 1.5, object(), len, b"good"]
    for wrong in wrongs:
        with pytest.raises((InvalidInputError, TypeError)):
            MANY[name](wrong)


@pytest.mark.parametrize("name", MANY)
def test_odd_texts_and_no_texts(name: str) -> None:
    MANY[name](ODD)
    MANY[name](np.array(ODD, dtype=object))
    if name not in ("evaluate", "calibrate"):
        MANY[name]([])
        MANY[name](iter(ODD))


def test_odd_texts_have_one_vector() -> None:
    """In every function that gives vectors."""
    expected = np.stack([MODEL.encode(text) for text in ODD])
    embedder = TextEmbedder.of(MODEL, EmbedConfig())
    for found in (MODEL.encode(ODD), MODEL.encode_query(ODD), *MODEL.encode_stream(ODD), embedder(ODD)[0]):
        np.testing.assert_array_equal(found, expected)
    ids = [MODEL.tokenize(text) for text in ODD]
    assert MODEL.tokenize(ODD) == ids
    values, offsets = MODEL.token_ids(ODD)
    assert [values[start:stop].tolist() for start, stop in pairwise(offsets)] == ids


def test_many_empty_texts() -> None:
    """`benchmarks/limits.py` has a million of them."""
    empty = [""] * 100_000
    assert not MODEL.encode(empty).any()
    assert len(MODEL.token_ids(empty)[0]) == 0
    assert set(PIPELINE.predict(empty)) == {"a"}


def test_a_text_of_a_megabyte() -> None:
    """`benchmarks/limits.py` has one of sixty."""
    text = "good day " * 110_000
    one = MODEL.encode(text, max_length=None)
    np.testing.assert_allclose(one, MODEL.encode("good day"), rtol=1e-4)
    np.testing.assert_array_equal(MODEL.encode(["a", text], max_length=None)[1], one)
