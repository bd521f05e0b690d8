"""Decides from `tokenizer.json` whether texts may be split at spaces before they are tokenised.

A word need not be tokenised twice if its ids do not depend on the words around it. This module decides for which
tokenizers that is so, and which words are exceptions. Its rules are lists of what is known to be safe; texts of any
other tokenizer are not split.

Texts are split at U+0020 only. It is inert in every Unicode normal form, no token crosses it in the pre-tokenizers
below, and models see one pre-token at a time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from m2v_core.tokenize.charsmap import CharsMap, UnknownMapError
from m2v_core.tokenize.parts import flattened
from m2v_core.tokenize.vocabulary import Numbering

#: Pre-tokenizers that drop all white space, and those that look at neither spaces nor neighbours.
_DROP_SPACE = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_LOCAL = frozenset({"Punctuation", "Digits"})

#: Normalizers that map each character by itself (or compose it with its marks), and never to nothing.
_KEEPING = frozenset({"NFC", "NFD", "NFKC", "NFKD", "Lowercase"})

#: Normalizers that may turn a character into nothing or into a space.
_ERASING = frozenset({"StripAccents", "Nmt", "Precompiled"})

#: Regular expressions of byte-level tokenizers in which a match covers a space only as its first characters, unless
#: it is all white space: GPT-2's, Llama 3's (cl100k's with other digits) and Qwen 2's.
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST
_SPLITS = frozenset({GPT2, LLAMA3, QWEN2})

_MAX_WHOLE = 16
_MOST_TRIES, _LONGEST_SEPARATOR = 32, 64
_FIRST_CJK = 0x2E80

#: Letters and symbols that normalizers may remove or treat as a space.
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\ufffd\u2800")


class CannotSplitError(Exception):
    """The texts of a tokenizer must not be split; the message says why."""


@dataclass(frozen=True)
class Hidden:
    """Added tokens that are looked for in normalised text and may cross a space, and what may become one of them.

    Attributes:
        contents: Their texts, printable ASCII, which the normalizers leave as it is.
        parts: Pattern of all that normalizers may turn into the first character of such a token. Without it, a piece
            that is not printable ASCII cannot contain one.
    """

    contents: tuple[str, ...]
    parts: re.Pattern[str]

    def inside(self, pieces: Sequence[str]) -> list[int]:
        r"""The indices of the pieces that may contain such a token.

        Example:
            >>> Hidden(("<pad>",), re.compile("<|＜")).inside(["<3", "a<pad>", "＜3", "é<3"])
            [1, 2, 3]
        """
        text = "\n".join(pieces)
        if not self.parts.search(text):
            return []
        return [index for index, piece in enumerate(pieces) if self._is_inside(piece)]

    def _is_inside(self, piece: str) -> bool:
        if piece.isascii() and piece.isprintable():
            return any(content in piece for content in self.contents)
        return self.parts.search(piece) is not None


@dataclass(frozen=True)
class Splitting:
    """Rule for splitting texts into pieces whose ids, one piece after the other, are those of the text.

    Attributes:
        spaced: Whether a piece is a word with the spaces before it, or a word alone, without any spaces.
        ends: Last characters of a piece after which splitting is safe: any character, a `solid` one (no white space,
            control or format character), or a `visible` one (a letter, number, punctuation mark or symbol).
        whole: Added tokens; a text that contains one of them must not be split.
        hidden: Other added tokens; a piece that may contain one of them is not safe.
        separator: Added token that may be put between pieces to tokenise many as one text.
    """

    spaced: bool
    ends: Literal["any", "solid", "visible"]
    whole: tuple[str, ...] = ()
    separator: str | None = None
    hidden: Hidden | None = None

    def safe(self, pieces: list[str]) -> list[bool]:
        r"""Whether the ids of each piece are the same in every text.

        Example:
            >>> Splitting(spaced=True, ends="solid").safe([" day", " day\n", "  "])
            [True, False, True]
        """
        if self.ends == "any":
            safe = [True] * len(pieces)
        else:
            last = [piece[-1] for piece in pieces]
            is_safe = {char: self._may_end(char) for char in set(last)}
            safe = [is_safe[char] for char in last]
        if self.hidden is not None:
            for index in self.hidden.inside(pieces):
                safe[index] = False
        return safe

    def _may_end(self, last: str) -> bool:
        if last == " ":  # spaces alone are the end of a text
            return True
        category = unicodedata.category(last)
        if self.ends == "solid":
            return category[0] not in "ZC" and not last.isspace()
        return category[0] in "LNPS" and last not in _INVISIBLE


def splitting_of(raw: dict[str, Any]) -> Splitting:
    """The rule for splitting, from the parsed content of a `tokenizer.json`.

    Raises:
        CannotSplitError: Its texts must not be split; the message says why.
    """
    try:
        return _decide(raw)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CannotSplitError(f"tokenizer.json has an unfamiliar form ({type(error).__name__}: {error})") from None


def check_not_shared(numbers: Numbering) -> None:
    """Raise `CannotSplitError` if two tokens have one id: versions of the library differ in what they find then."""
    if numbers.shares:
        raise CannotSplitError("two tokens have one id")


def _decide(raw: dict[str, Any]) -> Splitting:
    if raw.get("version", "1.0") != "1.0":
        raise CannotSplitError(f"version {raw['version']} of tokenizer.json is unknown")
    _check_model(raw["model"])
    normalizers = list(flattened(raw.get("normalizer"), "normalizers"))
    splitters = list(flattened(raw.get("pre_tokenizer"), "pretokenizers"))
    kinds = [part["type"] for part in normalizers]
    by_position = any(part.get("prepend_scheme") == "first" for part in splitters)
    ends: Literal["any", "solid", "visible"]
    drops = _drops_space(splitters)
    if drops:
        _check_normalizers(normalizers, {*_KEEPING, *_ERASING, "BertNormalizer", "Strip"}, content_may_hold_space=True)
        # Precompiled looks at grapheme clusters, and a space with a mark after it is one.
        spaced = by_position or "Precompiled" in kinds
        ends = "solid" if spaced else "any"
    else:
        metaspace = _keeps_space(splitters)
        _check_normalizers(normalizers, {*_KEEPING, *_ERASING, *({"Strip", "collapse"} if metaspace else ())})
        spaced = True
        ends = "solid" if _KEEPING.issuperset(kinds) else "visible"
    tokens = raw.get("added_tokens") or []
    whole, hidden = _crossing(tokens, normalizers, spaced=spaced, spaces_count=by_position or not drops)
    return Splitting(
        spaced=spaced,
        ends=ends,
        whole=whole,
        separator=None if by_position else _separator(tokens, raw["model"].get("unk_token")),
        hidden=_hidden(hidden, normalizers) if hidden else None,
    )


def _check_model(model: dict[str, Any]) -> None:
    if model["type"] not in ("WordPiece", "WordLevel", "BPE", "Unigram"):
        raise CannotSplitError(f"unknown model {model['type']!r}")
    if model.get("dropout"):
        raise CannotSplitError("BPE with dropout is random")


def _drops_space(splitters: list[dict[str, Any]]) -> bool:
    """Whether white space is dropped before any part that depends on it."""
    kinds = [part["type"] for part in splitters if part["type"] not in _LOCAL]
    if not kinds or kinds[0] not in _DROP_SPACE:
        return False
    if unknown := set(kinds) - _DROP_SPACE - {"Metaspace", "ByteLevel"}:
        raise CannotSplitError(f"unknown pre-tokenizer {', '.join(sorted(unknown))}")
    return True


def _keeps_space(splitters: list[dict[str, Any]]) -> bool:
    """Whether the pre-tokenizer is a Metaspace (True) or byte-level (False), of a known kind."""
    match splitters:
        case [{"type": "Metaspace"} as metaspace] if metaspace.get("split", True):
            return True
        case [{"type": "ByteLevel"} as byte_level] if byte_level.get("use_regex", True):
            return False
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "use_regex": False},
        ] if pattern in _SPLITS:
            return False
        case [{"type": "Metaspace", "replacement": " ", "split": False}, *rest] if rest:
            return _keeps_space(rest)  # a space before the first piece, or before each; spaces stay spaces
        case []:
            raise CannotSplitError("no pre-tokenizer: a token may cross a space")
    raise CannotSplitError(f"unknown pre-tokenizer {', '.join(part['type'] for part in splitters)}")


def _check_normalizers(parts: list[dict[str, Any]], allowed: set[str], content_may_hold_space: bool = False) -> None:
    for part in parts:
        kind = part["type"]
        if kind == "Replace":
            _check_replace(part, "collapse" in allowed, content_may_hold_space)
        elif kind not in allowed:
            raise CannotSplitError(f"the normalizer {kind} may look past a space here")
        elif kind == "Strip" and part.get("strip_left") and not content_may_hold_space:
            raise CannotSplitError("the normalizer Strip removes the space that a piece begins with")
        elif kind == "Precompiled":
            _check_map(part)


def _check_map(part: dict[str, Any]) -> None:
    try:
        if CharsMap.of(part.get("precompiled_charsmap")).keeps(" "):
            return
    except UnknownMapError as why:
        raise CannotSplitError(f"the normalizer Precompiled has an unfamiliar form ({why})") from None
    raise CannotSplitError("the normalizer Precompiled replaces spaces")


def _check_replace(part: dict[str, Any], collapse: bool, content_may_hold_space: bool) -> None:
    pattern, content = part["pattern"], part["content"]
    literal = pattern.get("String")
    if literal and " " not in literal and content and (content_may_hold_space or not any(map(str.isspace, content))):
        return
    if collapse and pattern.get("Regex") == " {2,}" and content in (" ", "▁"):
        return
    raise CannotSplitError(f"the normalizer Replace of {pattern} may look past a space")


def _crossing(
    added: list[dict[str, Any]], normalizers: list[dict[str, Any]], *, spaced: bool, spaces_count: bool
) -> tuple[tuple[str, ...], list[str]]:
    """The added tokens that may cross a space: those that are found in a text as it is, and those in normalised text.

    The latter may take the white space after them where no later part looks at it (`spaces_count` false).
    """
    whole, hidden = [], []
    for token in added:
        content = token["content"]
        normalized = bool(normalizers) and token.get("normalized", True)
        strips = (spaces_count if normalized else spaced) and token.get("rstrip", False)
        crosses = any(map(str.isspace, content)) or strips
        if normalized and (crosses or not _stays_one_word(content)):
            hidden.append(content)
        elif crosses:
            whole.append(content)
    if len(whole) + len(hidden) > _MAX_WHOLE:
        raise CannotSplitError(f"{len(whole) + len(hidden)} added tokens may cross a space")
    return tuple(whole), hidden


def _hidden(contents: list[str], normalizers: list[dict[str, Any]]) -> Hidden:
    """What may become one of some added tokens in normalised text.

    A match lies in one piece, since the map keeps spaces, and the tokens hold none. Its first character is either in
    the piece, or in the replacement of a part of the piece.
    """
    refused = CannotSplitError(
        f"the added token {contents[0]!r} is looked for in normalised text, and may hold a space"
    )
    if [part["type"] for part in normalizers] != ["Precompiled"]:
        raise refused
    try:
        charsmap = CharsMap.of(normalizers[0].get("precompiled_charsmap"))
        table = charsmap.ascii()
        if any(table[chr(code)] != chr(code) for code in range(32, 127)):
            raise refused
        if not all(re.fullmatch("[!-~]+", content) for content in contents):
            raise refused
        first = sorted({content[0] for content in contents})
        keys = [key for char in first for key in charsmap.keys_that_yield(char)]
    except UnknownMapError:
        raise refused from None
    return Hidden(tuple(contents), re.compile("|".join(map(re.escape, [*first, *keys]))))


def _separator(added: list[dict[str, Any]], unknown: str | None) -> str | None:
    """An added token that is found at any position and never changes the text around it.

    The text between two of them is normalised and tokenised by itself.
    """
    contents = [token["content"] for token in added]
    some_are_words = any(token.get("single_word", True) for token in added)
    tries = 0
    for place, token in enumerate(added):
        content = token["content"]
        greedy = any(token.get(option, True) for option in ("normalized", "single_word", "lstrip", "rstrip"))
        if greedy or content == unknown or any(map(str.isspace, content)) or len(content) > _LONGEST_SEPARATOR:
            continue
        if some_are_words and re.search(r"\A\w|\w\Z", content):
            continue  # a token that must be a word of its own would not be one beside it
        starts = tuple(content[:length] for length in range(1, len(content) + 1))
        if not any(other.endswith(starts) for number, other in enumerate(contents) if number != place):
            return str(content)  # no other one can take its beginning
        tries += 1
        if tries == _MOST_TRIES:  # each looks at all tokens
            break
    return None


def _stays_one_word(content: str) -> bool:
    """Whether no normalizer puts a space into an added token, as some do around CJK characters."""
    plain = unicodedata.normalize("NFKD", content)
    return all(char.isascii() or (ord(char) < _FIRST_CJK and not char.isspace()) for char in plain)
