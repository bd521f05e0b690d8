"""A `tokenizer.json` as the JavaScript takes it: checked, with all settings stated.

What is here covers what `static/text.js` and `static/words.js` compute; anything else is an error that names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from m2v_core.errors import InvalidInputError
from m2v_core.tokenize.charsmap import CharsMap, UnknownMapError
from m2v_core.tokenize.parts import flattened
from m2v_core.tokenize.splitting import GPT2, LLAMA3, QWEN2
from m2v_core.tokenize.vocabulary import numbering, parsed, with_added
from m2v_core.tokenize.words.build import byte_tokens, merge_pairs

_PATTERNS = {GPT2: "gpt2", LLAMA3: "llama3", QWEN2: "qwen2"}
_PLAIN_NORMALIZERS = frozenset({"Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"})
_PLAIN_SPLITTERS = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})

#: Pairs of ids are numbers in JavaScript, which are exact below 2 ** 53.
_MAX_TOKENS = 1 << 26


class NotCoveredError(InvalidInputError):
    """A tokenizer has a part that the JavaScript does not compute."""

    def __init__(self, part: str, found: object) -> None:
        super().__init__(
            f"m2v export web: expected a tokenizer of the kinds that the page computes; found {found} as its {part}. "
            f"docs/exporting.md lists these kinds. m2v export onnx may serve other tokenizers."
        )


def web_tokenizer(tokenizer_json: str, where: str = "tokenizer.json") -> dict[str, Any]:
    """The content of `vocabulary.json`.

    Args:
        tokenizer_json: The text of a `tokenizer.json`.
        where: Name of the tokenizer in errors.

    Raises:
        ModelFormatError: The text is no tokenizer.
        InvalidInputError: The tokenizer has a part that is not covered; the message names it.

    Example:
        >>> import json
        >>> data = web_tokenizer(json.dumps({
        ...     "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}, "added_tokens": [],
        ...     "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "day": 1}, "unk_token": "[UNK]"},
        ... }))
        >>> data["normalizers"], data["model"]
        ([{'type': 'Lowercase'}], {'type': 'WordLevel', 'tokens': ['[UNK]', 'day'], 'unk_id': 0})
    """
    raw = parsed(tokenizer_json, where)
    model = raw["model"]
    unk_id = numbering(raw, where).unk_id
    listed = isinstance(model["vocab"], list)
    ids: dict[str, int] = (
        {token: place for place, (token, _) in enumerate(model["vocab"])} if listed else model["vocab"]
    )
    if listed and len(ids) != len(model["vocab"]):
        raise NotCoveredError("model", "a vocabulary with a token twice")
    splitters = list(flattened(raw.get("pre_tokenizer"), "pretokenizers"))
    return {
        "normalizers": [_normalizer(part) for part in flattened(raw.get("normalizer"), "normalizers")],
        "pre_tokenizers": [_splitter(part, place) for place, part in enumerate(splitters)],
        "added_tokens": list(_added(raw.get("added_tokens") or [], ids)),
        "model": {"type": model["type"], "tokens": _by_id(ids), **_model(model, ids)},
        "unk_id": unk_id,
    }


def _normalizer(part: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] | None = None
    match part:
        case {"type": "BertNormalizer"}:
            lowercase, accents = part.get("lowercase", True), part.get("strip_accents")
            settings = {
                "clean_text": part.get("clean_text", True),
                "handle_chinese_chars": part.get("handle_chinese_chars", True),
                "strip_accents": lowercase if accents is None else accents,
                "lowercase": lowercase,
            }
        case {"type": "Precompiled"}:
            try:
                CharsMap.of(part.get("precompiled_charsmap"))
            except UnknownMapError as error:
                raise NotCoveredError("normalizer", f"a Precompiled map of an unknown form ({error})") from None
            settings = {"charsmap": part.get("precompiled_charsmap") or ""}
        case {"type": "Prepend", "prepend": str() as text}:
            settings = {"text": text}
        case {"type": "Replace", "pattern": {"String": str() as old}, "content": str() as new} if old:
            settings = {"old": old, "new": new}
        case {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": str() as new}:
            settings = {"old": None, "new": new}
        case {"type": "Strip"}:
            settings = {"left": part.get("strip_left", True), "right": part.get("strip_right", True)}
        case {"type": kind} if kind in _PLAIN_NORMALIZERS:
            settings = {}
    if settings is None:
        raise NotCoveredError("normalizer", _named(part))
    return {"type": part["type"], **settings}


def _splitter(part: Mapping[str, Any], place: int) -> dict[str, Any]:
    match part:
        case {"type": "Metaspace", "replacement": str() as replacement}:
            scheme = part.get("prepend_scheme", "always" if part.get("add_prefix_space", True) else "never")
            if scheme == "first" and place:
                raise NotCoveredError("pre_tokenizer", "Metaspace with prepend_scheme 'first' after another part")
            split = part.get("split", True)
            return {"type": "Metaspace", "replacement": replacement, "scheme": scheme, "split": split}
        case {"type": "ByteLevel"}:
            prefix, regex = part.get("add_prefix_space", True), part.get("use_regex", True)
            return {"type": "ByteLevel", "prefix": prefix, "regex": regex}
        case {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": "Isolated",
            "invert": False,
        } if pattern in _PATTERNS:
            return {"type": "Split", "pattern": _PATTERNS[pattern]}
        case {"type": kind} if kind in _PLAIN_SPLITTERS:
            return {"type": kind}
    raise NotCoveredError("pre_tokenizer", _named(part))


def _named(part: Mapping[str, Any]) -> str:
    """The kind of a part, with its pattern if it has one."""
    pattern = part.get("pattern")
    return f"{part.get('type')}" if pattern is None else f"{part.get('type')} with the pattern {pattern}"


def _added(tokens: Sequence[Mapping[str, Any]], ids: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """The added tokens with the ids that the library gives them; of those with the same id the last counts."""
    numbers = with_added(ids, tokens)
    by_id = {numbers[token["content"]]: token for token in tokens if token["content"]}
    for index, token in by_id.items():
        flags = {name: bool(token.get(name)) for name in ("single_word", "lstrip", "rstrip", "normalized")}
        yield {"id": index, "content": token["content"], **flags}


def _by_id(ids: Mapping[str, int]) -> list[str | None]:
    tokens: list[str | None] = [None] * (max(ids.values(), default=-1) + 1)
    if len(tokens) > _MAX_TOKENS:
        raise NotCoveredError("model", f"a vocabulary with the id {len(tokens) - 1}")
    for token, index in ids.items():
        if tokens[index] is not None:
            raise NotCoveredError("model", f"a vocabulary in which two tokens have the id {index}")
        tokens[index] = token
    return tokens


def _model(model: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    kind = model["type"]
    if kind == "Unigram":
        return _unigram(model, ids)
    unknown = model.get("unk_token")
    unk_id = None if unknown is None else ids.get(unknown)
    if kind == "BPE":
        if unknown is not None and unk_id is None:
            raise NotCoveredError("model", f"BPE without the unknown token {unknown!r} in its vocabulary")
        return {**_bpe(model, ids), "unk_id": unk_id}
    if kind not in ("WordPiece", "WordLevel"):
        raise NotCoveredError("model", kind)
    if unk_id is None:
        raise NotCoveredError("model", f"{kind} without an unknown token in its vocabulary")
    if kind == "WordLevel":
        return {"unk_id": unk_id}
    prefix, most = model.get("continuing_subword_prefix", "##"), model.get("max_input_chars_per_word", 100)
    return {"unk_id": unk_id, "prefix": prefix, "max_chars": most}


def _unigram(model: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    scores = [float(score) for _, score in model["vocab"]]
    if not all(map(math.isfinite, scores)):
        raise NotCoveredError("model", "Unigram with a score that is no number")
    if model.get("unk_id") is None:
        raise NotCoveredError("model", "Unigram without an unknown token")
    return {"unk_id": model["unk_id"], "scores": scores, "byte_ids": byte_tokens(model, ids)}


def _bpe(model: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    if model.get("dropout"):
        raise NotCoveredError("model", "BPE with dropout, which is random,")
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    merges: list[int] = []
    for left, right in merge_pairs(model):
        merges += [ids[left], ids[right], ids[left + right[len(prefix) :]]]
    return {
        "merges": merges,
        "prefix": prefix,
        "suffix": suffix,
        "fuse_unk": bool(model.get("fuse_unk")),
        "byte_ids": byte_tokens(model, ids),
        "whole_words": bool(model.get("ignore_merges")),
    }
