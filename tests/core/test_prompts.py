"""`encode_query` and `encode_document`: the model's prompts, by the names that sentence-transformers knows."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from conftest import GOLDEN, make_model
from m2v_core import BadTextError, Config, InvalidInputError, ModelFormatError, StaticModel, quantize_model

STORED = {"query": "good ", "passage": "bad ", "other": "sunny "}
FOLDER = GOLDEN / "students" / "sentence-transformers"


def prompted(prompts: dict[str, str] | None = STORED) -> StaticModel:
    return make_model(config=Config(prompts=prompts))


def same(left: object, right: object) -> bool:
    return np.array_equal(np.asarray(left), np.asarray(right))


def test_a_prompt_stands_before_each_text() -> None:
    model = prompted()
    assert same(model.encode_query("day"), model.encode("good day"))
    assert same(model.encode_query(["day", ""]), model.encode(["good day", "good "]))
    assert same(model.encode_document(iter(["day"])), model.encode(["bad day"]))
    assert same(model.encode_query("day", prompt_name="other"), model.encode("sunny day"))
    assert same(model.encode_document("day", prompt="a b "), model.encode("a b day"))
    assert same(model.encode_query("day", prompt=""), model.encode("day"))
    assert not same(model.encode_query("day"), model.encode("day"))


def test_a_stream_takes_prompts() -> None:
    """Unlike `encode_query`, it has none of its own."""
    model, texts = prompted(), ["day", "", "bad day"]
    assert same(np.concatenate([*model.encode_stream(texts, batch_size=2)]), model.encode(texts))
    found = np.concatenate([*model.encode_stream(iter(texts), batch_size=2, prompt_name="query")])
    assert same(found, model.encode_query(texts))
    assert same(np.concatenate([*model.encode_stream(texts, prompt="a b ")]), model.encode_query(texts, prompt="a b "))
    with pytest.raises(InvalidInputError, match="one of the model's"):
        next(model.encode_stream(texts, prompt_name="none"))
    with pytest.raises(BadTextError, match="index 2") as caught:
        list(model.encode_stream(["a", "b", 3], batch_size=2, prompt="a "))
    assert caught.value.index == 2


@pytest.mark.parametrize(
    ("names", "query", "document"),
    [
        ((), "", ""),
        (("query",), "query", ""),
        (("document", "passage", "corpus"), "", "document"),
        (("corpus", "passage"), "", "passage"),
        (("corpus", "other"), "", "corpus"),
        (("other",), "", ""),
    ],
)
def test_names_are_resolved_as_in_sentence_transformers(names: tuple[str, ...], query: str, document: str) -> None:
    texts = {"query": "good ", "document": "bad ", "passage": "sunny ", "corpus": "days ", "other": "un "}
    model = prompted({name: texts[name] for name in names})
    assert same(model.encode_query("day"), model.encode(texts.get(query, "") + "day"))
    assert same(model.encode_document("day"), model.encode(texts.get(document, "") + "day"))


def test_options_of_encode_are_taken() -> None:
    model = prompted()
    short = model.encode_query(["day sunny"], max_length=2, normalize_embeddings=True)
    assert same(short, model.encode(["good day sunny"], max_length=2, normalize=True))
    assert same(short, model.encode(["good day"], normalize=True)), "the prompt's tokens count for max_length"
    with pytest.raises(TypeError, match=r"'normalise'\. Did you mean 'normalize'"):
        model.encode_document(["day"], normalise=True)


def test_what_is_refused() -> None:
    model = prompted()
    with pytest.raises(
        InvalidInputError,
        match=r"one of the model's, \['query', 'passage', 'other'\]; found 'pasage'.*"
        r"'passage'",
    ):
        model.encode_query("day", prompt_name="pasage")
    with pytest.raises(InvalidInputError, match=r"found 'query'.*model\.prompts ="):
        make_model().encode_query("day", prompt_name="query")
    with pytest.raises(InvalidInputError, match="found both"):
        model.encode_query("day", prompt_name="query", prompt="a")
    with pytest.raises(InvalidInputError, match=r"prompt should be a text.*found 3"):
        model.encode_query("day", prompt=3)  # type: ignore[arg-type]
    with pytest.raises(BadTextError, match="found int at index 1") as caught:
        model.encode_query(["day", 3])  # type: ignore[list-item]
    assert caught.value.index == 1
    with pytest.raises(InvalidInputError, match="found bytes"):
        model.encode_document(b"day")  # type: ignore[arg-type]


def test_prompts_can_be_set() -> None:
    model, plain = make_model(), make_model()
    assert model.prompts == {}
    model.prompts = {"query": "good "}
    assert same(model.encode_query("day"), plain.encode("good day"))
    model.prompts["query"] = "bad "  # of a copy
    assert model.prompts == {"query": "good "}
    model.prompts = {}
    assert model.config.prompts is None
    for wrong in ("query", {"query": 3}, {3: "query"}, {"query": "\ud83d"}):
        with pytest.raises(InvalidInputError, match=r"prompts should be a mapping with a text"):
            model.prompts = wrong  # type: ignore[assignment]


def test_prompts_are_stored(tmp_path: Path) -> None:
    prompted().save_pretrained(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "config.json").read_text())["prompts"] == STORED
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    assert loaded.prompts == STORED
    assert quantize_model(loaded, quantize_to="int8").prompts == STORED
    make_model().save_pretrained(tmp_path / "m")
    assert "prompts" not in json.loads((tmp_path / "m" / "config.json").read_text())


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("[]", r"\[\]"),
        ('"a"', "'a'"),
        ('{"query": 3}', "3"),
        ('{"query": null}', "None"),
        ('{"q": "\\ud83d"}', "ud83d"),
    ],
)
def test_strange_prompts_are_refused(tmp_path: Path, content: str, found: str) -> None:
    prompted().save_pretrained(tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_text(f'{{"prompts": {content}}}')
    with pytest.raises(ModelFormatError, match=rf"config\.json: .*prompts.*found .*{found}"):
        StaticModel.from_pretrained(tmp_path / "m")


def sentence_folder(tmp_path: Path, content: object) -> Path:
    folder = tmp_path / "s"
    folder.mkdir()
    for path in FOLDER.rglob("*"):
        target = folder / path.relative_to(FOLDER)
        target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
    (folder / "config_sentence_transformers.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"query": "q: ", "document": ""}, {"query": "q: ", "document": ""}),
        ({"query": "q: ", "document": None}, {"query": "q: "}),
        ({"query": "", "document": ""}, {}),
        ({}, {}),
        (None, {}),
    ],
)
def test_prompts_of_sentence_transformers_are_read(
    tmp_path: Path, stored: object, expected: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    model = StaticModel.from_pretrained(sentence_folder(tmp_path, {"prompts": stored, "default_prompt_name": None}))
    assert model.prompts == expected
    assert not caplog.records
    model.save_pretrained(tmp_path / "ours")
    assert StaticModel.from_pretrained(tmp_path / "ours").prompts == expected


def test_a_default_prompt_of_sentence_transformers_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = sentence_folder(tmp_path, {"prompts": {"query": "good "}, "default_prompt_name": "query"})
    with caplog.at_level(logging.WARNING, "m2v_core"):
        model = StaticModel.from_pretrained(folder)
    assert "default_prompt_name = 'query' by default" in caplog.text
    assert same(model.encode("day"), StaticModel.from_pretrained(FOLDER).encode("day"))


def test_fewer_dimensions_by_default_in_sentence_transformers_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "m2v_core"):
        model = StaticModel.from_pretrained(sentence_folder(tmp_path, {"truncate_dim": 4}))
    assert "truncate_dim = 4 by default" in caplog.text
    assert same(model.encode("day"), StaticModel.from_pretrained(FOLDER).encode("day"))


@pytest.mark.parametrize("prompts", [[1], "a", {"query": 3}])
def test_strange_prompts_of_sentence_transformers_are_refused(tmp_path: Path, prompts: object) -> None:
    with pytest.raises(ModelFormatError, match=r"config_sentence_transformers\.json: .*prompts"):
        StaticModel.from_pretrained(sentence_folder(tmp_path, {"prompts": prompts}))
