"""Ids of added tokens are those that the tokenizers library gives, whatever `tokenizer.json` says of them."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from m2v_core import InvalidInputError, ModelFormatError, StaticModel
from m2v_core.storage.vocabulary_format import compiled_from
from m2v_core.tokenize.backend import Backend
from m2v_core.tokenize.bad_texts import CannotSpellError
from m2v_core.tokenize.tokens import TextTokenizer
from tokenizer_files import file, special, wordpiece

WORDS = ["a", "b", "cd", "X", "[UNK]", "[PAD]", "[SEP]", "e", "##b", "good"]
OTHERS = ["Y", "Z!", "g h"]


def some_model(rng: random.Random) -> dict[str, Any]:
    """A model whose ids are shuffled, have gaps, or are shared by two tokens."""
    words = rng.sample(WORDS, rng.randint(2, len(WORDS)))
    ids = rng.sample(range(len(words) + rng.choice([0, 4])), len(words))
    if rng.random() < 0.1:
        ids[0] = ids[1]
    kind = rng.choice(["WordLevel", "WordPiece", "Unigram", "BPE"])
    if kind == "Unigram":
        return {"type": kind, "vocab": [[word, -float(index)] for index, word in enumerate(words)], "unk_id": 0}
    parts: dict[str, Any] = {"type": kind, "vocab": dict(zip(words, ids, strict=True)), "unk_token": words[1]}
    if kind == "WordPiece":
        parts |= {"continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    if kind == "BPE":
        empty = dict.fromkeys(("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
        parts |= {"merges": [], "fuse_unk": False, "byte_fallback": False, **empty}
    return parts


def some_tokenizer(rng: random.Random) -> str:
    added = []
    for _ in range(rng.randint(0, 5)):
        options = {name: rng.random() < 0.2 for name in ("single_word", "lstrip", "rstrip", "normalized")}
        added.append(special(rng.choice(WORDS + OTHERS), rng.randrange(15)) | options)
    splitter = rng.choice(["Whitespace", "WhitespaceSplit", "BertPreTokenizer"])
    normalizer = rng.choice([None, {"type": "Lowercase"}])
    return file(some_model(rng), added=added, pre_tokenizer={"type": splitter}, normalizer=normalizer)


@pytest.mark.parametrize("seed", range(4))
def test_one_text_and_many_have_the_ids_of_the_library(seed: int) -> None:
    rng, pieces = random.Random(seed), WORDS + OTHERS + ["zz", "abX", "X[SEP]", "good[PAD]"]
    n_compared = 0
    for _ in range(60):
        text = some_tokenizer(rng)
        texts = [" ".join(rng.choices(pieces, k=rng.randint(0, 5))) for _ in range(30)]
        ours, library = TextTokenizer(text), Backend(text, "x")
        try:
            expected = library.ids_of_texts(texts).without(ours.unk_id)
        except CannotSpellError:  # no token for a word, or an unknown token that the vocabulary lacks
            continue
        expected_rows = [row.tolist() for row in expected]
        assert [row.tolist() for row in ours(texts, None)] == expected_rows, text
        assert [TextTokenizer(text)([each], None).values.tolist() for each in texts[:4]] == expected_rows[:4], text
        assert [ours.one(each, None).tolist() for each in texts] == expected_rows, text
        model = StaticModel(np.ones((ours.n_tokens, 2), np.float32), text)
        assert np.array_equal(model.encode(texts), [model.encode(each) for each in texts])
        n_compared += 1
    assert n_compared > 30


def test_a_separator_has_the_id_of_the_vocabulary() -> None:
    """And not that of the file: [SEP] would be taken for it, and left out of a batch."""
    raw = json.loads(wordpiece())
    vocab = raw["model"]["vocab"]
    vocab["[PAD]"], vocab["[SEP]"] = vocab["[SEP]"], vocab["[PAD]"]
    model = StaticModel(np.eye(len(vocab), dtype=np.float32), json.dumps(raw))
    texts = ["x [UNK] y [SEP]z", "good [PAD] day"] * 15
    expected = [[0], [4, 3, 5]] * 15
    assert model.tokenize(texts) == expected
    assert [model.tokenize(text) for text in texts] == expected


def test_an_id_without_a_row_is_an_error() -> None:
    text = file(
        {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"},
        added=[special("X", 1)],
        pre_tokenizer={"type": "Whitespace"},
    )
    with pytest.raises(ModelFormatError, match=r"here: expected ids from 0 to 1; tokenizers .* gave a text the id 2"):
        Backend(text, "here", 2).ids_of_texts(["a X"])
    assert TextTokenizer(text)(["a X"], None).values.tolist() == [1, 2]


def test_a_vocabulary_with_two_tokens_of_one_id_is_not_compiled() -> None:
    text = wordpiece().replace('"day": 5', '"day": 4')
    with pytest.raises(InvalidInputError, match="two tokens have one id"):
        compiled_from(text.encode(), "x")
