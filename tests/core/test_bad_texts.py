"""Texts that cannot be tokenised: the error is ours, and names the first of them, wherever texts are taken."""

from __future__ import annotations

import io
import json
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from m2v_core import BadTextError, InvalidInputError, MLPHead, StaticModel, StaticModelPipeline
from m2v_core.cli.main import main
from m2v_core.head import Layer
from m2v_core.tokenize.backend import Backend, CannotSpellError
from m2v_core.tokenize.vocabulary import Vocabulary
from tokenizer_files import byte_bpe, edited, unigram, wordlevel, wordpiece

BAD = "good ☃ day"


def without_unknown(made: str) -> str:
    """The same tokenizer without an unknown token: its place in the vocabulary is another token's."""
    raw = json.loads(made)
    model = raw["model"]
    if isinstance(model["vocab"], list):
        model["unk_id"] = None
    else:
        model["vocab"]["[other]"] = model["vocab"].pop("[UNK]")
        raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] != "[UNK]"]
    return json.dumps(raw)


UNCUT = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}  # not cut into words
KINDS = {
    "unigram": without_unknown(unigram()),
    "wordpiece": without_unknown(wordpiece()),
    "wordlevel": without_unknown(wordlevel()),
    "whole texts": edited(without_unknown(unigram()), pre_tokenizer=UNCUT),
}


def made(kind: str) -> StaticModel:
    n_tokens = len(Vocabulary.from_json(KINDS[kind]).tokens)
    return StaticModel(np.random.default_rng(0).normal(size=(n_tokens, 4)).astype(np.float32), KINDS[kind])


CALLS: dict[str, Callable[[StaticModel, list[str]], object]] = {
    "encode": lambda model, texts: model.encode(texts),
    "in threads": lambda model, texts: model.encode(texts, multiprocessing_threshold=1, batch_size=1),
    "encode_stream": lambda model, texts: list(model.encode_stream(iter(texts), batch_size=3)),
    "encode_as_sequence": lambda model, texts: model.encode_as_sequence(texts),
    "tokenize": lambda model, texts: model.tokenize(texts),
    "token_ids": lambda model, texts: model.token_ids(texts),
    "predict": lambda model, texts: pipeline(model).predict(texts),
    "predict_proba": lambda model, texts: pipeline(model).predict_proba(texts),
    "evaluate": lambda model, texts: pipeline(model).evaluate(texts, ["a"] * len(texts)),
}


def pipeline(model: StaticModel) -> StaticModelPipeline:
    layer = Layer(np.eye(model.dim, 2, dtype=np.float32).T.copy(), np.zeros(2, np.float32))
    return StaticModelPipeline(model, MLPHead([layer], "softmax", ["a", "b"]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_refuses_such_a_text(kind: str) -> None:
    with pytest.raises(CannotSpellError, match=r"(?i)unk"):
        Backend(KINDS[kind], "tokenizer.json").ids_of_texts([BAD])


@pytest.mark.parametrize("n_texts", [1, 7, 3000])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_text_that_cannot_be_spelt_is_named(kind: str, call: str, n_texts: int) -> None:
    model, place = made(kind), n_texts * 2 // 3
    texts = ["good day"] * n_texts
    texts[place] = BAD
    texts[place + 1 :] = ["day ☂"] * len(texts[place + 1 :])
    with pytest.raises(BadTextError, match=f"cannot spell text {place}, 'good ☃ day', and .* for .*'☃'") as caught:
        CALLS[call](model, texts)
    assert caught.value.index == place
    assert "unk_id or unk_token" in str(caught.value)
    assert np.isfinite(model.encode("good day")).all()


@pytest.mark.parametrize("call", ["encode", "tokenize", "encode_as_sequence", "predict"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_text(kind: str, call: str) -> None:
    with pytest.raises(BadTextError, match="cannot spell text 0, 'good ☃ day'"):
        CALLS[call](made(kind), BAD)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_text_leaves_nothing_behind(kind: str) -> None:
    model, fresh = made(kind), made(kind)
    for texts in (BAD, ["a day", BAD, "bad day"], ["good", BAD] * 50, BAD):
        with pytest.raises(BadTextError):
            model.tokenize(texts)
        good = ["good day", "day day", "good"] * 20
        assert model.tokenize(good) == fresh.tokenize(good)
        assert model.tokenize(good[:2]) == fresh.tokenize(good[:2])


def test_the_place_in_a_long_text_is_shown_and_escaped() -> None:
    model = made("unigram")
    with pytest.raises(BadTextError, match=r"text 1, 'a{40}'\.\.\., .* for 'a*☃a*' \(") as caught:
        model.encode(["good", "a" * 500 + "☃" + "a" * 500])
    assert len(str(caught.value)) < 400
    with pytest.raises(BadTextError, match=re.escape(r"text 0, 'a\x1b[31m\u202e'")):
        model.encode("a\x1b[31m\u202e")


def test_another_bad_text_before_it_is_named_and_after_it_is_not() -> None:
    model = made("unigram")
    with pytest.raises(InvalidInputError, match="int at index 1"):
        model.encode(["good", 3, BAD])  # type: ignore[list-item]
    with pytest.raises(InvalidInputError, match="cannot spell text 1"):
        model.encode(["good", BAD, "\ud800", 3])  # type: ignore[list-item]
    with pytest.raises(InvalidInputError, match="text 5 has a lone surrogate"):
        list(model.encode_stream(["good"] * 5 + ["\ud800"], batch_size=2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_no_text(kind: str) -> None:
    with pytest.raises(InvalidInputError, match="found tuple at index 1"):
        made(kind).encode(["good", ("good", "day")])  # type: ignore[list-item]


def test_bytes_can_spell_all() -> None:
    model = StaticModel(np.zeros((len(Vocabulary.from_json(byte_bpe()).tokens), 2), np.float32), byte_bpe())
    assert model.tokenize(BAD)


def test_the_error_survives_pickle() -> None:
    with pytest.raises(BadTextError) as caught:
        made("unigram").encode(["good", BAD])
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.index) == (str(caught.value), 1)


@pytest.mark.parametrize("command", ["encode", "predict"])
def test_commands_name_the_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(made("unigram")).save_pretrained(tmp_path / "m")
    lines = ["good day"] * 5000
    lines[4500] = BAD
    (tmp_path / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main([command, str(tmp_path / "m"), str(tmp_path / "texts.txt")]) == 1
    assert "m2v: error: The tokenizer cannot spell text 4500, 'good ☃ day'" in capsys.readouterr().err
