"""Words to ids by our own models: the same as the tokenizers library's, for random vocabularies and words."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import GOLDEN, make_model
from m2v_core.ragged import Ragged
from m2v_core.tokenize import tokens
from m2v_core.tokenize.backend import IS_IMMUTABLE, Backend
from m2v_core.tokenize.charsmap import CharsMap, UnknownMapError
from m2v_core.tokenize.words.build import UNSPELT, CannotModelError, model_of
from m2v_core.tokenize.words.piece_encoder import PieceEncoder
from m2v_core.tokenize.words.prepare import LibraryRule, ascii_rule
from m2v_core.tokenize.words.table import Table
from m2v_core.tokenize.words.trie import Trie
from m2v_core.tokenize.words.unigram import Unigram
from m2v_core.tokenize.words.word_bytes import WordBytes, rows_of
from m2v_core.tokenize.words.wordpiece import WordPiece
from tokenizer_files import charsmap

CHARS = "abcé日😀"
WORD = st.text(CHARS, min_size=1, max_size=9)
PART = st.text(CHARS, min_size=1, max_size=4)
ASCII = [chr(code) for code in range(32, 127)]
BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}


def library(model: dict[str, Any]) -> Backend:
    parts = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    return Backend(json.dumps({"version": "1.0", **parts, "added_tokens": [], "model": model}), "tokenizer.json")


def rows(ids: Ragged) -> list[list[int]]:
    return [ids[index].tolist() for index in range(len(ids))]


def check(model: dict[str, Any], words: list[str]) -> None:
    """All words at once, and each alone, against the library."""
    ours, theirs = model_of(model), rows(library(model).ids_of_texts(words))
    if isinstance(ours, WordPiece | Unigram):
        many = WordBytes.of(words * 20)  # a few are taken one by one
        assert rows(rows_of(ours.ids_at(many), many.starts)) == theirs * 20
    else:
        assert rows(ours.ids_of(words)) == theirs
    assert [ours.ids_of_one(word) for word in words] == theirs
    if isinstance(ours, WordPiece):  # as a large vocabulary or a compiled one does it
        assert [replace(ours, tokens=None).ids_of_one(word) for word in words] == theirs


@settings(deadline=None, max_examples=150)
@given(
    first=st.lists(PART, max_size=15),
    others=st.lists(PART, max_size=15),
    words=st.lists(WORD, min_size=1, max_size=8),
    max_chars=st.sampled_from([3, 8, 100]),
)
def test_wordpiece(first: list[str], others: list[str], words: list[str], max_chars: int) -> None:
    tokens = dict.fromkeys(["[UNK]", *first, *(f"##{part}" for part in others)])
    model = {
        "type": "WordPiece",
        "vocab": {token: index for index, token in enumerate(tokens)},
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": max_chars,
    }
    check(model, [*words, "##a", "#", "##"])


@settings(deadline=None, max_examples=150)
@given(
    scores=st.dictionaries(PART, st.sampled_from([-1.0, -2.0, -2.5, -3.0, -4.0, -30.0]), max_size=30),
    words=st.lists(WORD, min_size=1, max_size=8),
    bytes_=st.one_of(st.none(), st.sets(st.integers(0, 255), max_size=3)),
)
def test_unigram_with_ties_and_byte_tokens(scores: dict[str, float], words: list[str], bytes_: set[int] | None) -> None:
    vocab = [["<unk>", 0.0], *([token, score] for token, score in scores.items())]
    if bytes_ is not None:
        vocab += [[f"<0x{byte:02X}>", -5.0] for byte in range(256) if byte not in bytes_]
    model = {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": bytes_ is not None}
    check(model, words)


def test_unigram_with_long_words() -> None:
    vocab = [["<unk>", 0.0], ["a", -1.0], ["ab", -1.5], ["日", -2.0], ["aaa", -2.5], *([c, -3.0] for c in "bc")]
    words = ["abc" * 30_000, "a", "日" * 1000, "x" * 3000, "", "ab", "bé" * 1024, "ab" * 1023, "aab"]
    check({"type": "Unigram", "unk_id": 0, "vocab": vocab}, words)


@st.composite
def bpe_models(draw: st.DrawFn) -> dict[str, Any]:
    """Any; with tokenizers 1.x, which knows no prefixes and suffixes, the common kind."""
    prefix, suffix = draw(st.sampled_from([("", ""), ("", "</w>"), ("##", "")][: 1 if IS_IMMUTABLE else 3]))
    fallback = draw(st.booleans()) and not IS_IMMUTABLE
    tokens = ["<unk>", *([f"<0x{byte:02X}>" for byte in range(256)] if fallback else [])]
    for char in draw(st.lists(st.sampled_from(CHARS), unique=True, min_size=1)):
        tokens += dict.fromkeys([char, prefix + char, char + suffix, prefix + char + suffix])
    parts, merges = [token for token in tokens if token[0] != "<"], []
    for _ in range(draw(st.integers(0, 20))):
        left, right = draw(st.sampled_from(parts)), draw(st.sampled_from(parts))
        if not right.startswith(prefix) or (suffix and left.endswith(suffix)) or [left, right] in merges:
            continue
        merges.append([left, right])
        if (merged := left + right[len(prefix) :]) not in tokens:
            tokens.append(merged)
            parts.append(merged)
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": draw(st.sampled_from([None, "<unk>"])),
        "continuing_subword_prefix": prefix or None,
        "end_of_word_suffix": suffix or None,
        "fuse_unk": draw(st.booleans()),
        "byte_fallback": fallback,
        "ignore_merges": draw(st.booleans()),
        "vocab": {token: index for index, token in enumerate(tokens)},
        "merges": merges,
    }


@settings(deadline=None, max_examples=200)
@given(model=bpe_models(), words=st.lists(WORD, min_size=1, max_size=8))
def test_bpe(model: dict[str, Any], words: list[str]) -> None:
    check(model, words)


def test_wordlevel() -> None:
    model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1, "日本": 2}, "unk_token": "[UNK]"}
    check(model, ["a", "日本", "日", "ab"])


SIMILAR = st.lists(st.sampled_from([b"\0", b"a", b"\xff", b"abcdefgh", b"\0" * 8]), min_size=1, max_size=6).map(
    b"".join
)


@given(
    st.dictionaries(st.binary(min_size=1, max_size=6) | SIMILAR, st.integers(0, 99), max_size=30),
    st.binary(max_size=12) | SIMILAR,
)
def test_a_trie_finds_every_prefix(tokens: dict[bytes, int], text: bytes) -> None:
    trie = Trie.of(list(tokens), list(tokens.values()))
    expected = [(end, tokens[text[:end]]) for end in range(1, len(text) + 1) if text[:end] in tokens]
    assert trie.walk(text) == expected


@settings(deadline=None)
@given(st.lists(st.text("\0\na" + "".join(map(chr, range(20, 33))), max_size=4), unique=True, max_size=40))
def test_tokens_of_any_characters(tokens: list[str]) -> None:
    """Also of those that would stand between tokens when all are encoded at once; an empty one is in no word."""
    model = model_of({"type": "WordLevel", "vocab": {token: i for i, token in enumerate(tokens)}, "unk_token": None})
    assert [model.ids_of_one(token) for token in tokens] == [[i] if token else [] for i, token in enumerate(tokens)]


@given(st.dictionaries(st.integers(0, 2**50), st.integers(0, 2**31 - 1), max_size=50), st.lists(st.integers(0, 2**50)))
def test_a_table_finds_what_is_in_it(values: dict[int, int], others: list[int]) -> None:
    table = Table.of(np.array([*values], np.int64), np.array([*values.values()], np.int64))
    keys = [*values, *others]
    expected = [values.get(key, -1) for key in keys]
    assert table.find(np.array(keys, np.int64)).tolist() == [table.one(key) for key in keys] == expected


NORMALIZERS: dict[str, Any] = {
    "none": None,
    "bert": {**BERT, "lowercase": True},
    "bert-cased": {**BERT, "lowercase": False},
    "nfkc-lower": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]},
    "spaces": {
        "type": "Sequence",
        "normalizers": [{"type": "Nmt"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}],
    },
    "quotes": {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
}
SPLITTERS: dict[str, Any] = {
    **{kind: {"type": kind} for kind in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit")},
    **{
        f"Metaspace-{scheme}": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}
        for scheme in ("always", "first", "never")
    },
    "WhitespaceSplit-Metaspace": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        ],
    },
    **{
        f"ByteLevel-{prefix}": {
            "type": "ByteLevel",
            "add_prefix_space": prefix,
            "trim_offsets": True,
            "use_regex": True,
        }
        for prefix in (False, True)
    },
}


@pytest.mark.skipif(IS_IMMUTABLE, reason="tokenizers 1.x does not tell the words of a text")
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("splitter", SPLITTERS)
def test_words_of_ascii(normalizer: str, splitter: str) -> None:
    """Every pair of printable characters, and longer pieces with the spaces before them."""
    raw = {"version": "1.0", "normalizer": NORMALIZERS[normalizer], "pre_tokenizer": SPLITTERS[splitter]}
    ours, theirs = ascii_rule(raw), LibraryRule(raw)
    if ours is None:  # a mark that is no ASCII, and no Metaspace
        assert normalizer == "spaces"
        return
    generator = np.random.default_rng(0)
    pieces = [first + second for first in ASCII for second in ASCII[1:]]
    for _ in range(1500):
        alphabet = ASCII[1:] if generator.random() < 0.5 else list("abcAB01'.sStT")
        word = "".join(generator.choice(alphabet, generator.integers(1, 9)))
        pieces.append(" " * int(generator.integers(0, 4)) + word)
    pieces += [" ", "  ", "   ", "don't", " I'LL've"]
    assert [piece for piece in pieces if ours(piece) != theirs(piece)] == []


def test_a_character_map() -> None:
    encoded = charsmap({"\t": " ", "a": "xy", "\x07": ""})
    found = CharsMap.of(encoded).ascii()
    assert {char: text for char, text in found.items() if text != char} == {"\t": " ", "a": "xy", "\x07": ""}
    if not IS_IMMUTABLE:
        from tokenizers.normalizers import Precompiled

        theirs = Precompiled(base64.b64decode(encoded))
        assert [theirs.normalize_str(char) for char in ASCII] == [found[char] for char in ASCII]
    for damaged in ("not base64", base64.b64encode(b"\x40\0\0\0").decode()):
        with pytest.raises(UnknownMapError):
            CharsMap.of(damaged)
    splitter = SPLITTERS["Metaspace-always"]
    for text, rule in (("\t", True), ("a", False)):
        raw = {"normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap({text: " "})}}
        assert (ascii_rule({**raw, "pre_tokenizer": splitter}) is not None) == rule


def test_unknown_kinds_are_left_to_the_library() -> None:
    model = {"type": "WordPiece", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
    for change in (
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"pre_tokenizer": {"type": "Digits", "individual_digits": True}},
        {"pre_tokenizer": None},
        {"model": {"type": "Unigram", "vocab": [["a", 0.0], ["a", -1.0]], "unk_id": 0}},
        {"model": {"type": "Unigram", "vocab": [["a", float("nan")]], "unk_id": 0}},
        {"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": None}},
        {"model": {"type": "New"}},
        {"model": {}},
    ):
        raw = {"pre_tokenizer": {"type": "BertPreTokenizer"}, "normalizer": None, "model": model, **change}
        with pytest.raises(CannotModelError):
            PieceEncoder(raw)


def test_what_has_no_unknown_token_is_left() -> None:
    raw = {
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "normalizer": None,
        "model": {"type": "WordPiece", "vocab": {"a": 0}},
    }
    ids, left = PieceEncoder(raw).ids_of(["a", "b", "a"])
    assert (rows(ids), left) == ([[0], [], [0]], [1])
    assert model_of(raw["model"]).unk_id == UNSPELT  # type: ignore[arg-type, union-attr]


def test_pieces_with_added_tokens_are_left() -> None:
    added = [
        {"id": 0, "content": "[UNK]", "normalized": False, "special": True},
        {"id": 2, "content": "Good", "normalized": True, "special": False},
    ]
    raw = {
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "normalizer": {**BERT, "lowercase": True},
        "added_tokens": added,
        "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1, "Good": 2}, "unk_token": "[UNK]"},
    }
    assert PieceEncoder(raw).ids_of(["a", "a[UNK]", "GOODa", "g"])[1] == [1, 2]


def test_a_large_vocabulary_needs_no_tokenizers_library() -> None:
    """Nor does the import: the library takes time and memory."""
    code = (
        "import sys; from m2v_core import StaticModel; assert 'tokenizers' not in sys.modules; "
        "from m2v_core.tokenize import tokens; tokens.LARGE_VOCABULARY = 0; "
        f"model = StaticModel.from_pretrained({str(GOLDEN / 'heads' / 'softmax')!r}); model.encode('good day'); "
        "model.encode(['bad, sunny days!'] * 100); assert 'tokenizers' not in sys.modules; model.tokenizer; "
        "assert 'tokenizers' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_load_the_library_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that needs the whole tokenizer may come to several threads at the same time."""
    monkeypatch.setattr(tokens, "LARGE_VOCABULARY", 0)
    model, built = make_model(), []
    monkeypatch.setattr(Backend, "__init__", counted(Backend.__init__, built))
    texts = [f"good [UNK] day {i}" for i in range(8)]
    expected = [make_model().encode(text) for text in texts]
    built.clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(model.encode, texts))
    assert len(built) == 1
    assert np.array_equal(found, expected)


def counted(function: Any, calls: list[int]) -> Any:
    def counting(*args: Any) -> None:
        calls.append(1)
        function(*args)

    return counting


def test_many_small_texts_build_our_own_model() -> None:
    model = make_model("byte_bpe")
    expected = make_model("byte_bpe").encode([f"good day{'s' * (i % 9)} {i}" for i in range(200)])
    assert model._tokenizer._piece_encoder is None
    found = [model.encode(f"good day{'s' * (i % 9)} {i}") for i in range(200)]
    assert model._tokenizer._piece_encoder is not None
    assert np.array_equal(found, expected)
