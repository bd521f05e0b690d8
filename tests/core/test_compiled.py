"""The compiled vocabulary: the same ids without parsing tokenizer.json, and no damage that goes unnoticed."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN, make_model
from m2v_core import InvalidInputError, ModelFormatError, StaticModel, StaticModelPipeline, quantize_model
from m2v_core.cli.main import main
from m2v_core.storage import vocabulary_format
from m2v_core.storage.compile import compile_vocabulary
from m2v_core.storage.format import OWNED_FILES, VOCABULARY_FILE
from m2v_core.tokenize.compiled import CompiledTokenizer, compiled
from m2v_core.tokenize.words import packed
from m2v_core.tokenize.words.table import shift_of, slots_of
from m2v_core.tokenize.words.trie import ROOT
from m2v_core.tokenize.words.wordpiece import WordPiece
from tokenizer_files import KINDS, edited, file, metaspace_bpe, special, unigram, wordpiece

TEXTS = ["good day", "Bad, sunny days!", "", "unable day [CLS] good a", "日本 é good", "a\x00b"]


@pytest.fixture(params=sorted(KINDS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make_model(request.param).save_pretrained(tmp_path / "m", compiled=True)
    return tmp_path / "m"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    make_model("unigram").save_pretrained(tmp_path / "m", compiled=True)
    return tmp_path / "m"


def source(model: StaticModel) -> str | CompiledTokenizer:
    return model.stored.tokenizer


def test_the_same_vectors_without_parsing(folder: Path) -> None:
    model = StaticModel.from_pretrained(folder)
    (folder / VOCABULARY_FILE).unlink()
    plain = StaticModel.from_pretrained(folder)
    assert isinstance(source(plain), str)
    found = source(model)
    assert isinstance(found, CompiledTokenizer)
    assert isinstance(found.arrays["slots"].base, np.memmap)
    assert model.stored.tokenizer_json == plain.stored.tokenizer_json
    assert (model.n_tokens, model.unk_token_id, model.tokens) == (plain.n_tokens, plain.unk_token_id, plain.tokens)
    for texts in (TEXTS, TEXTS * 9):
        assert model.encode(texts).tolist() == plain.encode(texts).tolist()
        assert model.tokenize(texts) == plain.tokenize(texts)
    assert [model.encode(text).tolist() for text in TEXTS] == plain.encode(TEXTS).tolist()


def test_the_library_is_loaded_for_a_text_that_needs_it(tmp_path: Path) -> None:
    code = """
import sys
from m2v_core import StaticModel
model = StaticModel.from_pretrained(sys.argv[1])
model.encode("good day")
model.encode([f"bad, sunny day{i}!" for i in range(1000)])
assert "tokenizers" not in sys.modules
model.encode("a [CLS]")
assert "tokenizers" in sys.modules
"""
    make_model().save_pretrained(tmp_path, compiled=True)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_copies_pickles_and_smaller_models(folder: Path, tmp_path: Path) -> None:
    model = StaticModel.from_pretrained(folder, memory_map=True)
    expected = model.encode(TEXTS).tolist()
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert isinstance(source(again), CompiledTokenizer)
        assert again.encode(TEXTS).tolist() == expected
    small = quantize_model(model, quantize_to="float16")
    small.save_pretrained(tmp_path / "small", compiled=True)
    read = StaticModel.from_pretrained(tmp_path / "small")
    assert isinstance(source(read), CompiledTokenizer)
    assert read.encode(TEXTS).tolist() == small.encode(TEXTS).tolist()


def test_a_save_without_it_removes_it(one: Path) -> None:
    assert VOCABULARY_FILE in OWNED_FILES
    model = StaticModel.from_pretrained(one, memory_map=True)
    expected = model.encode(TEXTS).tolist()
    model.save_pretrained(one)
    assert not (one / VOCABULARY_FILE).exists()
    assert isinstance(source(StaticModel.from_pretrained(one)), str)
    assert pickle.loads(pickle.dumps(model)).encode(TEXTS).tolist() == expected  # the files that were mapped live on
    model.save_pretrained(one, compiled=True)
    assert model.encode(TEXTS).tolist() == StaticModel.from_pretrained(one).encode(TEXTS).tolist() == expected


def test_many_threads_share_one_model(one: Path) -> None:
    model = StaticModel.from_pretrained(one)
    texts = [f"good{'y' * (i % 7)} <s> day {i}" for i in range(200)]
    expected = make_model("unigram").encode(texts).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert [vector.tolist() for vector in pool.map(model.encode, texts)] == expected


def test_a_pipeline(tmp_path: Path) -> None:
    plain = StaticModelPipeline.from_pretrained(GOLDEN / "heads" / "softmax")
    plain.save_pretrained(tmp_path / "m", compiled=True)
    pipeline = StaticModelPipeline.from_pretrained(tmp_path / "m")
    assert isinstance(source(pipeline.model), CompiledTokenizer)
    assert pipeline.predict(TEXTS).tolist() == plain.predict(TEXTS).tolist()
    pipeline.save_pretrained(tmp_path / "m")
    assert not (tmp_path / "m" / VOCABULARY_FILE).exists()


def test_unused_ids_and_an_unknown_token_that_looks_ordinary(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = json.loads(unigram())
    raw["model"]["unk_id"] = 5
    raw["added_tokens"].append(special("new", 60))
    n_tokens = len(raw["model"]["vocab"]) + 1
    text = json.dumps(raw)
    model = StaticModel(np.eye(n_tokens, dtype=np.float32), text)
    model.save_pretrained(tmp_path, compiled=True)
    caplog.clear()
    read = StaticModel.from_pretrained(tmp_path)
    assert "unknown token is '▁day'" in caplog.text
    assert read.encode(TEXTS).tolist() == model.encode(TEXTS).tolist()
    del raw["model"]["vocab"]
    vocab = {"[UNK]": 0, "a": 3, "b": 7}
    holes = file({"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}, pre_tokenizer={"type": "Whitespace"})
    model = StaticModel(np.eye(8, dtype=np.float32), holes)
    model.save_pretrained(tmp_path, compiled=True)
    read = StaticModel.from_pretrained(tmp_path)
    assert read._tokenizer.unused_ids.tolist() == [1, 2, 4, 5, 6]
    assert read.encode(["a b"]).tolist() == model.encode(["a b"]).tolist()


def test_another_tokenizer(one: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = one / "tokenizer.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()), indent=1))
    with caplog.at_level(logging.WARNING, "m2v_core"):
        model = StaticModel.from_pretrained(one)
    assert f"{one / VOCABULARY_FILE} is ignored: it was compiled from another tokenizer.json" in caplog.text
    assert f"m2v compile {one}" in caplog.text
    assert isinstance(source(model), str)
    assert model.encode(TEXTS).tolist() == make_model("unigram").encode(TEXTS).tolist()


def test_a_tokenizer_that_is_missing(one: Path) -> None:
    (one / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json is missing"):
        StaticModel.from_pretrained(one)


def test_a_newer_version(one: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = one / VOCABULARY_FILE
    save_file(load_file(path), path, {"version": "2", "tokenizer_digest": "", "checksum": ""})
    assert isinstance(source(StaticModel.from_pretrained(one)), str)
    assert "it is of version 2, and this m2v reads 1" in caplog.text


def test_a_tokenizer_overwritten_in_its_place(one: Path) -> None:
    model = StaticModel.from_pretrained(one)
    content = (one / "tokenizer.json").read_bytes()
    (one / "tokenizer.json").write_bytes(content.replace(b"day", b"dax"))  # the same file, of the same size
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json was overwritten after the model was loaded"):
        model.encode("<s>")


def test_a_tokenizer_that_was_cut_off(one: Path) -> None:
    """The process would end at a page of the map that the file has no longer."""
    (one / "tokenizer.json").write_text((one / "tokenizer.json").read_text() + " " * 20_000)
    compile_vocabulary(one)
    model = StaticModel.from_pretrained(one)
    again = pickle.loads(pickle.dumps(model))
    (one / "tokenizer.json").write_text("")
    with pytest.raises(ModelFormatError, match="overwritten after the model was loaded"):
        model.encode("<s>")
    assert again.encode("a <s>").any()


@pytest.mark.parametrize("make", [wordpiece, unigram, metaspace_bpe])
def test_every_byte_counts(make: Callable[[], str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A flipped bit anywhere: an error that names the file, or the file is ignored, never a result."""
    tokenizer, path = tmp_path / "tokenizer.json", tmp_path / VOCABULARY_FILE
    tokenizer.write_text(make(), encoding="utf-8")
    content = vocabulary_format.serialized(compiled(tokenizer.read_bytes(), "tokenizer.json"))
    path.write_bytes(content)
    assert vocabulary_format.read(path, tokenizer) is not None
    header = 8 + int.from_bytes(content[:8], "little")
    ignored = 0
    for place in [*range(header), *range(header, len(content), 7)]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        caplog.clear()
        try:
            found, message = vocabulary_format.read(path, tokenizer), ""
        except ModelFormatError as error:
            found, message = None, str(error)
        assert found is None
        if message:
            assert message.startswith(f"{path} is damaged: ")
            assert "m2v compile" in message
        else:
            assert "is ignored" in caplog.text
            ignored += 1
    assert 0 < ignored < 70  # the digits of the digest and of the version


@pytest.mark.parametrize("part", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file(one: Path, part: float) -> None:
    path = one / VOCABULARY_FILE
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ModelFormatError, match=rf"{VOCABULARY_FILE} is damaged: .*m2v compile"):
        StaticModel.from_pretrained(one)


def test_metadata_that_is_missing(one: Path) -> None:
    save_file(load_file(one / VOCABULARY_FILE), one / VOCABULARY_FILE)
    with pytest.raises(ModelFormatError, match="is damaged"):
        StaticModel.from_pretrained(one)


def changed(name: str, place: int | slice, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][place] = value

    return change


def full(arrays: dict[str, Any]) -> None:
    arrays["slots"] = np.where(arrays["slots"] == 0, 1, arrays["slots"])


def doubled(name: str) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name] = np.append(arrays[name], arrays[name])

    return change


def from_nowhere(arrays: dict[str, Any]) -> None:
    """An edge from a node that is not there, at the place where a search finds it."""
    slots = arrays["slots"].copy()
    free = int(np.flatnonzero(slots == 0)[-1])
    shift = shift_of(len(slots))
    keys = np.arange(free << 8, (free << 8) + 0x80) + 1
    places = slots_of(keys, shift)
    empty = np.flatnonzero(slots.take(places) == 0)[0]
    slots[places[empty]] = keys[empty]
    arrays["slots"] = slots


def over_the_end(arrays: dict[str, Any]) -> None:
    """An edge by the byte that stands after each word: a walk would go on in the next word."""
    slots = arrays["slots"].copy()
    key = np.array([0xFF + 1])
    place = int(slots_of(key, shift_of(len(slots)))[0])
    while slots[place]:
        place = (place + 1) % len(slots)
    slots[place] = key[0]
    arrays["slots"] = slots


def moved(arrays: dict[str, Any]) -> None:
    """An entry after a free slot, where no search finds it."""
    slots, ids = arrays["slots"].copy(), arrays["ids"].copy()
    place = int(np.flatnonzero(slots[1:])[0]) + 1
    free = np.flatnonzero(slots == 0)
    at = int(free[np.argmax((free - place) % len(slots) > 8)])
    slots[at], slots[place] = slots[place], 0
    ids[at], ids[place] = ids[place], -1
    arrays["slots"], arrays["ids"] = slots, ids


def at_a_free_slot(arrays: dict[str, Any]) -> None:
    changed("ids", int(np.flatnonzero(arrays["slots"] == 0)[-1]), 1)(arrays)


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.pop(name)


BOTH: list[Callable[[dict[str, Any]], None]] = [
    full,
    doubled("slots"),
    doubled("ids"),
    from_nowhere,
    over_the_end,
    moved,
    at_a_free_slot,
    changed("slots", 0, 0),
    without("slots"),
    without("ids"),
    changed("ids", 0, 1),
    changed("ids", -1, 1 << 30),
    changed("ids", -1, -2),
    changed("slots", slice(0, 8), 0xFFFF_FFFF),
    lambda arrays: arrays.update(slots=arrays["slots"][:-1]),
    lambda arrays: arrays.update(slots=arrays["slots"].reshape(2, -1)),
    lambda arrays: arrays.update(slots=np.zeros(8, np.uint32)),
    lambda arrays: arrays.update(ids=arrays["ids"].astype(np.int64)),
    lambda arrays: arrays.update(bytes=np.zeros(3, np.int64)),
]
WORDPIECE = [
    changed("sizes", -1, 1),
    changed("sizes", 2, -1),
    changed("sizes", 2, 1 << 20),
    without("sizes"),
    lambda arrays: arrays.update(sizes=arrays["sizes"][:0]),
    lambda arrays: arrays.update(sizes=arrays["sizes"][-3:]),
]
UNIGRAM = [
    changed("scores", 3, np.nan),
    changed("scores", 3, -np.inf),
    without("scores"),
    lambda arrays: arrays.update(scores=arrays["scores"][:9]),
]
BPE = [
    changed("merge_values", slice(None), 1 << 20),
    changed("results", 0, -1),
    changed("results", 0, 1 << 20),
    doubled("merge_values"),
    doubled("merge_keys"),
    changed("merge_keys", slice(None), 7),
    without("results"),
]


def written(tokenizer: Path, change: Callable[[CompiledTokenizer], CompiledTokenizer]) -> Path:
    """A vocabulary with a change, and a checksum that fits."""
    path = tokenizer.with_name(VOCABULARY_FILE)
    path.write_bytes(vocabulary_format.serialized(change(compiled(tokenizer.read_bytes(), "tokenizer.json"))))
    return path


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (make, change)
        for make, more in ((wordpiece, WORDPIECE), (unigram, UNIGRAM), (metaspace_bpe, BPE))
        for change in (*BOTH, *more)
    ],
)
def test_hostile_arrays(make: Callable[[], str], change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(make(), encoding="utf-8")

    def hostile(found: CompiledTokenizer) -> CompiledTokenizer:
        arrays = dict(found.arrays)
        change(arrays)
        return replace(found, arrays=arrays)

    path = written(tokenizer, hostile)
    with pytest.raises(ModelFormatError, match=rf"{VOCABULARY_FILE} is damaged: ") as error:
        vocabulary_format.read(path, tokenizer)
    assert "checksum" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (wordpiece, {"type": "Other"}),
        (wordpiece, {"unk_id": 1 << 20}),
        (wordpiece, {"unk_id": True}),
        (wordpiece, {"unk_id": -1}),
        (wordpiece, {"continuing": 1 << 20}),
        (wordpiece, {"prefix_bytes": -1}),
        (wordpiece, {"max_chars": "many"}),
        (wordpiece, {"more": 1}),
        (unigram, {"unk_id": -2}),
        (unigram, {"unk_id": None}),
        (metaspace_bpe, {"prefix": None}),
        (metaspace_bpe, {"fuse_unk": 1}),
        (metaspace_bpe, {"unk_id": -2}),
    ],
)
def test_hostile_settings(make: Callable[[], str], changes: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(make(), encoding="utf-8")
    path = written(tokenizer, lambda found: replace(found, settings={**found.settings, **changes}))
    with pytest.raises(ModelFormatError, match=rf"{VOCABULARY_FILE} is damaged: "):
        vocabulary_format.read(path, tokenizer)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_tokens": -1},
        {"n_tokens": 1 << 40},
        {"n_tokens": 3},
        {"n_tokens": "3"},
        {"unk_id": 1 << 20},
        {"unk_id": 0.0},
        {"ordinary_unknown": 3},
        {"outline": [1]},
        {"unused_ids": np.array([-1])},
        {"unused_ids": np.array([1 << 20])},
        {"unused_ids": np.array([[1]])},
    ],
)
def test_hostile_facts(changes: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(wordpiece(), encoding="utf-8")
    path = written(tokenizer, lambda found: replace(found, **changes))
    with pytest.raises(ModelFormatError, match=rf"{VOCABULARY_FILE} is damaged: "):
        vocabulary_format.read(path, tokenizer)


def test_a_search_without_end_is_refused() -> None:
    """A table of one long run is half empty, and each search would look at thousands of slots."""
    slots = np.zeros(1 << 14, np.uint32)
    slots[: 1 << 13], slots[0] = 1, ROOT
    ids = np.full(1 << 14, -1, np.int32)
    with pytest.raises(packed.BadVocabularyError, match="a search does not find"):
        packed.check({"type": "WordLevel", "unk_id": 0}, {"slots": slots, "ids": ids}, 3)


def test_sizes_that_lie_stay_inside_the_word() -> None:
    """They pass the checks, as would another id, but no access leaves the word."""
    from m2v_core.tokenize.words.build import model_of
    from m2v_core.tokenize.words.word_bytes import WordBytes, rows_of

    model = model_of({"type": "WordPiece", "vocab": {"u": 0, "a": 1, "ab": 2, "##b": 3}, "unk_token": "u"})
    settings, arrays = packed.packed(model)
    arrays["sizes"] = np.where(arrays["sizes"] > 0, 60_000, 0).astype(np.int32)
    packed.check(settings, arrays, 4)
    hostile = packed.unpacked(settings, arrays)
    assert isinstance(hostile, WordPiece)
    words = WordBytes.of(["abab", "a", "b", "abb"] * 10)
    assert len(rows_of(hostile.ids_at(words), words.starts)) == 40
    assert hostile.ids_of_one("abab") == [2]


def test_large_tables_are_checked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from m2v_core.tokenize.words.build import model_of

    vocab = {f"token{index}": index for index in range(3000)}
    settings, arrays = packed.packed(model_of({"type": "WordLevel", "vocab": vocab, "unk_token": "token0"}))
    monkeypatch.setattr(packed, "_CHUNK", 64)
    packed.check(settings, arrays, 3000)
    for place in np.flatnonzero(arrays["slots"])[::97]:
        damaged = arrays["slots"].copy()
        damaged[place] = 0
        with pytest.raises(packed.BadVocabularyError):
            packed.check(settings, {**arrays, "slots": damaged}, 3000)


@pytest.mark.parametrize(
    ("tokenizer", "why"),
    [
        (edited(unigram(), pre_tokenizer=None), "no pre-tokenizer"),
        (edited(unigram(), normalizer={"type": "StripAccents"}, pre_tokenizer={"type": "Digits"}), "pre-tokenizer"),
        (edited(wordpiece(), pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}, {"type": "Digits", "individual_digits": True}]}), "unknown kind"),
        (edited(unigram(), added=[special("new", 90), special("more", 80)]), "versions of the tokenizers library"),
    ],
)  # fmt: skip
def test_what_cannot_be_compiled_says_why(tokenizer: str, why: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"x: the vocabulary cannot be compiled: .*{why}"):
        compiled(tokenizer.encode(), "x")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_model().save_pretrained(tmp_path / "m")
    path = tmp_path / "m" / VOCABULARY_FILE
    assert main(["compile", str(tmp_path / "m"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(path), "bytes": path.stat().st_size}
    assert isinstance(source(StaticModel.from_pretrained(tmp_path / "m")), CompiledTokenizer)
    assert main(["compile", str(tmp_path / "m")]) == 0
    assert capsys.readouterr().err.startswith(f"{path}: 0.0 MB")
    assert main(["compile", str(tmp_path / "m"), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["compile", "org/name"]) == 1
    assert "m2v pull ORG/NAME --out FOLDER" in capsys.readouterr().err
    assert main(["compile", str(tmp_path)]) == 1
    assert "is missing" in capsys.readouterr().err


def test_another_layout_is_saved_first(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InvalidInputError, match="another layout"):
        compile_vocabulary(tmp_path)
