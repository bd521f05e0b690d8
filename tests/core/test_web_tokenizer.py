"""The JavaScript of `m2v export web` makes the ids of the tokenizers library."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from javascript import STATIC, ids_in_node, needs_node, node
from golden.make_ids import TEXTS
from tokenizer_files import CHARSMAP, SPACES, edited, file, special, unigram, wordlevel, wordpiece

from m2v_core.errors import InvalidInputError
from m2v_core.web.tokenizer import web_tokenizer

GOLDEN = Path(__file__).parents[1] / "golden"

AWKWARD = [
    *TEXTS,
    "\r\n\r\n good\r\n",
    "a" * 101 + " " + "b" * 100 + " " + "é" * 100 + "𝒳" * 101,
    "good" * 3000,
    "e\u0301\u0323 \u1ec7 q\u0307\u0323 Å \u212b \u1e9b\u0323 ﬁ ½ ｇｏｏｄ",
    "각 \u1100\u1161\u11a8 한국어 \u1112\u1161\u11ab",
    "İstanbul ISTANBUL ıstanbul ΑΣ ας ΣΑΣ ẞ ß Ǆ ǅ Ⅷ Ⓐ",
    "a\u200bb a\u200db a\ufeffb a\u00adb a\u2060b \u200e \u200f",
    "don't DON'T it'ſ we'LL 'tis I've 1234567 12 a1b2",
    "नमस्ते दुनिया ക്ഷ ไทยแลนด์ မြန်မာ",
    "\u0600a \u0600\u0301 a\u0903 \U000110bda 👨‍👩‍👧‍👦 ❤️ ❤\u0301 👍🏽 🇩🇪🇫🇷🇯",
    "\U00010781 \U0001e030 \U00011938 \u1c89 \ua7ce \U00016ea0 \U000105c9 a\U00016d67\U00016d67",
    "<s>good</s> <pad><pad>  <pad> ab aab good day sunsun sun <mask>  <mask> [PAD][UNK]acme",
    "\x85 \x1c \x1f a\x0bb\x0c \u2028\u2029 \u3000 \u180e \u00a0\u202f\u205f",
    "$+<=>^`|~ «»„“” ¡¿ ۔ 。、 ‐–— ©®™ €",
    "𠮷野家 豈更 㐀 𪜀 ㍿ カﾞ ｶﾞ が か\u3099",
    "▁▁good ▁ day▁ ##s Ġday Ċ",
    "\ufffd\ufffe \ue000 \U0010ffff \x00",
]

#: Pieces of random texts.
PIECES = [
    *"abdgosuny .,!'-_12\t\n\r",
    *"éÉßſİıΣςё日本語한각\u0301\u0323\u0338\u200b\u200d\ufe0f\u0600\u0903\u3099\uff41\u1100\u1161\u11a8👍🏽🇩",
    *("good", "day", "GOOD", " good", " day", "sun", "sunny", "unable", "bad", "  ", "   ", "\u3000", "\u00a0"),
    *("<pad>", "<s>", "[UNK]", "[CLS]", "good day", "<mask>", "acme", "ab", "▁", "Ġ", "##", "'s", "'LL", "℗", "＜pad＞"),
]


def random_texts(count: int, seed: int = 0) -> list[str]:
    source = random.Random(seed)  # noqa: S311 - for tests
    return ["".join(source.choices(PIECES, k=source.randint(0, 12))) for _ in range(count)]


def library_ids(tokenizer_json: str, texts: list[str]) -> list[list[int]]:
    raw = json.loads(tokenizer_json) | {"truncation": None}
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(raw))
    return [list(found.ids) for found in tokenizer.encode_batch(texts, add_special_tokens=False)]


def with_normalizer(*steps: dict[str, Any], base: Callable[[], str] = unigram) -> str:
    return edited(base(), normalizer={"type": "Sequence", "normalizers": list(steps)})


def byte_fallback() -> str:
    """Unigram with tokens of bytes."""
    raw = json.loads(unigram())
    raw["model"]["vocab"] += [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
    raw["model"]["byte_fallback"] = True
    return json.dumps(raw, ensure_ascii=False)


def bert(**parts: Any) -> str:
    raw = json.loads(wordpiece())
    raw["normalizer"] |= parts
    return json.dumps(raw, ensure_ascii=False)


def bpe(**parts: Any) -> str:
    """Merges of characters, without a pre-tokenizer, as Llama 2 has them."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = ["<unk>", *bytes_, *"▁godaysunb", "go", "od", "good", "▁good", "▁good▁", "da", "day", "x</w>", "##o"]
    merges = ["g o", "o d", "go od", "▁ good", "▁good ▁", "d a", "da y"]
    model = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "merges": merges}
    model |= {"vocab": {token: index for index, token in enumerate(tokens)}, **parts}
    steps = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    return file(model, added=[special("<unk>", 0)], normalizer={"type": "Sequence", "normalizers": steps})


#: More kinds, beside those of tests/tokenizer_files.py.
MORE = {
    "bert_keeps_all": lambda: bert(
        clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False
    ),
    "bert_accents": lambda: bert(strip_accents=True, lowercase=False),
    "bert_lower": lambda: bert(strip_accents=False),
    "byte_fallback": byte_fallback,
    "llama2": bpe,
    "llama2_unknown": lambda: bpe(byte_fallback=False, fuse_unk=False),
    "bpe_drops_unknown": lambda: bpe(byte_fallback=False, unk_token=None),
    "bpe_affixes": lambda: edited(
        bpe(continuing_subword_prefix="##", end_of_word_suffix="</w>", byte_fallback=False, merges=[]),
        normalizer=None,
        pre_tokenizer={"type": "WhitespaceSplit"},
    ),
    "bpe_whole_words": lambda: edited(bpe(ignore_merges=True), pre_tokenizer={"type": "BertPreTokenizer"}),
    "wordlevel_many": lambda: wordlevel("good", "Day", "é", "e\u0301", "日本語", "!!!", "a1b2", "__proto__", "12", "_"),
    "strip": lambda: with_normalizer(
        {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "Lowercase"}, {"type": "NFD"}
    ),
    "strip_accents": lambda: with_normalizer({"type": "NFKD"}, {"type": "StripAccents"}),
    "nfc": lambda: with_normalizer({"type": "NFC"}, {"type": "Strip", "strip_left": False, "strip_right": True}),
    "metaspace_alone": lambda: edited(
        unigram(), normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "▁", "split": False}
    ),
    "normalized_tokens": lambda: edited(
        unigram(),
        normalizer={"type": "Lowercase"},
        added=[{**special(text, 0), "normalized": True, "single_word": whole, "lstrip": whole, "rstrip": not whole}
               for text, whole in (("GooD", True), ("sun", False), ("Su", False), ("日", True))],
    ),
}  # fmt: skip

GOLDEN_FILES = sorted(GOLDEN.rglob("tokenizer.json"))


@needs_node
def test_ids_are_those_of_the_library_for_all_kinds_and_golden_tokenizers():
    texts = [*AWKWARD, *random_texts(400)]
    kinds = {name: make() for name, make in (SPACES | MORE).items()}
    kinds |= {str(path.relative_to(GOLDEN)): path.read_text() for path in GOLDEN_FILES}
    found = ids_in_node([(web_tokenizer(kind), texts) for kind in kinds.values()])
    for (name, kind), rows in zip(kinds.items(), found, strict=True):
        for text, ids, expected in zip(texts, rows, library_ids(kind, texts), strict=True):
            assert ids == expected, (name, text)
