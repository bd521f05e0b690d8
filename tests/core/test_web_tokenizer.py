"""The JavaScript of `m2v export web` makes the ids of the tokenizers library."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from awkward_texts import AWKWARD, random_texts
from javascript import STATIC, ids_in_node, needs_node, node
from m2v_core.errors import InvalidInputError
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.web.tokenizer import web_tokenizer
from tokenizer_files import CHARSMAP, SPACES, edited, file, special, unigram, wordlevel, wordpiece

GOLDEN = Path(__file__).parents[1] / "golden"

#: Characters that some versions of the library do not know.
RECENT = ["\U00010781 \U0001e030 \U00011938 \u1c89 \ua7ce \U00016ea0 \U000105c9 a\U00016d67\U00016d67"]

#: The version of the library whose classes of characters the JavaScript has.
TABLES_VERSION = re.search(r"from tokenizers (\d+\.\d+)", (STATIC / "unicode.js").read_text())[1]  # type: ignore[index]
IS_TABLES_VERSION = tokenizers.__version__.startswith(f"{TABLES_VERSION}.")


def library_ids(tokenizer_json: str, texts: list[str]) -> list[list[int]]:
    return [row.tolist() for row in TextTokenizer(tokenizer_json).with_unknown(texts)]


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
@pytest.mark.skipif(tokenizers.__version__ >= "1", reason="1.0.0rc3 has other ids than 0.2x around added tokens")
def test_ids_are_those_of_the_library_for_all_kinds_and_golden_tokenizers():
    texts = [*AWKWARD, *(RECENT if IS_TABLES_VERSION else []), *random_texts(200)]
    kinds = {make(): name for name, make in (SPACES | MORE).items()}
    kinds |= {path.read_text(): str(path.relative_to(GOLDEN)) for path in GOLDEN_FILES}
    found = ids_in_node([(web_tokenizer(kind), texts) for kind in kinds])
    for (kind, name), rows in zip(kinds.items(), found, strict=True):
        for text, ids, expected in zip(texts, rows, library_ids(kind, texts), strict=True):
            assert ids == expected, (name, text)


#: Texts of characters, 4096 each, in which every character is between others. Of the large blocks that behave alike
#: (Chinese, Tangut, no characters at all) some are left out.
BLOCKS = [
    "".join(f"a{chr(code)}\u0323{chr(code)}1" for code in range(start, start + 4096) if not 0xD800 <= code < 0xE000)
    for start in (
        *range(0, 0x5000, 4096),
        *range(0x9000, 0x17000, 4096),
        *range(0x1A000, 0x21000, 4096),
        0x2F000,
        0xE0000,
    )
]


def digests(texts: list[str]) -> list[str]:
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


@needs_node
@pytest.mark.skipif(not IS_TABLES_VERSION, reason=f"the tables are those of tokenizers {TABLES_VERSION}")
def test_every_character_is_normalised_as_by_the_library():
    steps = [
        *({"type": name} for name in ("Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents")),
        {"type": "Strip", "strip_left": True, "strip_right": True},
        *(json.loads(bert(**parts))["normalizer"] for parts in ({}, {"lowercase": False}, {"strip_accents": False})),
    ]
    script = """
        import { createHash } from "node:crypto";
        const { normalizer } = await load("text.js");
        const hash = (text) => createHash("sha256").update(text).digest("hex");
        print(input.steps.map((step) => input.blocks.map((text) => hash(normalizer([step])(text)))));
    """
    ours = [web_tokenizer(edited(wordlevel(), normalizer=step))["normalizers"][0] for step in steps]
    for step, found in zip(steps, node(script, {"steps": ours, "blocks": BLOCKS}), strict=True):
        library = tokenizers.Tokenizer.from_str(edited(wordlevel(), normalizer=step)).normalizer
        expected = digests([library.normalize_str(text) for text in BLOCKS])
        assert [place for place, both in enumerate(zip(found, expected, strict=True)) if len(set(both)) > 1] == [], step


@needs_node
def test_a_charsmap_replaces_clusters_as_in_the_library():
    """Clusters of two characters in up to five bytes, of which it has only the first, or neither."""
    marks = "\u0301\u0323\u200d\ufe0f\u0903\u200b\u00ad\u0308\U0001f3fd\u0e33\uff9e\r\n\u0600\u1100\u1161\u11a8a é"
    texts = [
        f"{one}{mark}{other}" for one in "e\u00b4\u2026ａ\r\u0600\u1100가❤🇩" for mark in marks for other in f"e❤{marks}"
    ]
    kind = edited(unigram(), normalizer={"type": "Precompiled", "precompiled_charsmap": CHARSMAP}, pre_tokenizer=None)
    (found,) = ids_in_node([(web_tokenizer(kind), texts)])
    assert found == library_ids(kind, texts)


@needs_node
@pytest.mark.skipif(not IS_TABLES_VERSION, reason=f"the tables are those of tokenizers {TABLES_VERSION}")
def test_every_character_is_split_as_by_the_library():
    steps = [
        *({"type": name} for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit")),
        *(json.loads(SPACES[name]())["pre_tokenizer"] for name in ("byte_bpe", "llama3", "unigram")),
    ]
    script = """
        import { createHash } from "node:crypto";
        const { splitter } = await load("text.js");
        const hash = (text) => createHash("sha256").update(text).digest("hex");
        print(input.steps.map((step) => input.blocks.map((text) => hash(splitter(step)(text, true).join("\\n")))));
    """
    ours = [web_tokenizer(edited(wordlevel(), pre_tokenizer=step))["pre_tokenizers"] for step in steps]
    for step, found in zip(steps, node(script, {"steps": ours, "blocks": BLOCKS}), strict=True):
        library = tokenizers.Tokenizer.from_str(edited(wordlevel(), pre_tokenizer=step)).pre_tokenizer
        expected = digests(["\n".join(word for word, _ in library.pre_tokenize_str(text)) for text in BLOCKS])
        assert [place for place, both in enumerate(zip(found, expected, strict=True)) if len(set(both)) > 1] == [], step


@needs_node
def test_the_modules_are_valid():
    for path in sorted(STATIC.glob("*.js")):
        subprocess.run(["node", "--check", str(path)], check=True, timeout=60)


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"normalizer": {"type": "Nmt"}}, "found Nmt as its normalizer"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""}}, r"pattern \{'Regex': 'a\+'\}"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA"}}, "Precompiled map of an unknown form"),
        ({"pre_tokenizer": {"type": "Digits"}}, "found Digits as its pre_tokenizer"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"},
        ]}}, "Metaspace with prepend_scheme 'first' after"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"}}, "WordLevel without an unknown token"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 0}, "unk_token": "b"}}, "two tokens have the id 0"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}}, "dropout"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "b"}}, "unknown token 'b'"),
        ({"model": {"type": "Unigram", "vocab": [["a", -1]], "unk_id": None}}, "Unigram without an unknown token"),
        ({"model": {"type": "Unigram", "vocab": [["a", -1], ["a", -2]], "unk_id": 0}}, "a token twice"),
    ],
)  # fmt: skip
def test_a_part_that_is_not_covered_is_an_error_that_names_it(parts: dict[str, Any], found: str):
    with pytest.raises(InvalidInputError, match=found):
        web_tokenizer(edited(wordlevel(), **parts))
