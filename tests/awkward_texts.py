"""Texts that are hard for tokenizers, and random ones made of hard pieces."""

from __future__ import annotations

import random

from golden.make_ids import TEXTS

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
    *(
        "<pad>",
        "<s>",
        "[UNK]",
        "[CLS]",
        "good day",
        "<mask>",
        "acme",
        "ab",
        "▁",
        "Ġ",
        "##",
        "'s",
        "'LL",
        "℗",
        "＜pad＞",
    ),
]


def random_texts(count: int, seed: int = 0) -> list[str]:
    source = random.Random(seed)
    return ["".join(source.choices(PIECES, k=source.randint(0, 12))) for _ in range(count)]
