from __future__ import annotations

import inspect
from dataclasses import fields
from enum import Enum
from typing import get_type_hints

import pytest

from m2v_core import InvalidInputError
from m2v_distill import DistillConfig, distill, distill_from_model
from m2v_distill.config import DistillOptions


def test_one_list_of_parameters() -> None:
    assert get_type_hints(DistillOptions) == get_type_hints(DistillConfig)
    for function in (distill, distill_from_model):
        parameters = inspect.signature(function).parameters
        for field in fields(DistillConfig):
            assert parameters[field.name].default == field.default


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"rounds": 4, "seed": 0}),
        ({"corpus": ["a text"], "seed": 3}, {"rounds": 20, "seed": 3}),
        ({"method": "token"}, {}),
        (
            {
                "method": "token",
                "prompt": "",
                "token_remove_pattern": None,
                "vocabulary": ["a", "b"],
                "use_subword": False,
            },
            {"prompt": "", "token_remove_pattern": None, "words": 2, "use_subword": False},
        ),
        (
            {"method": "token", "prompt_name": "query", "frequencies": {"a": 1}, "checkpoint_dir": "/home/me"},
            {"prompt_name": "query", "frequencies": "counted"},
        ),
    ],
)
def test_what_decides_on_a_table(options: dict, expected: dict) -> None:
    assert DistillConfig(**options).decisive == expected


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"pooling": "min"}, "mean, first, last, pooler, .*; found 'min'"),
        ({"pca_dims": 0}, "pca_dims"),
        ({"pca_dims": 1.5}, "found 1.5"),
        ({"pca_dims": True}, "pca_dims"),
        ({"pca_dims": "all"}, "'auto' or None; found 'all'"),
        ({"sif_coefficient": 0}, "above 0 and below 1"),
        ({"sif_coefficient": 1.0}, "above 0 and below 1"),
        ({"quantize_to": "int4"}, "found 'int4'"),
        ({"vocabulary_quantization": 0}, "1 or more; found 0"),
        ({"vocabulary_quantization": 0.5}, "whole number of clusters"),
        ({"token_remove_pattern": "("}, "regular expression"),
        ({"method": "corpus"}, "composed, token; found 'corpus'"),
        ({"method": "token", "corpus": ["a text"]}, "corpus needs method 'composed'; found 'token'"),
        ({"text_column": "text"}, "no corpus"),
        ({"seed": -1}, "0 or more; found -1"),
        ({"seed": 1.0}, "found 1.0"),
    ],
)
def test_settings_are_checked(options: dict, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        DistillConfig.of(**options)


def test_unknown_keywords_are_errors() -> None:
    with pytest.raises(TypeError, match="Did you mean 'pca_dims'"):
        distill("nowhere", pca_dim=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Known ones: method"):
        distill("nowhere", zzz=3)  # type: ignore[call-arg]


def test_enum_members_will_do() -> None:
    class Mode(str, Enum):
        FIRST = "first"

    assert DistillConfig.of(pooling=Mode.FIRST).pooling == "first"


def test_keywords_of_model2vec() -> None:
    assert DistillConfig.of(show_progressbar=False).show_progress_bar is False
    with pytest.raises(TypeError, match=r"show_progress_bar= and show_progressbar= mean the same"):
        DistillConfig.of(show_progressbar=False, show_progress_bar=False)
