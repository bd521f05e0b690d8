"""Texts into a teacher, without PyTorch: what reaches the encoder, and what does not."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from m2v_core import InvalidInputError
from m2v_distill import Teacher
from m2v_distill.teacher.tokenizer import lowers_case
from sentence_folders import write_json, write_modules
from tokenizer_files import metaspace_bpe, wordpiece_cased

PROMPTS = {"query": "good: ", "none": ""}


@pytest.fixture
def folder(teacher_folder: Path) -> Path:
    write_modules(teacher_folder, "Pooling", Pooling={"pooling_mode": "mean"})
    write_json(teacher_folder / "config_sentence_transformers.json", {"prompts": PROMPTS})
    return teacher_folder


def ids(folder: Path, text: str) -> list[int]:
    return Teacher.from_pretrained(folder).tokenizer.text_ids([text])[0]


def test_one_text_and_many(folder: Path) -> None:
    teacher = Teacher.from_pretrained(folder)
    many = teacher.encode(["good day", "", "bad", "good day"])
    np.testing.assert_array_equal(many[0], many[3])
    np.testing.assert_allclose(teacher.encode("good day"), many[0], atol=1e-5)
    assert teacher.encode([]).shape == (0, 24)
    unchecked = inspect.unwrap(Teacher.encode)  # by jaxtyping, as for users
    with pytest.raises(InvalidInputError, match="found NoneType, int"):
        unchecked(teacher, ["a", None, 3])


def test_prompts_are_put_before_texts(folder: Path) -> None:
    teacher = Teacher.from_pretrained(folder)
    expected = teacher.encode(["good: day"])
    np.testing.assert_array_equal(teacher.encode(["day"], prompt_name="query"), expected)
    np.testing.assert_array_equal(teacher.encode(["day"], prompt="good: "), expected)
    write_json(folder / "config_sentence_transformers.json", {"prompts": PROMPTS, "default_prompt_name": "query"})
    teacher = Teacher.from_pretrained(folder)
    np.testing.assert_array_equal(teacher.encode(["day"]), expected)
    np.testing.assert_array_equal(teacher.encode(["day"], prompt=""), teacher.encode(["day"], prompt_name="none"))
    assert np.abs(teacher.encode(["day"], prompt="") - expected).max() > 0.01


def test_wrong_prompts(folder: Path) -> None:
    teacher = Teacher.from_pretrained(folder)
    assert teacher.tokenizer.prompt() == ""
    for name in ("passage", ""):
        with pytest.raises(InvalidInputError, match=rf"\['query', 'none'\]; found '{name}'"):
            teacher.tokenizer.prompt(prompt_name=name)
    with pytest.raises(InvalidInputError, match="found both"):
        teacher.tokenizer.prompt(prompt_name="query", prompt="")


def test_the_ids_of_a_prompt(folder: Path) -> None:
    """[CLS] before it counts, [SEP] after it does not."""
    teacher = Teacher.from_pretrained(folder)
    length = teacher.tokenizer.prompt_length("good day")
    (alone, longer) = teacher.tokenizer.text_ids(["good day", "good day bad"])
    assert alone[:length] == longer[:length]
    assert length == 3


def test_the_longest_length(folder: Path) -> None:
    """max_seq_length, else the tokenizer's, else the encoder's positions; never more than the encoder can take."""
    text = "good " * 100
    assert len(ids(folder, text)) == 40
    whole = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", {**whole, "model_max_length": 11})
    assert len(ids(folder, text)) == 11
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 23})
    assert len(ids(folder, text)) == 23
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 99})
    assert len(ids(folder, text)) == 40
    assert Teacher.from_pretrained(folder).encode([text]).shape == (1, 24)


def test_the_side_that_is_cut(folder: Path) -> None:
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 4})
    right = ids(folder, "good day bad")
    whole = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", {**whole, "truncation_side": "left"})
    assert (right, ids(folder, "good day bad")) == (ids(folder, "good day"), ids(folder, "day bad"))


def test_what_the_tokenizer_file_says_of_length_and_padding_is_left_out(folder: Path) -> None:
    raw = json.loads((folder / "tokenizer.json").read_text())
    before = ids(folder, "good day bad")
    raw["truncation"] = {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    raw["padding"] = {
        "strategy": {"Fixed": 30},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    write_json(folder / "tokenizer.json", raw)
    assert ids(folder, "good day bad") == before


def test_lower_case(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(wordpiece_cased(), encoding="utf-8")
    assert ids(folder, "GOOD") != ids(folder, "good")
    write_json(folder / "sentence_bert_config.json", {"do_lower_case": True})
    assert ids(folder, "GOOD") == ids(folder, "good")


def test_which_normalizers_lower_case() -> None:
    assert lowers_case({"type": "Lowercase"})
    assert not lowers_case(None)
    assert not lowers_case({"type": "Sequence", "normalizers": [{"type": "NFC"}]})


def test_texts_without_a_token(folder: Path) -> None:
    """A tokenizer without special tokens: vectors of nothing are what the layers make of zeros."""
    (folder / "tokenizer.json").write_text(metaspace_bpe(), encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<unk>"})
    teacher = Teacher.from_pretrained(folder)
    assert ids(folder, "") == []
    vectors = teacher.encode(["", "day", ""])
    np.testing.assert_array_equal(vectors[[0, 2]], 0)
    np.testing.assert_array_equal(vectors[1], teacher.encode("day"))
    np.testing.assert_array_equal(teacher.encode(""), 0)


def test_types_of_tokens_that_we_do_not_compute(folder: Path) -> None:
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["post_processor"]["single"][0]["SpecialToken"]["type_id"] = 2  # as XLNet's
    write_json(folder / "tokenizer.json", raw)
    assert Teacher.from_pretrained(folder).encode("good day").shape == (24,)  # its types are not used
    whole = json.loads((folder / "tokenizer_config.json").read_text())
    names = ["input_ids", "token_type_ids", "attention_mask"]
    write_json(folder / "tokenizer_config.json", {**whole, "model_input_names": names})
    with pytest.raises(InvalidInputError, match="the type 0"):
        Teacher.from_pretrained(folder).encode("good day")
