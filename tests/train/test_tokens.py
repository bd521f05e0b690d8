from __future__ import annotations

import json

import numpy as np
import pytest

from conftest import make_model
from m2v_core import BadTextError, StaticModel
from m2v_train.data import tokens
from m2v_train.data.tokens import tokenize
from tokenizer_files import unigram


def test_tokens(any_model: StaticModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["good day", "", "bad, sunny days!", "✪", *["unable good"] * 5]
    lists = any_model.tokenize(texts)
    monkeypatch.setattr(tokens, "_TEXTS", 4)  # several parts
    ids = tokenize(any_model, texts)
    assert (ids.values.dtype, ids.offsets.dtype) == (np.int32, np.int64)
    assert [part.tolist() for part in np.split(ids.values, ids.offsets[1:-1])] == lists
    assert ids.lengths.tolist() == [len(row) for row in lists]
    assert tokenize(any_model, texts, max_length=1).lengths.max() == 1
    chosen = np.array([2, 0, 2, 1])
    taken = ids.take(chosen)
    assert [part.tolist() for part in np.split(taken.values, taken.offsets[1:-1])] == [lists[i] for i in chosen]
    assert len(ids.take(np.array([], int))) == 0


def test_tokens_of_several_columns() -> None:
    both = tokenize(make_model(), ["good day", ""], ["bad"])
    assert both.values.tolist() == tokenize(make_model(), ["good day", "", "bad"]).values.tolist()
    assert both.lengths.tolist() == [2, 0, 1]


def test_a_text_that_cannot_be_spelt_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = json.loads(unigram())
    raw["model"]["unk_id"] = None
    model = StaticModel(np.eye(len(raw["model"]["vocab"]), 4, dtype=np.float32), json.dumps(raw))
    monkeypatch.setattr(tokens, "_TEXTS", 2)
    with pytest.raises(BadTextError, match="cannot spell text 5, 'good ☃ day'"):
        tokenize(model, [*["good"] * 5, "good ☃ day"])
