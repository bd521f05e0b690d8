"""Where a tokenizer.json exists, its ids: in distillation and in Teacher.encode."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from m2v_core import InvalidInputError, ModelFormatError
from m2v_core.errors import BadTextError, MissingPackageError
from m2v_distill import Teacher, distill, distill_from_model
from m2v_distill.teacher.tokenizer import TeacherTokenizer, read_tokenizer
from sentence_folders import write_json
from tokenizer_files import SPACES, wordpiece, wordpiece_cased

TEXTS = ["Good day, the CAT sat on 2023 mats", "\uff21\uff22\uff23 the cat", "日本語 good day"]
CLASSES = ["BertTokenizer", "RobertaTokenizer", "GPT2Tokenizer", "LlamaTokenizerFast", "Qwen2Tokenizer", "T5Tokenizer"]


@pytest.mark.parametrize("name", [*CLASSES, None])
@pytest.mark.parametrize("kind", sorted(SPACES))
def test_ids_are_those_of_the_file(tmp_path: Path, kind: str, name: str | None) -> None:
    """Whatever class `tokenizer_config.json` names, and whatever that would lower, split or normalise."""
    (tmp_path / "tokenizer.json").write_text(SPACES[kind](), encoding="utf-8")
    settings = {"do_lower_case": False, "add_bos_token": False, "add_prefix_space": False}
    write_json(tmp_path / "tokenizer_config.json", settings | ({"tokenizer_class": name} if name else {}))
    tokenizer, library = read_tokenizer(tmp_path), Tokenizer.from_str(SPACES[kind]())
    for text in TEXTS:
        assert tokenizer.encode(text) == library.encode(text).ids
    assert tokenizer.ids == library.get_vocab()


def test_a_teacher_reads_its_file(teacher_folder: Path) -> None:
    """BertTokenizer would put texts into lower case."""
    expected = Teacher.from_pretrained(teacher_folder).encode("GOOD day")
    config = json.loads((teacher_folder / "tokenizer_config.json").read_text())
    write_json(
        teacher_folder / "tokenizer_config.json", config | {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    )
    assert np.array_equal(Teacher.from_pretrained(teacher_folder).encode("GOOD day"), expected)
    (teacher_folder / "tokenizer_config.json").unlink()
    assert np.array_equal(Teacher.from_pretrained(teacher_folder).encode("GOOD day"), expected)


def test_a_tokenizer_that_is_passed_is_used_for_texts_too(teacher_folder: Path) -> None:
    teacher = Teacher.from_pretrained(teacher_folder)
    options = {"corpus": ["good day", "bad day", "good", "sunny days"], "rounds": 1, "pca_dims": 4}
    options["precision"] = "float32"  # by default bfloat16 where the processor is quick at it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = distill_from_model(teacher, Tokenizer.from_file(str(teacher_folder / "tokenizer.json")), **options)
    assert np.array_equal(same.embedding, distill(teacher_folder, **options).embedding)
    raw = json.loads((teacher_folder / "tokenizer.json").read_text())
    raw["normalizer"] = json.loads(wordpiece_cased())["normalizer"]
    with pytest.warns(UserWarning, match="gives other ids than"):
        other = teacher.with_tokenizer(Tokenizer.from_str(json.dumps(raw)))
    assert other.tokenizer.encode("GOOD") != teacher.tokenizer.encode("GOOD")
    assert not np.allclose(other.encode("GOOD"), teacher.encode("GOOD"), atol=1e-3)


def test_special_tokens_that_only_the_config_asks_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tokenizer.json").write_text(SPACES["metaspace_bpe"](), encoding="utf-8")
    write_json(tmp_path / "tokenizer_config.json", {"add_eos_token": True})
    assert read_tokenizer(tmp_path).after == ()
    assert '"add_eos_token": true' in caplog.text


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": {"type": "BPE"}}'])
def test_damaged_files(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json: expected a tokenizer"):
        read_tokenizer(tmp_path)


def test_roles_by_config_and_by_name() -> None:
    assert TeacherTokenizer(wordpiece()).padding == "[PAD]"
    assert TeacherTokenizer(wordpiece(), pad_token="[SEP]").padding == "[SEP]"  # noqa: S106
    assert TeacherTokenizer(SPACES["gpt2"]()).unknown == "<unk>"
    assert TeacherTokenizer(SPACES["wordlevel"]()).padding is None


def test_other_things_than_tokenizers() -> None:
    with pytest.raises(InvalidInputError, match="fast tokenizer"):
        TeacherTokenizer.of("good")


def test_a_sentencepiece_model_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers would advise tiktoken, which reads another format."""
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    (tmp_path / "spiece.model").write_bytes(b"\n\x0e\n\x05<unk>")
    with pytest.raises(MissingPackageError, match=r"pip install m2v-distill\[sentencepiece\]"):
        read_tokenizer(tmp_path)


def test_no_tokenizer_at_all(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelFormatError, match=r"expected a tokenizer: tokenizer\.json.*found config\.json"):
        read_tokenizer(tmp_path)


def test_texts_that_cannot_be_spelt(teacher_folder: Path) -> None:
    raw = json.loads((teacher_folder / "tokenizer.json").read_text())
    vocab = {token: index for token, index in raw["model"]["vocab"].items() if token != "[UNK]"}
    added = [token for token in raw["added_tokens"] if token["content"] != "[UNK]"]
    write_json(
        teacher_folder / "tokenizer.json", raw | {"added_tokens": added, "model": raw["model"] | {"vocab": vocab}}
    )
    write_json(teacher_folder / "tokenizer_config.json", {})
    with pytest.raises(BadTextError, match="cannot spell text 1, 'a ☃'"):
        Teacher.from_pretrained(teacher_folder).encode(["good", "a ☃"])
    student = distill(teacher_folder, method="token", pca_dims=4)
    assert student.unk_token_id is None
    assert student.encode("good day").any()
    with pytest.raises(BadTextError, match="cannot spell"):
        student.encode("a ☃")
