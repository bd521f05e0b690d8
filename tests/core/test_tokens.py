"""Ids equal those of the tokenizers library on any text."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import GOLDEN, make_model
from m2v_core import InvalidInputError, ModelFormatError, StaticModel
from m2v_core.cli.info import describe
from m2v_core.storage import vocabulary_format
from m2v_core.tokenize import tokens
from m2v_core.tokenize.backend import Backend, json_of
from m2v_core.tokenize.compiled import compiled
from m2v_core.tokenize.splitting import CannotSplitError
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.tokenize.vocabulary import Vocabulary
from tokenizer_files import KINDS, SPACES, file, special, unigram, wordlevel, wordpiece

NEW_API = not hasattr(tokenizers.Tokenizer, "from_str")
TOKENIZERS = {kind: TextTokenizer(make()) for kind, make in SPACES.items()}


def with_our_models(tokenizer_json: str) -> TextTokenizer:
    """A tokenizer as for a large vocabulary: words by our own models, where these know its kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "LARGE_VOCABULARY", 0)
        return TextTokenizer(tokenizer_json)


def with_compiled_vocabulary(tokenizer_json: str) -> TextTokenizer:
    """Words by our own models out of a file, where these know its kind."""
    with TemporaryDirectory() as folder:
        path, vocabulary = Path(folder, "tokenizer.json"), Path(folder, "vocabulary.safetensors")
        path.write_bytes(tokenizer_json.encode())
        try:
            vocabulary.write_bytes(vocabulary_format.serialized(compiled(path.read_bytes(), str(path))))
        except InvalidInputError:
            return with_our_models(tokenizer_json)
        found = vocabulary_format.read(vocabulary, path)
    assert found is not None
    return TextTokenizer(found)


TOKENIZERS |= {f"{kind}, compiled": with_compiled_vocabulary(make()) for kind, make in SPACES.items()}

#: What rules about spaces, marks, case, normal forms and added tokens trip over.
AWKWARD = [
    "good",
    "day",
    "Good",
    "DAY",
    "a",
    "b",
    "e",
    "é",
    "é",
    "́",
    "ͅ",
    "\u200b",
    "\u200d",
    "️",
    "\xa0",
    "\u3000",
    "\t",
    "\n",
    "\r\n",
    "\x00",
    "\x1f",
    "\x85",
    "\u2028\n日",
    "本",
    "日本",
    "[CLS]",
    "[UNK]",
    "<mask>",
    "<s>",
    "ab",
    "sun",
    "▁",
    "▁▁",
    "Ġ",
    "'s",
    "!",
    "...",
    "…",
    "´",
    "ͺ",
    "İ",
    "I",
    "ı",
    "ß",
    "Σ",
    "ΟΔΟΣ",
    "ς",
    "ﬁ",
    "ａ",
    "1",
    "22",
    "3333",
    "😀",
    "👨\u200d👩\u200d👧",
    "🇩🇪",
    "\ufeff\n\u0600",
    "ൎ",
    "שלום",
    "ـ",
    "مرحبا",
    "ᅟ",
    "ㅤ",
    "�",
    "ẛ̣",
    "ẛ̣",
    "가",
    "가",
    "🏽",
    "\U000e0067",
]
AWKWARD += ["<pad>", "<", "＜", "pad", "ᵖad", ">", "＞", "≺\u0338", "℗", "<pa", "d>", "<\x07pad", "<3"]
AWKWARD += [" ", "  ", "   ", "good day", "x" * 120, "good" * 70]
TEXT = (
    st.lists(st.sampled_from(AWKWARD) | st.just(" "), max_size=12).map("".join)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
    | st.text("good day[]UNKCLS!\t\n\x00́ İß", max_size=60)
)


def oracle(tokenizer: TextTokenizer, text: str) -> list[int]:
    """The library's own ids: specials off, unknown removed."""
    ids = tokenizer.backend.encode(text, add_special_tokens=False).ids
    return [index for index in ids if index != tokenizer.unk_id]


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
@given(texts=st.lists(TEXT, max_size=30), max_length=st.none() | st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_ids_equal_the_library(kind: str, texts: list[str], max_length: int | None) -> None:
    tokenizer = TOKENIZERS[kind]
    expected = [oracle(tokenizer, text)[:max_length] for text in texts]
    # Up to 24 texts go one way, more another.
    for given_texts in (texts[:20], [*texts, *["good"] * 25]):
        found = [row.tolist() for row in tokenizer(given_texts, max_length)]
        assert len(found) == len(given_texts)
        assert found[: len(texts)] == expected[: len(given_texts)]
    assert [tokenizer.one(text, max_length).tolist() for text in texts] == expected


#: Parts of texts in which a padding token may appear, or not quite.
AROUND_PAD = [
    "<",
    "＜",
    "≺\u0338",
    "p",
    "ᵖ",
    "ad",
    ">",
    "＞",
    "℗",
    "<pad>",
    "\u200b",
    "\x07",
    "\t",
    "\u3000",
    "´",
    "\u0301",
]
AROUND_PAD += [" ", "  ", "a", "day", "é", "▁", "<s>", "\n"]


@pytest.mark.parametrize("kind", [kind for kind in sorted(TOKENIZERS) if "pad" in kind])
@given(texts=st.lists(st.lists(st.sampled_from(AROUND_PAD), max_size=12).map("".join), min_size=1, max_size=30))
@settings(max_examples=400, deadline=None)
def test_a_token_in_normalised_text(kind: str, texts: list[str]) -> None:
    """It takes the spaces around it, also after a piece that becomes it, and never two pieces together."""
    tokenizer = TOKENIZERS[kind]
    assert not isinstance(tokenizer.splitting, CannotSplitError)
    expected = [oracle(tokenizer, text) for text in texts]
    assert [row.tolist() for row in tokenizer([*texts, *["day"] * 25], None)][: len(texts)] == expected
    assert [tokenizer.one(text, None).tolist() for text in texts] == expected


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
def test_ids_equal_the_library_on_whole_texts(kind: str, data, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind not in SPACES:
        monkeypatch.setattr(tokens, "LARGE_VOCABULARY", 0)
    tokenizer = TextTokenizer(TOKENIZERS[kind].json)
    texts = (data / "te_emoji_train_text.txt").read_text().split("\n")[:2000]
    for language in ("de", "ru", "ja", "zh"):
        texts += (data / f"stsb-{language}-dev.csv").read_text().split("\n")[::6]
    expected = [oracle(tokenizer, text) for text in texts]
    for _ in range(2):  # cold, warm
        assert [row.tolist() for row in tokenizer(texts, None)] == expected


@pytest.mark.parametrize("cache_bytes", [0, 1, 20_000])
def test_ids_do_not_depend_on_what_is_remembered(cache_bytes: int) -> None:
    tokenizer = TextTokenizer(wordpiece(), cache_bytes=cache_bytes)
    for size in (3, 50):
        for start in range(0, 2000, size):
            texts = [f"good{index} day{index % 7} {'a' * (index % 300)}" for index in range(start, start + size)]
            ids = tokenizer(texts, None)
            assert [row.tolist() for row in ids] == [oracle(tokenizer, text) for text in texts]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_ids_are_the_same_in_every_version(kind: str) -> None:
    golden = json.loads((GOLDEN / "ids.json").read_text())
    tokenizer = TOKENIZERS[kind]
    for text, expected in zip(golden["texts"], golden[kind], strict=True):
        assert tokenizer([text], None).values.tolist() == [i for i in expected if i != tokenizer.unk_id], text


def test_unknown_goes_before_the_cut() -> None:
    tokenizer = TextTokenizer(wordlevel())
    ids = tokenizer(["nothing good nothing day nothing bad"], 2)
    assert ids.values.tolist() == [1, 2]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_truncation_and_padding_in_the_file_are_not_obeyed(kind: str) -> None:
    raw = json.loads(KINDS[kind]())
    raw["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    raw["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    texts = ["good day good day", ""]
    for made, plain in zip(TextTokenizer(json.dumps(raw))(texts, None), TOKENIZERS[kind](texts, None), strict=True):
        assert made.tolist() == plain.tolist()


def test_vocabulary_of_each_kind() -> None:
    assert Vocabulary.from_json(KINDS["wordpiece"]()).unk_id == 1
    assert Vocabulary.from_json(KINDS["wordlevel"]()) == Vocabulary(("[UNK]", "good", "day", "bad"), 0)
    assert Vocabulary.from_json(KINDS["byte_bpe"]()).unk_id is None
    assert Vocabulary.from_json(KINDS["unigram"]()).tokens[3:5] == ("<unk>", "▁good")
    assert Vocabulary.from_json(KINDS["unigram"]()).unk_id == 3


def test_added_tokens_count_as_tokens() -> None:
    raw = json.loads(wordlevel())
    raw["added_tokens"] = [special("[NEW]", 4)]
    assert Vocabulary.from_json(json.dumps(raw)).tokens[-1] == "[NEW]"
    assert TextTokenizer(json.dumps(raw))(["day[NEW]"], None).values.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("no json", "expected a tokenizer"),
        ("[]", "expected a tokenizer"),
        ("{}", "expected a tokenizer"),
        ('{"model": {"vocab": {"a": "x"}}}', "token ids"),
        ('{"model": {"vocab": {"a": 0, "b": -2}}}', "found -2 for 'b'"),
        ('{"model": {"vocab": {"a": 0, "b": true}}}', "found True for 'b'"),
        ('{"model": {"vocab": {"a": 0, "b": 1000000000}}}', "from 0 to 16777215, .* found 1000000000 for 'b'"),
        ('{"model": {"vocab": {"a": 0}, "type": "Nonsense"}}', "cannot read it"),
    ],
)
def test_broken_files_are_named(text: str, part: str) -> None:
    with pytest.raises(ModelFormatError, match=part) as caught:
        TextTokenizer(text, "here/tokenizer.json")
    assert "here/tokenizer.json" in str(caught.value)


def test_bad_texts_are_named() -> None:
    tokenizer = TOKENIZERS["wordpiece"]
    with pytest.raises(InvalidInputError, match="text 1 has a lone surrogate"):
        tokenizer(["fine", "bad \ud800"], None)
    with pytest.raises(InvalidInputError, match="int at index 0"):
        tokenizer([3], None)  # type: ignore[list-item]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_tokenizer_object_gives_its_file(kind: str, tmp_path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(KINDS[kind](), encoding="utf-8")
    assert json_of(path.read_text(encoding="utf-8")) == KINDS[kind]()
    vectors = np.ones((TOKENIZERS[kind].n_tokens, 2), np.float32)
    assert StaticModel(vectors, path).stored.tokenizer_json == KINDS[kind]()
    made = json_of(TOKENIZERS[kind].backend)
    assert Vocabulary.from_json(made) == Vocabulary.from_json(KINDS[kind]())
    texts = ["good day", "Ünable 日本 \x00", "[CLS]"]
    assert TextTokenizer(made)(texts, None).values.tolist() == TOKENIZERS[kind](texts, None).values.tolist()


@pytest.mark.skipif(not NEW_API, reason="tokenizers 0.2x gives back the file as it was")
def test_a_tokenizer_object_of_1x_cannot_be_saved(tmp_path) -> None:
    model = make_model()
    again = StaticModel(model.embedding, model.tokenizer)
    assert again.encode("good day").tolist() == model.encode("good day").tolist()
    with pytest.raises(InvalidInputError, match=r"version 2\.0.*Path"):
        again.save_pretrained(tmp_path / "m")
    StaticModel(model.embedding, model.stored.tokenizer_json).save_pretrained(tmp_path / "m")


def test_a_tokenizer_of_another_library_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="found int"):
        json_of(3)  # type: ignore[arg-type]


def test_a_tokenizer_file_that_is_missing(tmp_path) -> None:
    with pytest.raises(InvalidInputError, match=r"Expected a file; found .*no such file"):
        StaticModel(np.ones((1, 2), np.float32), tmp_path / "tokenizer.json")


def test_the_callers_tokenizer_is_left_alone(tmp_path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(wordpiece(), encoding="utf-8")
    theirs = tokenizers.Tokenizer.from_file(str(path))
    if NEW_API:
        theirs.truncation = tokenizers.Truncation(max_length=2)
    else:
        theirs.enable_truncation(2)
    n_tokens = len(Vocabulary.from_json(wordpiece()).tokens)
    model = StaticModel(np.ones((n_tokens, 2), np.float32), theirs)
    assert len(model.tokenize("good day good day")) == 4
    assert len(theirs.encode("good day good day", add_special_tokens=False).ids) == 2


def test_many_threads_share_one_tokenizer() -> None:
    tokenizer = TOKENIZERS["wordpiece"]
    texts = [["good day " * n, "bad", "x"] for n in range(40)]
    limits = [None, 1, 3, 17]
    jobs = [(batch, limit) for batch in texts for limit in limits]
    alone = [tokenizer(*job)[0].tolist() for job in jobs]
    with ThreadPoolExecutor(8) as workers:
        assert list(workers.map(lambda job: tokenizer(*job)[0].tolist(), jobs)) == alone


def test_eight_threads_learn_the_same_words_at_once() -> None:
    texts = [f"good{index % 997} sunny{index % 89} day {index}" for index in range(4000)]
    expected = TextTokenizer(wordpiece(), cache_bytes=0)(texts, None).values.tolist()
    for cache_bytes in (30_000, 2**24):
        tokenizer = TextTokenizer(wordpiece(), cache_bytes=cache_bytes)

        def job(start: int, tokenizer: TextTokenizer = tokenizer) -> list[int]:
            size = (1, 3, 60, 500)[start // 500 % 4]
            return [
                index
                for first in range(start, start + 500, size)
                for index in tokenizer(texts[first : min(first + size, start + 500)], None).values.tolist()
            ]

        with ThreadPoolExecutor(8) as workers:
            for _ in range(3):
                found = list(workers.map(job, range(0, 4000, 500)))
                assert [index for part in found for index in part] == expected


def test_a_pickled_tokenizer_gives_the_same_ids() -> None:
    tokenizer = TextTokenizer(wordpiece(), cache_bytes=1000)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.cache_bytes == 1000
    assert again(["good day"] * 40, None).values.tolist() == tokenizer(["good day"] * 40, None).values.tolist()


def test_an_unknown_token_that_is_an_ordinary_piece(caplog: pytest.LogCaptureFixture) -> None:
    """Students that others saved may leave every full stop out: read as they are, and told of."""
    raw = json.loads(unigram())
    assert TextTokenizer(unigram()).ordinary_unknown is None
    raw["model"]["unk_id"] = 4
    odd = TextTokenizer(json.dumps(raw))
    assert odd.ordinary_unknown == "▁good"
    assert odd.unk_id == 4
    model = StaticModel(np.zeros((len(raw["model"]["vocab"]), 2), np.float32), json.dumps(raw))
    assert "looks like an ordinary piece" in caplog.text
    assert describe(model)["unknown_token"] == "▁good (an ordinary piece, removed from every text)"


@pytest.mark.parametrize(("repeats", "size"), [(256, 255), (257, 255), (256, 256), (600, 256), (300, 400)])
def test_a_piece_with_more_ids_than_the_cache_counts(repeats: int, size: int) -> None:
    """A normalizer makes more than 65,535 ids of a short word; each batch finds them, the second one in the cache."""
    empty = dict.fromkeys(("dropout", "continuing_subword_prefix", "end_of_word_suffix", "unk_token"))
    tokenizer = file(
        {"type": "BPE", "vocab": {"b": 0, "c": 1}, "merges": [], "fuse_unk": False, "byte_fallback": False, **empty},
        normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "b" * repeats},
        pre_tokenizer={"type": "WhitespaceSplit"},
    )
    ours, texts = TextTokenizer(tokenizer), [f"c {'a' * size} c", "cc c", *["c"] * 30]
    expected = Backend(tokenizer, "x").ids_of_texts(texts)
    for _ in range(2):
        found = ours(texts, None)
        assert np.array_equal(found.values, expected.values)
        assert np.array_equal(found.offsets, expected.offsets)
    assert np.array_equal(ours.one(texts[0], None), expected[0])
