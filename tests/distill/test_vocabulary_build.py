from __future__ import annotations

import json
from pathlib import Path

import pytest

from m2v_core import InvalidInputError
from m2v_core.tokenize.vocabulary import Vocabulary
from m2v_distill.teacher.tokenizer import TeacherTokenizer, read_tokenizer
from m2v_distill.vocabulary.build import student_vocabulary
from tokenizer_files import byte_bpe, unigram

UNUSED = r"\[unused\d+\]"


def test_tokens_and_the_teachers_ids(teacher_folder: Path) -> None:
    tokenizer = read_tokenizer(teacher_folder)
    ids = tokenizer.ids
    vocabulary = student_vocabulary(tokenizer, UNUSED)
    tokens = Vocabulary.from_json(vocabulary.tokenizer_json).tokens
    assert set(ids) - set(tokens) == {"[CLS]", "[SEP]", "[MASK]", "[unused0]"}
    assert list(tokens) == sorted(tokens, key=ids.__getitem__)
    assert vocabulary.sequences == [[2, ids[token], 3] for token in tokens]
    assert vocabulary.pad_id == 0
    assert json.loads(vocabulary.tokenizer_json)["post_processor"] is None


def test_patterns(teacher_folder: Path) -> None:
    tokenizer = read_tokenizer(teacher_folder)
    kept = Vocabulary.from_json(student_vocabulary(tokenizer, None).tokenizer_json).tokens
    assert "[unused0]" in kept
    fewer = Vocabulary.from_json(student_vocabulary(tokenizer, "##").tokenizer_json).tokens
    assert fewer
    assert not any(token.startswith("##") for token in fewer)
    with pytest.raises(InvalidInputError, match="every token"):
        student_vocabulary(tokenizer, ".*")


def test_the_teachers_tokenizer_is_left_alone(teacher_folder: Path) -> None:
    tokenizer = read_tokenizer(teacher_folder)
    before = json.dumps(tokenizer.raw)
    student_vocabulary(tokenizer, UNUSED)
    assert json.dumps(tokenizer.raw) == before


@pytest.mark.parametrize("make", [byte_bpe, unigram])
def test_other_kinds(tmp_path: Path, make) -> None:
    (tmp_path / "tokenizer.json").write_text(make(), encoding="utf-8")
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = read_tokenizer(tmp_path)
    vocabulary = student_vocabulary(tokenizer, UNUSED)
    ids = tokenizer.ids
    tokens = Vocabulary.from_json(vocabulary.tokenizer_json).tokens
    assert set(ids) - set(tokens) <= {"<s>", "</s>"}
    assert vocabulary.sequences == [[0, ids[token], 2] for token in tokens]
    assert vocabulary.pad_id == 1


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="fast tokenizer"):
        TeacherTokenizer.of(object())
