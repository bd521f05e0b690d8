"""The options: in the config, in the signatures, and in the documentation of the estimators."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from m2v_core.errors import InvalidInputError
from m2v_core.options import defaults_of
from m2v_train import (
    ClassificationConfig,
    PairConfig,
    StaticModelForClassification,
    StaticModelForPairSimilarity,
    StaticModelForRegression,
    StaticModelForSimilarity,
    TrainConfig,
)

ESTIMATORS = (
    StaticModelForClassification,
    StaticModelForPairSimilarity,
    StaticModelForRegression,
    StaticModelForSimilarity,
)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_signatures_are_those_of_the_config(cls: Any) -> None:
    """Names, defaults and types; and scikit-learn finds them all."""
    parameters = dict(inspect.signature(cls).parameters)
    assert str(parameters.pop("model")) == "model: 'StaticModel | None' = None"
    assert {name: p.default for name, p in parameters.items()} == defaults_of(cls.config_class)
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    config = inspect.signature(cls.config_class).parameters
    assert {name: p.annotation for name, p in parameters.items()} == {n: p.annotation for n, p in config.items()}
    assert cls().get_params() == {"model": None, **defaults_of(cls.config_class)}


@pytest.mark.parametrize("config", [TrainConfig, ClassificationConfig, PairConfig])
def test_every_option_is_described(config: Any) -> None:
    texts = [inspect.cleandoc(c.__doc__) for c in config.__mro__[:-1]]  # Python 3.13 takes off the indentation itself
    described = re.findall(r"^    (\w+): ", "\n".join(texts), re.MULTILINE)
    assert sorted(set(described)) == sorted(defaults_of(config))


def test_options_of_the_page_exist() -> None:
    """What docs/training.md calls an option is one, with the default that it says."""
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    known = {n: d for c in (TrainConfig, PairConfig, ClassificationConfig) for n, d in defaults_of(c).items()}
    code = " ".join(re.findall(r"StaticModelFor\w+(?:\.from_pretrained)?\((?:[^()]|\(\))*\)", page))
    named = set(re.findall(r"(\w+)=", code)) | set(re.findall(r"^\| `(\w+)", page, re.MULTILINE))
    assert named <= {*known, "model"}, named - set(known)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_layers": 1.5}, "n_layers should be a whole number, 0 or more; found 1.5"),
        ({"batch_size": True}, "batch_size should be a whole number, 1 or more, or None; found True"),
        ({"freeze": 1}, "freeze should be True or False; found 1"),
        ({"freeze_weights": "no"}, "freeze_weights should be True, False or None; found 'no'"),
        ({"learning_rate": 0}, "learning_rate should be a number, above 0; found 0"),
        ({"learning_rate": float("inf")}, "learning_rate should be a number, above 0; found inf"),
        ({"token_dropout": 1}, "token_dropout should be a number, 0 or more, below 1; found 1"),
        (
            {"test_size": 0},
            "test_size should be a fraction above 0 and below 1, or a number of rows from 1 up; found 0",
        ),
        ({"test_size": 1.0}, "found 1.0"),
        ({"max_length": 0}, "max_length should be a whole number, 1 or more, or None; found 0"),
        ({"show_progress_bar": "yes"}, "show_progress_bar should be True, False or None; found 'yes'"),
    ],
)
def test_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        TrainConfig(**options)
