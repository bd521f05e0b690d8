"""Odd values of every option of every public function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_model
from m2v_core import StaticModel, checks, similarity
from m2v_core.embed import BatchEmbedder, EmbedConfig, embed_files
from m2v_core.model import quantize_model
from m2v_core.search import Index, duplicates, passages
from m2v_core.serve import ServeConfig
from odd_values import outcomes

TEXTS = ["good day", "day"]


def calls(model: StaticModel) -> Iterator[tuple[str, Callable[..., Any], Callable[..., Any]]]:
    """A name, a call that works, and the function whose options it takes."""
    for name in ("encode", "encode_stream", "tokenize", "token_ids", "encode_as_sequence", "encode_query"):
        method = getattr(model, name)
        yield name, partial(method, **{next(iter(inspect.signature(method).parameters)): TEXTS}), method
    yield "StaticModel", partial(StaticModel, vectors=np.eye(3), tokenizer=model.stored.tokenizer), StaticModel
    yield "from_pretrained", partial(StaticModel.from_pretrained, path="m"), StaticModel.from_pretrained
    yield "save_pretrained", partial(model.save_pretrained, path="out"), model.save_pretrained
    yield "quantize_model", partial(quantize_model, model=model), quantize_model
    index = Index(model)
    index.add(TEXTS)
    index.save("index")
    yield "Index", Index, Index
    yield "Index.search", partial(index.search, query="day"), index.search
    yield "Index.search_arrays", partial(index.search_arrays, query="day"), index.search_arrays
    yield "Index.remove", index.remove, index.remove
    yield "Index.metadata", index.metadata, index.metadata
    yield "Index.add", Index(model).add, index.add
    yield "Index.save", partial(index.save, folder="saved"), index.save
    yield "Index.load", partial(Index.load, folder="index"), Index.load
    yield "duplicates", partial(duplicates, texts=TEXTS, model=model), duplicates
    yield "duplicates of vectors", partial(duplicates, vectors=np.eye(3)), duplicates
    yield "passages", partial(passages, text="good day. day", model=model), passages
    yield "similarity", partial(similarity.similarity, first=np.eye(3), second=np.eye(3)), similarity.similarity
    yield "EmbedConfig", EmbedConfig, EmbedConfig
    yield "BatchEmbedder", partial(BatchEmbedder, model="m"), BatchEmbedder
    yield "embed_files", partial(embed_files, model="m", inputs="a.txt", out="vectors"), embed_files
    yield "ServeConfig", ServeConfig, ServeConfig


def test_odd_values_of_all_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = make_model()
    model.save_pretrained("m")
    Path("a.txt").write_text("good day\nday\n")
    found = [outcomes(*each) for each in calls(model)]
    assert [each for _, _, wrong in found for each in wrong] == []
    assert sum(taken for taken, _, _ in found) > 500
    assert sum(refused for _, refused, _ in found) > 2000


def test_a_value_that_cannot_be_shown() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError

    assert checks.shown(Bad()) == "Bad"
    assert len(checks.shown("x" * 5000)) == 200
    assert checks.shown(-(10**5000)) == "a whole number of 16610 bits"
