"""Small `tokenizer.json` contents of each kind, written by hand so that both APIs of tokenizers read the same."""

from __future__ import annotations

import json
from typing import Any

#: GPT-2's printable stand-ins for bytes: visible Latin-1 stands for itself, the rest is moved up from U+0100.
VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTE_CHARS = {byte: chr(byte) for byte in VISIBLE} | {
    byte: chr(0x100 + place) for place, byte in enumerate(b for b in range(256) if b not in VISIBLE)
}


def special(content: str, index: int) -> dict[str, Any]:
    return {
        "id": index,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def file(model: dict[str, Any], *, added: list[dict[str, Any]] | None = None, **parts: Any) -> str:
    raw = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added or [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": model,
    }
    return json.dumps({**raw, **parts}, ensure_ascii=False)


def wordpiece(words: tuple[str, ...] = ("good", "day", "bad", "##s", "un", "##able", "sun", "##ny")) -> str:
    """BERT's kind: lowercases, strips accents, splits punctuation, [UNK] for what it cannot spell."""
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *words,
        "!",
        ".",
        ",",
        *"abcdefghij",
        *(f"##{c}" for c in "abcdefghij"),
    ]
    return file(
        {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: index for index, token in enumerate(tokens)},
        },
        added=[special(token, index) for index, token in enumerate(tokens[:4])],
        normalizer={
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor={
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
            ],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
    )


def byte_bpe() -> str:
    """RoBERTa's kind: bytes, so that nothing is unknown."""
    merges = [("Ġ", "d"), ("Ġd", "a"), ("Ġda", "y"), ("g", "o"), ("o", "d"), ("go", "od")]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *BYTE_CHARS.values(), *("".join(pair) for pair in merges)]
    return file(
        {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [f"{left} {right}" for left, right in merges],
        },
        added=[special(token, index) for index, token in enumerate(tokens[:4])],
        pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        post_processor={
            "type": "RobertaProcessing",
            "sep": ["</s>", 2],
            "cls": ["<s>", 0],
            "trim_offsets": True,
            "add_prefix_space": True,
        },
        decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    )


def unigram() -> str:
    """XLM-RoBERTa's kind: pieces with scores and a metaspace."""
    pieces = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁good", -2.0], ["▁day", -2.5], ["▁", -3.0]]
    pieces += [[char, -5.0 - place / 10] for place, char in enumerate("abcdefghijklmnopqrstuvwxyz日本語ёжик")]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return file(
        {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False},
        added=[special(piece, index) for index, (piece, _) in enumerate(pieces[:4])],
        normalizer={"type": "NFKC"},
        pre_tokenizer=metaspace,
        post_processor={
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "special_tokens": {
                "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
            },
        },
        decoder=metaspace,
    )


def wordlevel(*words: str) -> str:
    """Whole words, everything else unknown."""
    vocab = {token: index for index, token in enumerate(("[UNK]", *(words or ("good", "day", "bad"))))}
    return file({"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}, pre_tokenizer={"type": "Whitespace"})


KINDS = {"wordpiece": wordpiece, "byte_bpe": byte_bpe, "unigram": unigram, "wordlevel": wordlevel}
