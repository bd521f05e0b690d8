"""Small `tokenizer.json` contents of each kind, written by hand so that both APIs of tokenizers read the same."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

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


#: A `precompiled_charsmap`, made by sentencepiece from these rules: U+00A0, U+3000, tab, newline and carriage return
#: become a space; U+200B, U+001F, U+00AD, U+FEFF and U+FE0F go; U+FF41, U+FF42, U+FB01 and U+2026 become ASCII; U+00B4
#: becomes a space and U+0301; e with an acute, composed or not, becomes e.
CHARSMAP = (
    "AAQAAAAgAAAJCQAACgUAAAEAAIAAAACADRkAAMwAAgCBOQAAqQUAAA8AAIADAACAgDgCALQZAAAHAACAiykAAIB8AgCATQAAEQAA"
    "gIENAACPXQAAv0EAAK1FAAALAACAH00AAKBtAACBPQAAggUAAA0AAIAdAAAAHAAAAB8AAAAeAAAArMwCACAAAAAjAAAAprkAACUA"
    "AAAkAAAAJwAAACYAAAApAAAAKAAAACsAAAAqAAAALQAAACwAAAAvAAAALgAAADEAAAC9pAIAMwAAADIAAAC4oAIANAAAADcAAAC7"
    "cAIAOQAAADgAAAA7AAAAOgAAAD0AAAA8AAAAPwAAAD4AAABBAAAAQAAAAEMAAABCAAAARQAAAEQAAABHAAAARgAAAEkAAABIAAAA"
    "SwAAAEoAAABNAAAATAAAAE8AAABOAAAAUQAAAFAAAABTAAAAUgAAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAA"
    "AFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGIAAABlAAAAZAAAAGcAAABmAAAAaQAAAGgAAABrAAAAagAAAG0AAABlnAIAbwAAAG4A"
    "AABxAAAAcAAAAHMAAAByAAAAdQAAAHQAAAB3AAAAdgAAAHkAAAB4AAAAewAAAHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAACD"
    "AAAAggAAAIUAAACEAAAAhwAAAIYAAACJAAAAiAAAAIsAAACKAAAAjQAAAIwAAACPAAAAjgAAAJEAAACQAAAAkwAAAJIAAACVAAAA"
    "lAAAAJcAAACWAAAAmQAAAJgAAACbAAAAmgAAAJ0AAACcAAAAnwAAAJ4AAAChAAAAoAAAAKMAAACiAAAApQAAAKQAAACnAAAApgAA"
    "AKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAACuAAAAsQAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAAALYAAAC5AAAAuAAAALsA"
    "AAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAADFAAAAxAAAAMcAAADGAAAAyQAAAMgAAADCyAEAw6gBAM0AAADM"
    "AAAAzwAAAM4AAADRAAAA0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2wAAANoAAADdAAAA3AAAAN8AAADeAAAA"
    "4QAAAOAAAADjAAAA4gAAAOUAAADkAAAA5wAAAO+sAQDpAAAA6AAAAOKEAQDjkAEA7QAAAOwAAADvAAAA7gAAAPEAAADwAAAA8wAA"
    "APIAAAD1AAAA9AAAAPcAAAD2AAAA+QAAAPgAAAD7AAAA+gAAAP0AAAD8AAAA/wAAAP4AAAAAIAAgzIEALi4uAGEAYgBlAGZpAA=="
)


def charsmap(replacements: dict[str, str]) -> str:
    """A `precompiled_charsmap` of these rules: a double array with 256 units for the children of each node."""
    children: list[dict[int, int]] = [{}]  # of each node, by their bytes
    ends: dict[int, bytes] = {}
    for key, text in replacements.items():
        node = 0
        for byte in key.encode():
            node = children[node].setdefault(byte, len(children))
            if node == len(children):
                children.append({})
        ends[node] = text.encode()
    units, texts = np.zeros(256 * (len(children) + 1), np.int64), b"\0"
    places, labels = {0: 0}, {0: 0}
    for node, by_byte in enumerate(children):
        base = 256 * (node + 1)
        offset = places[node] ^ base
        assert offset < 1 << 21
        units[places[node]] = offset << 10 | (node in ends) << 8 | labels[node]
        for byte, child in by_byte.items():
            places[child], labels[child] = base ^ byte, byte
        if node in ends:
            units[base] = 1 << 31 | len(texts)
            texts += ends[node] + b"\0"
    data = units.astype("<u4").tobytes()
    return base64.b64encode(len(data).to_bytes(4, "little") + data + texts).decode()


#: Rules by which some text becomes "<pad>", or a part of it; "⊀" has two characters.
TO_PAD = {
    "\t": " ",
    "\u200b": "",
    "\x07": "",
    "\u3000": " ",
    "＜": "<",
    "＞": ">",
    "≺\u0338": "x<",
    "ᵖ": "p",
    "℗": "<pad>",
    "´": " \u0301",
}


def edited(tokenizer: str, **parts: Any) -> str:
    """A tokenizer with other parts; `added` tokens come after its own."""
    raw = json.loads(tokenizer)
    raw["added_tokens"] += parts.pop("added", [])
    return json.dumps({**raw, **parts}, ensure_ascii=False)


def wordpiece_cased() -> str:
    """Keeps case and accents."""
    return edited(
        wordpiece(("good", "Good", "day", "Day", "é", "##é", "##s")),
        normalizer={
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": False,
        },
    )


def multiword() -> str:
    """With an added token that holds a space, and others that lie inside words."""
    vocab = json.loads(wordpiece())["model"]["vocab"]
    n_tokens = len(vocab)
    added = [special("good day", n_tokens), special("ab", n_tokens + 1)]
    added.append({**special("sun", vocab["sun"]), "normalized": True, "special": False, "single_word": True})
    return edited(wordpiece(), added=added)


def gpt2() -> str:
    """A first word without a space in front, a mask token that takes the white space around it."""
    raw = json.loads(byte_bpe())
    merges = [*raw["model"]["merges"], "Ġ Ġ", "Ċ Ċ", "ĠĠ Ġ", "o d"]
    vocab = raw["model"]["vocab"]
    vocab |= {pair.replace(" ", ""): len(vocab) + place for place, pair in enumerate(merges[6:9])}
    raw["model"]["merges"] = merges[:9]
    mask = {**special("<mask>", len(vocab)), "lstrip": True, "rstrip": True}
    splitter = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return edited(json.dumps(raw), added=[mask], normalizer={"type": "NFC"}, pre_tokenizer=splitter)


def llama3() -> str:
    """Byte-level with the regular expression in the file."""
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    splitter = {"type": "Sequence", "pretokenizers": [split, byte_level]}
    return edited(gpt2(), normalizer=None, pre_tokenizer=splitter)


def llama3_student() -> str:
    """Llama 3's, with a space before a text's first word, and an added token that is part of a text."""
    raw = json.loads(llama3())
    space = {"type": "Metaspace", "replacement": " ", "prepend_scheme": "first", "split": False}
    splitter = {"type": "Sequence", "pretokenizers": [space, *raw["pre_tokenizer"]["pretokenizers"]]}
    plain = {**special("acme", len(raw["model"]["vocab"]) + 1), "special": False}
    return edited(llama3(), added=[plain], pre_tokenizer=splitter)


def metaspace_bpe(prepend_scheme: str = "first") -> str:
    """Merges of characters, a space being one of them."""
    characters = "▁abcdefghijklmnopqrstuvwxyz!日本é"
    merges = [("▁", "d"), ("a", "y"), ("▁d", "ay"), ("o", "d"), ("g", "o"), ("go", "od"), ("▁", "▁")]
    tokens = ["<unk>", *characters, *("".join(pair) for pair in merges)]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": prepend_scheme, "split": True}
    return file(
        {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [f"{left} {right}" for left, right in merges],
        },
        added=[special("<unk>", 0)],
        pre_tokenizer=metaspace,
        decoder=metaspace,
    )


def xlm_roberta() -> str:
    """What transformers makes of XLM-RoBERTa's sentencepiece model."""
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return edited(
        unigram(),
        normalizer={"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
    )


def collapsing() -> str:
    """What it makes of other sentencepiece models: runs of spaces count as one."""
    precompiled = {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}
    strip = {"type": "Strip", "strip_left": False, "strip_right": True}
    collapse = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}
    return edited(unigram(), normalizer={"type": "Sequence", "normalizers": [precompiled, strip, collapse]})


def model2vec_pad(*, single_word: bool = True, splitter: Any = None) -> str:
    """What model2vec makes of XLM-RoBERTa's: its padding token is looked for in normalised text, with spaces around."""
    raw = json.loads(xlm_roberta())
    pad = {"single_word": single_word, "lstrip": True, "rstrip": True, "normalized": True}
    raw["added_tokens"] = [{**token, **(pad if token["content"] == "<pad>" else {})} for token in raw["added_tokens"]]
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap(TO_PAD)}
    return edited(json.dumps(raw), normalizer=precompiled, pre_tokenizer=splitter or raw["pre_tokenizer"])


def metaspace_pad(*, single_word: bool = True) -> str:
    """The same where spaces are kept, so that the ids of a word show whether a token before it took the space."""
    return model2vec_pad(single_word=single_word, splitter=json.loads(unigram())["pre_tokenizer"])


KINDS = {"wordpiece": wordpiece, "byte_bpe": byte_bpe, "unigram": unigram, "wordlevel": wordlevel}

#: Tokenizers whose rules about spaces differ.
SPACES = KINDS | {
    "wordpiece_cased": wordpiece_cased,
    "multiword": multiword,
    "gpt2": gpt2,
    "llama3": llama3,
    "llama3_student": llama3_student,
    "metaspace_bpe": metaspace_bpe,
    "metaspace_never": lambda: metaspace_bpe("never"),
    "xlm_roberta": xlm_roberta,
    "collapsing": collapsing,
    "model2vec_pad": model2vec_pad,
    "model2vec_pad_anywhere": lambda: model2vec_pad(single_word=False),
    "metaspace_pad": metaspace_pad,
    "metaspace_pad_anywhere": lambda: metaspace_pad(single_word=False),
}

#: Words to add, by what happens to them; which of them are new depends on the tokenizer.
WORDS = {
    "new": ["zebra", "jig", "the", "card", "you", "naïve", "日本", "✪"],
    "there": ["good", "day", "bad", "un"],
    "several words": ["new york", "New York", "i am", "good day", "c++", "don't", "  my  card "],
    "upper case": ["GOOD", "Zebra", "ZEBRA", "zebra", "The"],
    "empty": ["", " ", "   ", "\t", "\u200b", "\u00ad"],
    "repeated": ["zebra", "zebra", "my card", "my card"],
    "markers": ["##s", "Ġday", "▁day", "<pad>", "[pad]"],
}
WORDS["all"] = [word for words in list(WORDS.values()) for word in words]
