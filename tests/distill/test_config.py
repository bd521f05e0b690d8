from __future__ import annotations

from enum import Enum
from pathlib import Path

import pytest

from m2v_core import InvalidInputError, ModelNotFoundError
from m2v_distill import DistillConfig, distill, distill_from_model


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
        ({"space": "teacher"}, {"space": "teacher", "rounds": 4, "seed": 0}),
        (
            {"method": "token", "prompt_name": "query", "frequencies": {"a": 1}, "checkpoint_dir": "/home/me"},
            {"prompt_name": "query", "frequencies": "counted"},
        ),
    ],
)
def test_settings_that_are_recorded(options: dict, expected: dict) -> None:
    assert DistillConfig(**options).recorded_settings == expected


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"pooling": "min"}, "mean, first, last, pooler, .*; found 'min'"),
        ({"pca_dims": 0}, "pca_dims"),
        ({"pca_dims": 1.5}, "found 1.5"),
        ({"pca_dims": True}, "pca_dims"),
        ({"pca_dims": "all"}, "'auto' or None; found 'all'"),
        ({"sif_coefficient": 0}, "above 0, below 1, or None; found 0"),
        ({"sif_coefficient": 1.0}, "above 0, below 1"),
        ({"quantize_to": "int4"}, "found 'int4'"),
        ({"vocabulary_quantization": 0}, "1 or more; found 0"),
        ({"vocabulary_quantization": 0.5}, "whole number of clusters"),
        ({"token_remove_pattern": "("}, "regular expression"),
        ({"method": "corpus"}, "composed, token; found 'corpus'"),
        ({"method": "tokn"}, "Did you mean 'token'"),
        ({"rounds": 0}, "1 or more; found 0"),
        ({"base_model": "../teacher"}, "such as 'org/name'; found '../teacher'"),
        ({"model_parallel": 0}, "1 or more; found 0"),
        ({"backend": "torch", "compute_as": "bert"}, "backend='torch'"),
        ({"method": "token", "corpus": ["a text"]}, "corpus needs method 'composed'; found 'token'"),
        ({"text_column": "text"}, "no corpus"),
        ({"space": "own space"}, "own, teacher; found 'own space'"),
        ({"space": "teacher", "method": "token"}, "needs method 'composed'.*; found method 'token', pca_dims None"),
        ({"space": "teacher", "pca_dims": 128}, "all dimensions .*pca_dims 128"),
        ({"seed": -1}, "0 or more; found -1"),
        ({"seed": 1.0}, "found 1.0"),
    ],
)
def test_settings_are_checked(options: dict, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        DistillConfig(**options)


def test_unknown_keywords_are_errors() -> None:
    with pytest.raises(TypeError, match="Did you mean 'pca_dims'"):
        distill("nowhere", pca_dim=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'zzz'"):
        distill("nowhere", zzz=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Did you mean 'seed'"):
        distill_from_model(None, None, sed=3)  # type: ignore[arg-type, call-arg]


def test_enum_members_will_do() -> None:
    class Mode(str, Enum):
        FIRST = "first"

    assert DistillConfig(pooling=Mode.FIRST).pooling == "first"


def test_keywords_of_model2vec() -> None:
    with pytest.raises(ModelNotFoundError):
        distill("/nowhere", show_progressbar=False)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"show_progress_bar= and show_progressbar= mean the same"):
        distill("/nowhere", show_progressbar=False, show_progress_bar=False)  # type: ignore[call-arg]


def test_no_file_is_read() -> None:
    config = DistillConfig(vocabulary=Path("words.txt"), frequencies="counts.tsv", corpus="texts.txt")
    assert (config.vocabulary, config.frequencies) == (Path("words.txt"), "counts.tsv")
    with pytest.raises(InvalidInputError, match="no such file"):
        config.with_files_read()
