"""Words added to a vocabulary, and vocabularies of words alone; model2vec is the oracle in tests/integration."""

from __future__ import annotations

import json
import logging
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import InvalidInputError, StaticModel
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_distill import DistillConfig, distill
from m2v_distill.teacher.tokenizer import TeacherTokenizer, read_tokenizer
from m2v_distill.vocabulary.build import TeacherVocabulary, student_vocabulary
from m2v_distill.vocabulary.words import WordCounts, read_words
from tokenizer_files import SPACES, WORDS


def teacher_tokenizer(kind: str) -> TeacherTokenizer:
    return TeacherTokenizer(SPACES[kind]())


@cache
def with_words(kind: str, situation: str, *, use_subword: bool = True) -> tuple[TeacherVocabulary, TextTokenizer]:
    vocabulary = student_vocabulary(teacher_tokenizer(kind), None, tuple(WORDS[situation]), use_subword=use_subword)
    return vocabulary, TextTokenizer(vocabulary.tokenizer_json)


def tokens_of(vocabulary: TeacherVocabulary, text: str) -> list[str]:
    return [vocabulary.tokens[index] for index in TextTokenizer(vocabulary.tokenizer_json)([text], None).values]


def spelled(kind: str, vocabulary: TeacherVocabulary, token: str) -> list[str]:
    library = teacher_tokenizer(kind).library
    return [library.id_to_token(index) for index in vocabulary.sequences[vocabulary.tokens.index(token)]]


def test_what_becomes_of_words() -> None:
    words = ["zebra", "Zebra", "good", "New York", "new york", "", "\u200b", "##s"]
    vocabulary = student_vocabulary(teacher_tokenizer("wordpiece"), "ze", words)
    assert vocabulary.word_counts == WordCounts(several=1, present=2, repeated=1, empty=2, removed=2)
    vocabulary = student_vocabulary(teacher_tokenizer("wordpiece"), None, words)
    assert vocabulary.word_counts == WordCounts(added=1, several=1, present=2, repeated=2, empty=2)
    assert vocabulary.tokens[-2:] == ("zebra", "new york")
    assert "##s" in vocabulary.tokens[:-2]  # and stays the piece of a word that it is
    assert tokens_of(vocabulary, "A  ZEBRA, in New York!") == ["a", "zebra", ",", "new york", "!"]
    assert spelled("wordpiece", vocabulary, "new york") == ["[CLS]", "[UNK]", "[UNK]", "[SEP]"]


@pytest.mark.parametrize("kind", sorted(SPACES))
def test_the_teachers_tokens_come_first_and_keep_their_ids(kind: str) -> None:
    plain = student_vocabulary(teacher_tokenizer(kind), None)
    vocabulary, tokenizer = with_words(kind, "new")
    n_own = len(plain.tokens) - (kind == "llama3_student")  # its added token comes behind all tokens of the model
    assert vocabulary.tokens[:n_own] == plain.tokens[:n_own]
    assert vocabulary.sequences[:n_own] == plain.sequences[:n_own]
    assert set(plain.tokens) <= set(vocabulary.tokens)
    assert len(vocabulary.tokens) == len(vocabulary.sequences) == tokenizer.n_tokens
    assert tokenizer.vocabulary.tokens == vocabulary.tokens
    assert plain.word_counts == WordCounts()


@pytest.mark.parametrize("kind", ["byte_bpe", "gpt2", "llama3"])
def test_byte_level_words_are_spelled_by_their_bytes(kind: str) -> None:
    tokenizer = teacher_tokenizer(kind)
    vocabulary, _ = with_words(kind, "new")
    for word, token in (("zebra", "Ġzebra"), ("naïve", "ĠnaÃ¯ve"), ("日本", "ĠæĹ¥æľ¬")):
        assert vocabulary.sequences[vocabulary.tokens.index(token)] == tokenizer.encode(f" {word}")
        assert tokens_of(vocabulary, f"{word} {word}") == [token, token]


def test_a_word_is_not_padded(teacher_folder: Path) -> None:
    """Where tokenizer.json asks for padding, model2vec lets the teacher attend to it."""
    path = teacher_folder / "tokenizer.json"
    raw = json.loads(path.read_text())
    padding = {"direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    path.write_text(json.dumps({**raw, "padding": {"strategy": {"Fixed": 30}, **padding}}))
    tokenizer = read_tokenizer(teacher_folder)
    vocabulary = student_vocabulary(tokenizer, None, ["baddays"])
    ids = tokenizer.ids
    assert vocabulary.sequences[-1] == [ids[piece] for piece in ("[CLS]", "[UNK]", "[SEP]")]


@pytest.mark.parametrize("kind", ["byte_bpe", "metaspace_bpe"])
def test_words_that_are_pieces_of_others(kind: str) -> None:
    """Merging builds "zebra" out of "zeb"; model2vec fails where that is a word too."""
    vocabulary = student_vocabulary(teacher_tokenizer(kind), None, ["zebra", "zeb", "z"])
    assert tokens_of(vocabulary, "zebra zeb z") == [
        f"{'Ġ' if kind == 'byte_bpe' else '▁'}{w}" for w in ("zebra", "zeb", "z")
    ]
    assert vocabulary.word_counts.added == 3
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)


def test_words_that_cannot_leave_the_vocabulary() -> None:
    vocabulary = student_vocabulary(teacher_tokenizer("wordpiece_cased"), None, ["[UNK]", "good day", "good day"])
    assert vocabulary.word_counts == WordCounts(several=1, present=1, repeated=1)
    assert TextTokenizer(vocabulary.tokenizer_json).unk_id == vocabulary.tokens.index("[UNK]")
    upper = student_vocabulary(teacher_tokenizer("wordpiece"), None, ["##S"])
    assert upper.word_counts == WordCounts(present=1)
    assert tokens_of(upper, "goods") == ["good", "##s"]


@pytest.mark.parametrize("use_subword", [True, False])
@pytest.mark.parametrize("kind", sorted(SPACES))
@given(text=st.lists(st.sampled_from([*WORDS["all"], " ", "  ", ",", "s", "x", "Ⅷ", "\n", "́"]) | st.text(max_size=4)))
@settings(max_examples=40, deadline=None)
def test_ids_equal_the_library(kind: str, use_subword: bool, text: list[str]) -> None:
    _, tokenizer = with_words(kind, "all", use_subword=use_subword)
    texts = ["".join(text), " ".join(text)] * 15
    ids = tokenizer(texts, None)
    for one, row in zip(texts, ids, strict=True):
        found = tokenizer.backend.encode(one, add_special_tokens=False).ids
        assert row.tolist() == [index for index in found if index != tokenizer.unk_id]


@pytest.mark.parametrize("kind", sorted(SPACES))
def test_words_alone(kind: str) -> None:
    words = ["word", "Good", "good", "new york", "", "日本"]
    vocabulary = student_vocabulary(teacher_tokenizer(kind), None, words, use_subword=False)
    lowercases = kind in ("wordpiece", "multiword")
    assert tokens_of(vocabulary, "Word,  (good) words new york!") == [*["word"] * lowercases, "good", "new york"]
    assert tokens_of(vocabulary, "a new yorker is unknown\tword") == ["word"]
    assert json.loads(vocabulary.tokenizer_json)["model"]["type"] == "WordLevel"
    unknown, *_ = vocabulary.tokens
    assert unknown in ("[UNK]", "<unk>")
    known = teacher_tokenizer(kind)
    assert vocabulary.sequences[vocabulary.tokens.index("good")] == known.encode("good")


def test_words_alone_of_a_tokenizer_that_does_not_split() -> None:
    raw = json.loads(SPACES["wordlevel"]())
    raw["pre_tokenizer"] = {"type": "Digits", "individual_digits": True}
    tokenizer = TeacherTokenizer(json.dumps(raw))
    with pytest.raises(InvalidInputError, match="splits texts at spaces"):
        student_vocabulary(tokenizer, None, ["word"], use_subword=False)


def test_words_alone_need_words() -> None:
    for words in (None, [], ()):
        with pytest.raises(InvalidInputError, match="use_subword=False leaves only"):
            DistillConfig(vocabulary=words, use_subword=False).with_files_read()
    with pytest.raises(InvalidInputError, match="1 empty, 1 removed"):
        student_vocabulary(teacher_tokenizer("wordpiece"), "zebra", ["", "zebra"], use_subword=False)


def test_files_of_words(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffzebra\r\nNew York \n\n 日本\u2028x\n".encode())
    assert read_words(path) == read_words(str(path)) == ("zebra", "New York", "", "日本\u2028x")
    assert DistillConfig(vocabulary=path).vocabulary == path
    assert DistillConfig(vocabulary=path).with_files_read() == DistillConfig(vocabulary=read_words(path))
    path.write_bytes(b"")
    assert read_words(path) == ()
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_words(path)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("zebra", "found 'zebra', and there is no such file"),
        (Path("nowhere.txt"), "no such file"),
        (["good", 3], "found int at index 1"),
        (["good", "\ud800"], "word 1 has a lone surrogate"),
        (3, "found int"),
    ],
)
def test_vocabularies_are_checked(words: object, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        DistillConfig(vocabulary=words).with_files_read()  # type: ignore[arg-type]


def test_distilled_with_words(teacher_folder: Path, tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        student = distill(teacher_folder, vocabulary=["sunny", "good day", "good"], pca_dims=4, quantize_to="float32")
    assert [record.message for record in caplog.records if record.name == "m2v_distill"] == [
        "words: 1 added, 1 multi-word, 1 already there"
    ]
    assert student.tokens[-2:] == ("sunny", "good day")
    assert student.embedding[-2:].any(axis=1).all()
    student.save_pretrained(tmp_path / "m")
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    assert np.array_equal(loaded.encode("Sunny good day"), student.encode("Sunny good day"))
    alone = distill(teacher_folder, vocabulary=["sunny", "good day"], use_subword=False, pca_dims=None)
    assert alone.tokens == ("[UNK]", "[PAD]", "sunny", "good day")
    assert not alone.encode("bad").any()
    assert alone.tokenize("Sunny! Good day.") == [2, 3]
