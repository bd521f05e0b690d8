"""Keywords of model2vec and sentence-transformers: those that mean the same are taken, all others are errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model
from m2v_core import InvalidInputError, MLPHead, StaticModel, StaticModelPipeline
from m2v_core.head import Layer

TEXTS = ["good day", "bad"]


def pipeline() -> StaticModelPipeline:
    layer = Layer(np.eye(2, 8, dtype=np.float32), np.zeros(2, np.float32))
    return StaticModelPipeline(make_model(), MLPHead([layer], "softmax", ["a", "b"]))


ARRAYS: dict[str, Callable[..., object]] = {
    "encode": make_model().encode,
    "encode_as_sequence": make_model().encode_as_sequence,
    "encode_stream": lambda texts, **options: list(make_model().encode_stream(texts, **options)),
    "predict": pipeline().predict,
    "predict_proba": pipeline().predict_proba,
}


@pytest.mark.parametrize("call", ARRAYS)
def test_arrays_may_be_asked_for(call: str) -> None:
    plain = ARRAYS[call](TEXTS)
    same = ARRAYS[call](TEXTS, convert_to_numpy=True, convert_to_tensor=False)
    assert all(np.array_equal(a, b) for a, b in zip(plain, same, strict=True))  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "option", [{"convert_to_numpy": False}, {"convert_to_tensor": True}, {"convert_to_numpy": None}]
)
@pytest.mark.parametrize("call", ARRAYS)
def test_nothing_else_may_be_asked_for(call: str, option: dict[str, bool]) -> None:
    with pytest.raises(InvalidInputError, match=r"convert_to_\w+ should be \w+, .*; found .* torch\.from_numpy"):
        ARRAYS[call](TEXTS, **option)


@pytest.mark.parametrize("value", [True, False, None])
@pytest.mark.parametrize("call", ["encode", "encode_stream"])
def test_normalize_embeddings(call: str, value: bool | None) -> None:
    same = ARRAYS[call](TEXTS, normalize_embeddings=value)
    assert np.array_equal(same, ARRAYS[call](TEXTS, normalize=value))  # type: ignore[arg-type]
    if value:
        assert not np.array_equal(same, ARRAYS[call](TEXTS))  # type: ignore[arg-type]


@pytest.mark.parametrize("call", ["encode", "encode_as_sequence", "predict", "predict_proba", "evaluate"])
def test_show_progressbar(call: str, capsys: pytest.CaptureFixture[str]) -> None:
    function = ARRAYS.get(call) or (lambda texts, **options: pipeline().evaluate(texts, ["a", "b"], **options))
    function(TEXTS, show_progressbar=False)
    assert not capsys.readouterr().err
    function(TEXTS, show_progressbar=True)
    assert "2/2" in capsys.readouterr().err


def test_loading_and_saving(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "m", model_name="org/name")
    assert not (tmp_path / "m/README.md").exists()
    assert StaticModel.from_pretrained(model_name=tmp_path / "m", normalize_embeddings=True).normalize  # type: ignore[call-arg]
    pipeline().save_pretrained(tmp_path / "p")
    assert StaticModelPipeline.from_pretrained(model_name=tmp_path / "p").classes_ is not None  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="path"):
        StaticModel.from_pretrained(tmp_path / "m", model_name=tmp_path / "m")  # type: ignore[call-arg]


def test_both_names_of_a_keyword() -> None:
    with pytest.raises(TypeError, match=r"normalize= and normalize_embeddings= mean the same: .* found both"):
        ARRAYS["encode"](TEXTS, normalize=True, normalize_embeddings=True)
    with pytest.raises(TypeError, match="show_progress_bar= and show_progressbar="):
        ARRAYS["predict"](TEXTS, show_progressbar=True, show_progress_bar=True)


@pytest.mark.parametrize(
    ("call", "unknown"),
    [
        (call, name)
        for call in ARRAYS
        for name in ("prompt_name", "device", "precision", "output_value", "truncate_dim", "normalise", "path")
        if (call not in ("encode", "encode_stream") or name not in ("precision", "truncate_dim"))  # these take them
        and (call, name) != ("encode_stream", "prompt_name")
    ],
)
def test_any_other_keyword_is_an_error(call: str, unknown: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{unknown}'"):
        ARRAYS[call](TEXTS, **{unknown: None})


def test_an_alias_counts_where_ours_does() -> None:
    for call, alias in (("encode_as_sequence", "normalize_embeddings"), ("predict", "normalize_embeddings")):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{alias}'"):
            ARRAYS[call](TEXTS, **{alias: True})
    with pytest.raises(TypeError, match="unexpected keyword argument 'show_progressbar'"):
        ARRAYS["encode_stream"](TEXTS, show_progressbar=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'convert_to_numpy'"):
        pipeline().evaluate(TEXTS, ["a", "b"], convert_to_numpy=True)  # type: ignore[call-arg]


def test_signatures_are_those_of_the_functions() -> None:
    assert list(inspect.signature(StaticModel.encode).parameters)[:3] == ["self", "sentences", "show_progress_bar"]
    assert StaticModel.encode.__doc__.startswith("Embed one text or many.")  # type: ignore[union-attr]
