"""Edits of a tokenizer.json: every special role stays on its token, and ids are the library's."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer

from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.tokenize.vocabulary import Vocabulary
from m2v_distill.teacher.tokenizer import TeacherTokenizer
from m2v_distill.vocabulary.build import student_vocabulary
from m2v_distill.vocabulary.tokenizer_file import (
    special_ids,
    token_ids,
    unknown_token,
    with_added_tokens,
    with_roles,
    with_space_before,
    with_tokens,
    without_tokens,
)
from tokenizer_files import SPACES, edited, llama3, special, unigram, wordpiece

TEXTS = ["good day", "a bad, bad day!", "sunny \u2603 days", "日本 é zzz", "(day) it's 2023", ""]

#: Orders of special tokens: XLM-R's, T5's, DeBERTa-v2's, ALBERT's, and the unknown token last.
ORDERS = [
    ("<s>", "<pad>", "</s>", "<unk>"),
    ("<pad>", "</s>", "<unk>"),
    ("[PAD]", "[CLS]", "[SEP]", "[UNK]"),
    ("<pad>", "<unk>", "[CLS]", "[SEP]"),
]


def unigram_of(specials: tuple[str, ...], *, unknown_last: bool = False) -> str:
    unknown = next((token for token in specials if "unk" in token.lower()), "<unk>")
    pieces = [",", ".", "▁", "▁good", "▁day", "s", "a"]
    tokens = [*specials, *pieces, *([unknown] if unknown_last else [])]
    raw = json.loads(unigram())
    raw["model"]["vocab"] = [[token, -float(place)] for place, token in enumerate(tokens)]
    raw["model"]["unk_id"] = tokens.index(unknown)
    raw["added_tokens"] = [special(token, tokens.index(token)) for token in dict.fromkeys((*specials, unknown))]
    return json.dumps({**raw, "post_processor": None})


@pytest.mark.parametrize("pattern", [None, "▁(good|day)"])
@pytest.mark.parametrize("words", [[], ["river bank", "acme"]])
@pytest.mark.parametrize("specials", [*ORDERS, ("<pad>", "<s>", "</s>")], ids="".join)
def test_the_unknown_token_of_unigram_students(
    specials: tuple[str, ...], words: list[str], pattern: str | None
) -> None:
    unknown_last = not any("unk" in token.lower() for token in specials)
    teacher = TeacherTokenizer(unigram_of(specials, unknown_last=unknown_last))
    student = student_vocabulary(teacher, pattern, words)
    tokenizer = TextTokenizer(student.tokenizer_json)
    assert tokenizer.unk_id is not None
    assert student.tokens[tokenizer.unk_id] == teacher.unknown
    ids = tokenizer(["a day."], None).values.tolist()
    assert "." in [student.tokens[index] for index in ids]


@pytest.mark.parametrize("kind", sorted(SPACES))
def test_a_tokenizer_without_some_tokens_reads_the_others_as_before(kind: str) -> None:
    raw = json.loads(SPACES[kind]())
    before, after = Tokenizer.from_str(json.dumps(raw)), without_tokens(raw, ["bad", "zzz", "Ġday"])
    library = Tokenizer.from_str(json.dumps(after))
    assert token_ids(after) == library.get_vocab()
    assert sorted(token_ids(after).values()) == list(range(len(token_ids(after))))
    assert unknown_token(after) == unknown_token(raw)
    for text in TEXTS:
        tokens = before.encode(text, add_special_tokens=False).tokens
        if not {"bad", "Ġday", "Ġdays"} & set(tokens):
            assert library.encode(text, add_special_tokens=False).tokens == tokens


def test_special_roles_cannot_be_removed() -> None:
    raw = with_roles(json.loads(wordpiece()), unknown=None, padding="[PAD]")
    ids = token_ids(without_tokens(raw, ["[UNK]", "[PAD]", "[CLS]", "good"]))
    assert {"[UNK]", "[PAD]"} <= set(ids)
    assert not {"[CLS]", "good"} & set(ids)
    assert without_tokens(raw, ["[CLS]"])["padding"]["pad_id"] == ids["[PAD]"]


def test_added_tokens_stay_outside_of_the_model() -> None:
    """In the model, "acme" would be found as the beginning of "acmes" too."""
    raw = with_added_tokens(json.loads(wordpiece()), ["acme"], single_word=True)
    raw = with_tokens(raw, ["zebra"])
    assert token_ids(raw)["acme"] == len(raw["model"]["vocab"]) == token_ids(raw)["zebra"] + 1
    library = Tokenizer.from_str(json.dumps(raw))
    assert library.get_vocab() == token_ids(raw)
    assert library.encode("acme", add_special_tokens=False).tokens == ["acme"]
    assert "acme" not in library.encode("acmes", add_special_tokens=False).tokens


@pytest.mark.parametrize("kind", sorted(SPACES))
def test_what_stands_around_a_text(kind: str) -> None:
    raw = json.loads(SPACES[kind]())
    library = Tokenizer.from_str(json.dumps(raw))
    before, after = special_ids(raw)
    inner = library.encode("good day", add_special_tokens=False).ids
    assert library.encode("good day").ids == [*before, *inner, *after]


def test_byte_level_behind_a_split() -> None:
    """Only a text's first word gets a space; all else is as the teacher has it."""
    teacher = Tokenizer.from_str(llama3())
    student = Tokenizer.from_str(json.dumps(with_space_before(json.loads(llama3()))))
    for text in [*TEXTS, "day, good", " day", "\nday", "  "]:
        spaced = text if not text or text[0] == " " else f" {text}"
        assert student.encode(text, add_special_tokens=False).tokens == (
            teacher.encode(spaced, add_special_tokens=False).tokens
        )


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "byte_bpe", "llama3"])
def test_plain_added_tokens_of_the_teacher_stay(kind: str) -> None:
    raw = json.loads(SPACES[kind]())
    place = max(token_ids(raw).values()) + 1
    added = [{**special(text, place + i), "special": False} for i, text in enumerate(("acmephone", "acme tablet"))]
    teacher = TeacherTokenizer(edited(json.dumps(raw), added=added))
    for words in ([], ["acmephone", "acme tablet"]):
        student = student_vocabulary(teacher, None, words, n_rows=place + 2)
        sequence = student.sequences[student.tokens.index("acmephone")]
        assert sequence == [*teacher.before, place, *teacher.after]
        library = Tokenizer.from_str(student.tokenizer_json)
        tokens = library.encode("good acmephone and acme tablet", add_special_tokens=False).tokens
        assert {"acmephone", "acme tablet"} <= set(tokens)
    fewer = student_vocabulary(teacher, None, n_rows=place + 1)
    assert "acmephone" in fewer.tokens
    assert "acme tablet" not in fewer.tokens


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "byte_bpe", "llama3", "metaspace_bpe"])
def test_words_of_several_parts_are_whole_words(kind: str) -> None:
    student = student_vocabulary(TeacherTokenizer(SPACES[kind]()), None, ["the cat", "new york", "c++"])
    library = Tokenizer.from_str(student.tokenizer_json)
    for text in ("bathe cattle", "renew yorkshire", "abc++d"):
        found = {token.strip() for token in library.encode(text, add_special_tokens=False).tokens}
        assert not found & {"the cat", "new york", "c++"}
    assert "the cat" in [t.strip() for t in library.encode("see the cat", add_special_tokens=False).tokens]


def test_a_vocabulary_with_holes() -> None:
    raw = json.loads(wordpiece())
    del raw["model"]["vocab"]["bad"]
    teacher = TeacherTokenizer(json.dumps(raw))
    student = student_vocabulary(teacher, None)
    assert Vocabulary.from_json(student.tokenizer_json).tokens == student.tokens
    assert [sequence[1] for sequence in student.sequences] == [teacher.ids[token] for token in student.tokens]


def test_words_longer_than_the_teacher_takes() -> None:
    """They are cut as texts are: the closing special token stays."""
    teacher = TeacherTokenizer(wordpiece())
    word = "a b " * 30
    whole = student_vocabulary(teacher, None, [word]).sequences[-1]
    assert len(whole) == 62
    assert student_vocabulary(teacher, None, [word], longest=40).sequences[-1] == [*whole[:39], whole[-1]]


@pytest.mark.parametrize("kind", sorted(SPACES))
def test_ids_are_the_librarys_whatever_words_are_added(kind: str) -> None:
    """Spaces alone make no token, and a special token that is asked for by its name becomes one."""
    words = ["   ", " ", "my card", "good day", "<mask>", "[MASK]"]
    student = student_vocabulary(TeacherTokenizer(SPACES[kind]()), None, words)
    assert "" not in student.tokens
    library = Tokenizer.from_str(student.tokenizer_json)
    assert [library.id_to_token(index) for index in range(len(student.tokens))] == list(student.tokens)
    assert {"my card", "good day"} <= {token.strip("▁ ") for token in student.tokens}
