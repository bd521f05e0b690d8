"""Many pieces to words by their characters: as the tokenizers library has it."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core.tokenize.backend import IS_IMMUTABLE, Backend
from m2v_core.tokenize.words import characters
from m2v_core.tokenize.words.characters import characters_of, stands_alone
from m2v_core.tokenize.words.piece_encoder import PieceEncoder
from m2v_core.tokenize.words.prepare import LibraryRule
from tokenizer_files import charsmap

BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
MAP = charsmap({"ａ": "a", "ﬁ": "fi", "é": "É", "あ": "い", "\t": " ", "e\u0301": "é", "｜": "|"})
NORMALIZERS: dict[str, Any] = {
    "none": None,
    "bert": {**BERT, "lowercase": True},
    "bert-cased": {**BERT, "lowercase": False},
    "bert-accents": {**BERT, "lowercase": True, "strip_accents": False, "handle_chinese_chars": False},
    "nfkc": {"type": "NFKC"},
    "nfd": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]},
    "map": {"type": "Precompiled", "precompiled_charsmap": MAP},
    "albert": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
            {"type": "Replace", "pattern": {"String": "é"}, "content": "e"},
            {"type": "NFKD"},
            {"type": "StripAccents"},
            {"type": "Lowercase"},
            {"type": "Precompiled", "precompiled_charsmap": MAP},
        ],
    },
    "spaces": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Nmt"},
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ],
    },
}
MARK = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
SPLITTERS: dict[str, Any] = {
    "bert": {"type": "BertPreTokenizer"},
    "whitespace": {"type": "Whitespace"},
    "split": {"type": "WhitespaceSplit"},
    "marks": MARK,
    "never": {**MARK, "prepend_scheme": "never"},
    "both": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, MARK]},
}
SETTLED = [
    char for first, last in characters._SETTLED for char in map(chr, range(first, last + 1)) if stands_alone(char)
]
ALPHABET = "abAZ09.,'_-#@|éÉßñÀłøΣσςάЖйё¿…“—½ｆａあがアガー日本中韓한국ﬁİŉ😀👍▁⁀€´¨\u0301\u0308\u3099\ufe0f\u200d🏽🇩\u00ad\u0e33\u1161\u11a8\uff9eא"
PIECE = st.text(st.sampled_from(ALPHABET), min_size=1, max_size=8)


def raw_of(normalizer: str, splitter: str, model: dict[str, Any] | None = None) -> dict[str, Any]:
    rest = dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
    parts = {"normalizer": NORMALIZERS[normalizer], "pre_tokenizer": SPLITTERS[splitter]}
    return {"version": "1.0", **rest, **parts, "added_tokens": [], "model": model}


@pytest.mark.skipif(IS_IMMUTABLE, reason="tokenizers 1.x does not tell the words of a text")
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("splitter", SPLITTERS)
def test_what_settled_characters_become(normalizer: str, splitter: str) -> None:
    """The rule that needs no library says the same as the library, wherever it says that a character stands alone."""
    raw = raw_of(normalizer, splitter)
    found = characters_of(raw, LibraryRule(raw), "")
    assert found[0] is not None
    is_chinese_marked = splitter == "both" and normalizer.startswith("bert")
    step = 1 if (normalizer, splitter) in (("bert", "bert"), ("nfkc", "whitespace"), ("map", "both")) else 23
    different = [char for char in SETTLED[::step] if told(found[0]._known(char)) != told(found[0]._asked(char))]
    assert [char for char in different if not (is_chinese_marked and "一" <= char <= "龥")] == []


@pytest.mark.skipif(IS_IMMUTABLE, reason="tokenizers 1.x does not tell the words of a text")
def test_what_is_removed() -> None:
    raw = raw_of("bert", "bert")
    library, rule = LibraryRule(raw), characters_of(raw, LibraryRule(raw), "")[0]
    assert rule is not None
    for char in (chr(code) for first, last in characters._REMOVED for code in range(first, last + 1)):
        for text in (f"a{char}b", f"{char}", f"日{char}!", f"{char}é{char}{char}", f"か{char}"):
            assert rule.one(text) == library(text), (char, text)


def told(found: tuple[str, int] | None) -> tuple[str, int] | None:
    if found is None or len(found[0]) != 1 or not stands_alone(found[0]) or found[1] == characters._LEFT:
        return None
    return found


def test_what_stands_alone() -> None:
    """No such character ends a composition, in any normal form, nor joins the character before it."""
    followers = set()
    for code in range(0x110000):
        for form in ("NFD", "NFKD"):
            followers |= set(unicodedata.normalize(form, chr(code))[1:]) if code not in range(0xAC00, 0xD7A4) else set()
    composed = {
        char
        for char in followers
        if stands_alone(char)
        and any(
            unicodedata.normalize("NFC", first + char) != first + char for first in ("a", "か", "ᄀ", "가", "\u0915")
        )
    }
    assert composed == set()


@settings(deadline=None, max_examples=100)
@given(
    pieces=st.lists(PIECE, min_size=30, max_size=60),
    spaces=st.lists(st.sampled_from(["", " ", "  "]), min_size=60, max_size=60),
    normalizer=st.sampled_from([*NORMALIZERS]),
    splitter=st.sampled_from([*SPLITTERS]),
    is_unigram=st.booleans(),
    added=st.sampled_from([None, "<m>", "a|"]),
)
def test_many_pieces(
    pieces: list[str], spaces: list[str], normalizer: str, splitter: str, is_unigram: bool, added: str | None
) -> None:
    """Ids of many pieces at once are those of the library, unless a piece is left to it."""
    if splitter not in ("marks", "never"):
        spaces = [""] * 60
    pieces = [space + piece for space, piece in zip(spaces, pieces, strict=False)]
    tokens = dict.fromkeys(["<unk>", *ALPHABET, "ab", "éa", "日本", "がa", "▁a", "▁日", '"', "σσ", "..", "fi"])
    model: dict[str, Any] = {
        "type": "WordPiece",
        "vocab": {token: index for index, token in enumerate([*tokens, *(f"##{token}" for token in tokens)])},
        "unk_token": "<unk>",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 5,
    }
    if is_unigram:
        vocab = [[token, -1.0 - index % 7] for index, token in enumerate(tokens)]
        model = {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False}
    raw = raw_of(normalizer, splitter, model)
    if added is not None:
        token = {"id": 1, "content": added, "single_word": False, "lstrip": False, "rstrip": False}
        raw["added_tokens"] = [{**token, "normalized": True, "special": False}]
    encoder = PieceEncoder(raw)
    assert encoder.takes_many
    ids, left = encoder.ids_of(pieces)
    expected = Backend(json.dumps(raw), "tokenizer.json").ids_of_texts(pieces)
    different = [
        (piece, ids[index].tolist(), expected[index].tolist())
        for index, piece in enumerate(pieces)
        if index not in left and not np.array_equal(ids[index], expected[index])
    ]
    assert different == []
    assert all(len(ids[index]) == 0 for index in left)
    singly = encoder.rows(pieces)
    assert [
        (piece, row, expected[index].tolist())
        for index, (piece, row) in enumerate(zip(pieces, singly, strict=True))
        if row is not None and row != expected[index].tolist()
    ] == []


def test_pieces_are_not_needlessly_left() -> None:
    """Plain text of many languages is taken by characters, without the library."""
    raw = raw_of("bert", "bert", {"type": "WordPiece", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"})
    asked: list[str] = []
    rule = characters_of(raw, lambda text: asked.append(text) or None, "")
    assert rule[0] is not None
    found = rule[0]("naïve\0Straße\0Жёлтый\0日本語\0がっこう\0don't\x00100%\0")
    assert not found.left.any()
    assert asked == []
    assert rule[0].one("naïve!") == ["naive", "!"]
    assert rule[0].one("naïve\0") is None
    assert rule[0].one("☀\ufe0f#e\u0301🔥") == ["☀", "#", "e🔥"]
    words = bytes(found.words.data).split(b"\xff")[:-1]
    assert [word.decode() for word in words[:5]] == ["naive", "straße", "желтыи", "日", "本"]
