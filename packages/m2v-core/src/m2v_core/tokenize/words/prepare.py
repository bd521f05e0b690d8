"""Pieces of texts to words: normalised and pre-tokenised, as the models take them.

Pieces of printable ASCII are prepared here, for the normalizers and pre-tokenizers of known kinds; what others become
the tokenizers library says, by a tokenizer without the vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any

from m2v_core.tokenize.charsmap import CharsMap, UnknownMapError
from m2v_core.tokenize.library import library
from m2v_core.tokenize.parts import flattened
from m2v_core.tokenize.splitting import GPT2, LLAMA3, QWEN2

#: Words of one piece; `None` where that is not known without the whole tokenizer.
Words = list[str] | None

_SIMPLE = frozenset({"NFC", "NFD", "NFKC", "NFKD", "StripAccents"})  # change nothing of printable ASCII
_BERT = re.compile(r"[A-Za-z0-9]+|[!-/:-@[-`{-~]")
_WHITESPACE = re.compile(r"[A-Za-z0-9_]+|[!-/:-@[-^`{-~]+")

#: The regular expressions of byte-level tokenizers, on printable ASCII.
_GPT2 = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[!-/:-@[-`{-~]+| +(?![!-~])| +")
_CONTRACTIONS = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
_LLAMA3 = re.compile(_CONTRACTIONS + r"|[ !-/:-@[-`{-~]?[A-Za-z]+|[0-9]{1,3}| ?[!-/:-@[-`{-~]+| +(?![!-~])| +")
_QWEN2 = re.compile(_CONTRACTIONS + r"|[ !-/:-@[-`{-~]?[A-Za-z]+|[0-9]| ?[!-/:-@[-`{-~]+| +(?![!-~])| +")

#: Pre-tokenizers that look at characters alone.
_SPLITTERS: dict[str, Callable[[str], list[str]]] = {
    "BertPreTokenizer": _BERT.findall,
    "Whitespace": _WHITESPACE.findall,
    "WhitespaceSplit": str.split,
}
_PATTERNS = {GPT2: _GPT2, LLAMA3: _LLAMA3, QWEN2: _QWEN2}


@dataclass(frozen=True)
class AsciiRule:
    """How pieces of printable ASCII become words.

    Attributes:
        normalized: Normalises a text; it looks at each character alone, so that a text may hold many lines.
        split: Words of a normalised piece.
    """

    normalized: Callable[[str], str]
    split: Callable[[str], list[str]]

    def __call__(self, piece: str) -> list[str]:
        """The words of one piece."""
        return self.split(self.normalized(piece))

    def of_many(self, pieces: Sequence[str]) -> list[list[str]]:
        """The words of each piece."""
        return list(map(self.split, self.normalized("\n".join(pieces)).split("\n"))) if pieces else []


def ascii_rule(raw: dict[str, Any]) -> AsciiRule | None:
    """The rule of a tokenizer for pieces of printable ASCII; `None` for a tokenizer of another kind.

    Args:
        raw: The parsed `tokenizer.json`, whose texts may be split into pieces (see `splitting`).
    """
    normalized = ascii_normalizer(raw)
    split = _split_rule(list(flattened(raw.get("pre_tokenizer"), "pretokenizers")))
    return None if normalized is None or split is None else AsciiRule(normalized, split)


def _split_rule(splitters: list[dict[str, Any]]) -> Callable[[str], list[str]] | None:
    if len(splitters) == 1 and splitters[0]["type"] in _SPLITTERS:
        return _SPLITTERS[splitters[0]["type"]]
    rule = None
    match splitters:
        case [{"type": "Metaspace", "replacement": "▁"} as part] if part.get("split", True):
            rule = _metaspace(part)
        case [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁"} as part]:
            rule = _split_metaspace(part)
        case [{"type": "ByteLevel"} as part] if part.get("use_regex", True):
            rule = _byte_level(_GPT2, part)
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "use_regex": False} as part,
        ] if pattern in _PATTERNS and not part.get("add_prefix_space", True):
            rule = _byte_level(_PATTERNS[pattern], part)
    return rule


def _byte_level(pattern: re.Pattern[str], part: dict[str, Any]) -> Callable[[str], list[str]]:
    """Words of a byte-level tokenizer, whose alphabet differs from printable ASCII in the space alone."""
    prefix = part.get("add_prefix_space", True)

    def words(text: str) -> list[str]:
        if prefix and text and text[0] != " ":
            text = " " + text
        return [word.replace(" ", "Ġ") for word in pattern.findall(text)]

    return words


def _metaspace(part: dict[str, Any]) -> Callable[[str], list[str]] | None:
    prepend = _prepends(part)
    if prepend is None:
        return None

    def words(text: str) -> list[str]:
        text = text.replace(" ", "▁")
        if prepend and text and text[0] != "▁":
            text = "▁" + text
        first, *rest = text.split("▁")
        return [*([first] if first else []), *("▁" + word for word in rest)]

    return words


def _split_metaspace(part: dict[str, Any]) -> Callable[[str], list[str]] | None:
    """White space is dropped, and a mark precedes each word."""
    if _prepends(part) is None or part.get("prepend_scheme", "always") != "always" or not part.get("split", True):
        return None

    def words(text: str) -> list[str]:
        found = []
        for word in text.split():
            first, *rest = (word if word[0] == "▁" else "▁" + word).split("▁")
            found += [*([first] if first else []), *("▁" + part for part in rest)]
        return found

    return words


def _prepends(part: dict[str, Any]) -> bool | None:
    """Whether a mark is put before a text; `None` for an unknown setting."""
    scheme = part.get("prepend_scheme", "always" if part.get("add_prefix_space", True) else "never")
    return {"always": True, "first": True, "never": False}.get(scheme)


def ascii_normalizer(raw: dict[str, Any]) -> Callable[[str], str] | None:
    """The effect of the normalizers on printable ASCII; `None` if one is of an unknown kind."""
    steps: list[Callable[[str], str]] = []
    has_mark = any(part["type"] == "Metaspace" for part in flattened(raw.get("pre_tokenizer"), "pretokenizers"))
    fits = re.compile("[ -~▁]*" if has_mark else "[ -~]*").fullmatch
    for part in flattened(raw.get("normalizer"), "normalizers"):
        match part:
            case {"type": "Lowercase"}:
                steps.append(str.lower)
            case {"type": "BertNormalizer"}:
                if part.get("lowercase", True):
                    steps.append(str.lower)
            case {"type": "Precompiled"}:
                if not _keeps_ascii(part.get("precompiled_charsmap")):
                    return None
            case {"type": "Nmt"}:
                pass
            case {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": str() as content} if fits(content):
                steps.append(partial(re.sub, " {2,}", content))
            case {"type": "Replace", "pattern": {"String": str() as old}, "content": str() as new} if (
                old and "\n" not in old and fits(new)
            ):
                steps.append(methodcaller("replace", old, new))
            case {"type": kind} if kind in _SIMPLE:
                pass
            case _:
                return None

    def normalized(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return normalized


def _keeps_ascii(charsmap: str | None) -> bool:
    """Whether a character map leaves printable ASCII as it is."""
    try:
        table = CharsMap.of(charsmap).ascii()
    except UnknownMapError:
        return False
    return all(table[chr(code)] == chr(code) for code in range(32, 127))


def is_plain(piece: str) -> bool:
    """Whether a piece is printable ASCII, of which an `AsciiRule` knows the words."""
    return piece.isascii() and piece.isprintable()


class LibraryRule:
    """The words of any piece, by the normalizer and the pre-tokenizer of the tokenizers library (0.2x).

    It is built when it is first called, because importing the library takes time and memory.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        kept = ("version", "normalizer", "pre_tokenizer")
        self._json = json.dumps({**{name: raw.get(name) for name in kept}, **_NOTHING_ELSE})
        self._parts: tuple[Any, Any] | None = None

    def __call__(self, piece: str) -> Words:
        """The words of a piece; `None` if this version of the library does not tell."""
        if self._parts is None:
            self._parts = self._built()
        normalizer, splitter = self._parts
        if normalizer is None and splitter is None:
            return None
        words: Words = library().attempted(_words, normalizer, splitter, piece)
        return words

    def _built(self) -> tuple[Any, Any]:
        backend = library()
        # 1.x has no access to its parts; what the library refuses is refused with its reasons when it sees the text.
        tokenizer = None if backend.IS_IMMUTABLE else backend.attempted(backend.Tokenizer.from_str, self._json)
        return (None, None) if tokenizer is None else (tokenizer.normalizer, tokenizer.pre_tokenizer)


def _words(normalizer: Any, splitter: Any, piece: str) -> list[str]:
    text = piece if normalizer is None else normalizer.normalize_str(piece)
    if splitter is None:
        return [text] if text else []
    return [word for word, _ in splitter.pre_tokenize_str(text)]


_NOTHING_ELSE: dict[str, Any] = {
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {}, "unk_token": ""},
}
