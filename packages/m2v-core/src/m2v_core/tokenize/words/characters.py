"""What each character of a piece becomes, so that many pieces turn into words by array functions.

The normalizers and pre-tokenizers of most models look at each character by itself. What one becomes is learned by
asking the rule for strings once for each character. Pieces with a character that does not stand alone (marks, which may
join the character before them; a character that becomes several) are left to that rule.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from m2v_core.tokenize.charsmap import CharsMap
from m2v_core.tokenize.parts import flattened
from m2v_core.tokenize.words.table import Ids
from m2v_core.tokenize.words.word_bytes import END, WordBytes, starts_of

#: Kinds of characters: not asked yet; part of a word; a word of its own; part of a word of such characters; between
#: words; the first of a word; between pieces; removed; none of these.
_UNASKED, _PART, _ALONE, _OTHER, _SPACE, _FIRST, _BETWEEN, _GONE, _LEFT = range(9)
_N_KINDS = 16

_KIND_BITS = 21  # above those of a code point
_CODE = (1 << _KIND_BITS) - 1
_N_CODES = 0x110000

_MARK = "▁"

#: How marks are put; see `Characters`.
Marks: TypeAlias = Literal[None, "words", "spaces", "spaces and starts"]

#: Normalizers that look at each character by itself, if it stands alone.
_BY_CHARACTER = frozenset(
    {"Lowercase", "BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Precompiled", "Nmt"}
)

#: Blocks of characters of which none joins its neighbour, but for marks (category M), which are not counted: Latin to
#: Armenian; Hebrew and Arabic letters; Latin and Greek with accents; punctuation to dingbats; CJK symbols, kana and
#: letters; Hangul syllables; compatibility forms; full-width forms; pictographs but for the modifiers of skin tones;
#: CJK extensions.
_STANDING_ALONE = (
    (0x0021, 0x058A),
    (0x05D0, 0x05EA),
    (0x0621, 0x064A),
    (0x1E00, 0x1FFF),
    (0x2010, 0x27BF),
    (0x2C60, 0x2C7F),
    (0x3001, 0x30FF),
    (0x3400, 0xA48F),
    (0xA720, 0xA7FF),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0xFF01, 0xFF9D),
    (0xFFE0, 0xFFE6),
    (0x1F300, 0x1F3FA),
    (0x1F400, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F900, 0x1F9FF),
    (0x20000, 0x3134F),
)


def stands_alone(char: str) -> bool:
    r"""Whether a character becomes the same in any text, unless a mark follows it.

    Example:
        >>> [stands_alone(char) for char in ("é", "日", "\u0301", " ")]
        [True, True, False, False]
    """
    return _is_in(_STANDING_ALONE, char) and unicodedata.category(char)[0] in "LNPS"


def _is_in(blocks: tuple[tuple[int, int], ...], char: str) -> bool:
    """Whether a character is in one of some blocks, which are in order."""
    code = ord(char)
    index = bisect(blocks, (code, _N_CODES)) - 1
    return index >= 0 and code <= blocks[index][1]


#: Of these the blocks whose properties are as old as Unicode 6 or never change, so that Python's tables and those of
#: the tokenizers library agree.
_SETTLED = (
    (0x0021, 0x007E),
    (0x00A1, 0x017F),
    (0x0388, 0x03CE),
    (0x0400, 0x0481),
    (0x0490, 0x04F5),
    (0x2010, 0x2027),
    (0x2030, 0x2033),
    (0x20AC, 0x20AC),
    (0x2190, 0x21E9),
    (0x2500, 0x2580),
    (0x2582, 0x2595),
    (0x25A0, 0x25EE),
    (0x2600, 0x2612),
    (0x2619, 0x266F),
    (0x2701, 0x2704),
    (0x270C, 0x2727),
    (0x2729, 0x274B),
    (0x2763, 0x2767),
    (0x3041, 0x3094),
    (0x30A1, 0x30FA),
    (0x30FC, 0x30FE),
    (0x4E00, 0x9FA5),
    (0xAC00, 0xD7A3),
    (0xFF01, 0xFF5E),
    (0x1F300, 0x1F320),
    (0x1F330, 0x1F335),
    (0x1F337, 0x1F37C),
    (0x1F380, 0x1F393),
    (0x1F3A0, 0x1F3C4),
    (0x1F3C6, 0x1F3CA),
    (0x1F3E0, 0x1F3F0),
    (0x1F400, 0x1F43E),
    (0x1F442, 0x1F4F7),
    (0x1F4F9, 0x1F4FC),
    (0x1F500, 0x1F53D),
    (0x1F550, 0x1F567),
    (0x1F5FB, 0x1F640),
    (0x1F645, 0x1F64F),
    (0x1F680, 0x1F6C5),
)

#: Marks without a width, and invisible characters, which BERT's normalizer removes wherever they stand if it removes
#: accents and cleans the text; as old as those above.
_REMOVED = (
    (0x0300, 0x034E),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x3099, 0x309A),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
)

#: What `BertNormalizer` takes for Chinese characters, as far as they are settled.
_CHINESE = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Found:
    """The words of many pieces.

    Attributes:
        words: The words of all pieces.
        starts: [n] the position in `words.data` at which the words of each piece begin.
        left: [n] whether a piece is left to the rule for strings; its words here mean nothing.
    """

    words: WordBytes
    starts: Ids
    left: NDArray[np.bool_]


class Characters:
    """Words of many pieces at once; it may be shared between threads.

    Args:
        ask: The words of a text; `None` where they are not known.
        known: What a character becomes, and its kind, where that is known without asking.
        marks: How `▁` is put: `None` for no marks, "words" for one before each word, "spaces" for one in place of each
            space, and "spaces and starts" for one before a piece that does not begin with a space, too.
        guarded: Characters, such as those of an added token; a piece in which a character other than ASCII becomes one
            of them is left to the rule for strings.
    """

    def __init__(
        self,
        ask: Callable[[str], list[str] | None],
        known: Callable[[str], tuple[str, int] | None],
        marks: Marks,
        guarded: str = "",
    ) -> None:
        self._ask, self._known, self._marks, self._guarded = ask, known, marks, guarded
        self._prefixed = np.zeros(_N_KINDS, bool)
        self._prefixed[[_PART, _ALONE, _OTHER]] = marks in ("words", "spaces and starts")
        # What each character becomes, and its kind. Memory that nothing is written to takes no room.
        self._becomes = np.zeros(_N_CODES, np.int32)
        self._plain = self._becomes.data  # for Python's own integers
        self._becomes[0] = _BETWEEN << _KIND_BITS

    def __call__(self, pieces: str) -> Found:
        """The words of pieces, each of which is followed by U+0000."""
        codes = np.frombuffer(pieces.encode("utf-32-le"), np.int32)
        becomes = self._becomes.take(codes)
        kinds = (becomes >> _KIND_BITS).astype(np.uint8)
        if not kinds.all():
            unasked = np.sort(codes.compress(kinds == _UNASKED))
            for code in unasked[np.append(True, unasked[1:] != unasked[:-1])].tolist():
                self._becomes[code] = self._learnt(chr(code))
            becomes = self._becomes.take(codes)
            kinds = (becomes >> _KIND_BITS).astype(np.uint8)
        if (kinds == _GONE).any():
            left = kinds != _GONE
            becomes, kinds = becomes.compress(left), kinds.compress(left)
        return self._cut(becomes & _CODE, kinds)

    def one(self, piece: str) -> list[str] | None:
        """The words of one piece; `None` if it is left to the rule for strings."""
        becomes, before = self._plain, _BETWEEN
        words: list[str] = []
        for char in piece:
            value = becomes[ord(char)]
            if not value:
                value = becomes[ord(char)] = self._learnt(char)
            kind = value >> _KIND_BITS
            if kind in (_LEFT, _BETWEEN):
                return None
            if kind == _GONE:
                continue
            if kind != _SPACE:
                text = chr(value & _CODE)
                if _PLAIN_BEGINS[before << 4 | kind]:
                    words.append(_MARK + text if self._prefixed[kind] else text)
                else:
                    words[-1] += text
            before = kind
        return words

    def _learnt(self, char: str) -> int:
        """What a character becomes, and its kind."""
        if char == " ":
            return _SPACE << _KIND_BITS if self._marks in (None, "words") else _FIRST << _KIND_BITS | ord(_MARK)
        known = self._known(char)
        if known is not None and known[1] == _GONE:
            return _NOT_ALONE if self._guarded else _GONE << _KIND_BITS
        if not stands_alone(char):
            return _NOT_ALONE
        becomes, kind = known or self._asked(char)
        if len(becomes) != 1 or not stands_alone(becomes) or (becomes in self._guarded and not char.isascii()):
            return _NOT_ALONE
        return kind << _KIND_BITS | ord(becomes)

    def _asked(self, char: str) -> tuple[str, int]:
        """The same, by asking for the words of a text with the character in it."""
        start = _MARK if self._prefixed[_PART] else ""
        words = self._ask(f"a{char}{char}a") or [""]
        becomes = words[0][-2:-1] if len(words) == 1 else words[1][:1]
        kinds: dict[tuple[str, ...], int] = {(f"{start}a{becomes}{becomes}a",): _PART}
        if self._marks is None:
            kinds |= {("a", becomes, becomes, "a"): _ALONE, ("a", becomes * 2, "a"): _OTHER}
        return becomes, kinds.get(tuple(words), _LEFT)

    def _cut(self, codes: NDArray[np.int32], kinds: NDArray[np.uint8]) -> Found:
        before = np.concatenate(([np.uint8(_BETWEEN)], kinds[:-1]))
        begins, kept = _BEGINS.take(before << 4 | kinds), _KEPT.take(kinds)
        sizes = begins.astype(np.int32) + kept  # a word takes one more place, for the END before it
        marked = begins & self._prefixed.take(kinds)
        if self._prefixed[_PART]:
            sizes += marked
        after = np.cumsum(sizes, dtype=np.int32)
        # The END before the first word becomes the one after the last.
        out = np.zeros(int(after[-1]), np.int32)
        out[after.compress(kept) - 2] = codes.compress(kept)
        if self._prefixed[_PART]:
            out[after.compress(marked) - 3] = ord(_MARK)
        words = _encoded(out)
        n_words = np.cumsum(begins, dtype=np.int32)
        ends = np.flatnonzero(kinds == _BETWEEN)
        before_piece = np.concatenate(([0], n_words.take(ends[:-1])))
        left = np.zeros(len(ends), bool)
        if (kinds == _LEFT).any():
            left[np.searchsorted(ends, np.flatnonzero(kinds == _LEFT))] = True
        return Found(words, np.append(words.starts, len(words.data)).take(before_piece), left)


def characters_of(
    raw: dict[str, Any], ask: Callable[[str], list[str] | None], guarded: str
) -> tuple[Characters | None, list[str]]:
    """The `Characters` of a tokenizer, and the strings with which a piece must be left to the rule for strings.

    There are none for a tokenizer that does not look at each character by itself.

    Args:
        raw: The parsed `tokenizer.json`, whose texts may be split into pieces (see `splitting`).
        ask: The words of a text.
        guarded: See `Characters`.
    """
    normalizers = list(flattened(raw.get("normalizer"), "normalizers"))
    splitters = list(flattened(raw.get("pre_tokenizer"), "pretokenizers"))
    patterns = _patterns(normalizers)
    if patterns is None:
        return None, []
    marks: Marks
    match splitters:
        case [{"type": "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit"}]:
            marks = None
        case [{"type": "WhitespaceSplit"}, {"type": "Metaspace"}]:
            marks = "words"
        case [{"type": "Metaspace"}]:
            marks = "spaces and starts" if ask("a") == [_MARK + "a"] else "spaces"
        case _:
            return None, []
    return Characters(ask, _known(normalizers, splitters[0]["type"]), marks, guarded), patterns


def _patterns(normalizers: list[dict[str, Any]]) -> list[str] | None:
    """Strings that normalizers replace; `None` if they do not look at each character, or these strings, by itself."""
    patterns = []
    for index, part in enumerate(normalizers):
        match part:
            case {"type": "Replace", "pattern": {"Regex": " {2,}"}}:
                patterns.append("  ")
            case {"type": "Replace", "pattern": {"String": str() as old}} if len(old) > 1:
                if len(patterns) < index:
                    return None  # another normalizer could make the string
                patterns.append(old)
            case {"type": "Replace", "pattern": {"String": str() as old}} if old:
                pass
            case {"type": kind} if kind in _BY_CHARACTER:
                pass
            case _:
                return None
    return patterns


def _known(normalizers: list[dict[str, Any]], splitter: str) -> Callable[[str], tuple[str, int] | None]:
    """The rule for settled characters: what one becomes, and its kind; `None` for any other."""
    steps = [step for part in normalizers for step in _steps(part)]
    spaces_chinese = any(
        part["type"] == "BertNormalizer" and part.get("handle_chinese_chars", True) for part in normalizers
    )

    removes = len(normalizers) == 1 and _removes_marks(normalizers[0])

    def known(char: str) -> tuple[str, int] | None:
        if removes and _is_in(_REMOVED, char):
            return "", _GONE
        if not _is_in(_SETTLED, char):
            return None
        becomes = char
        for step in steps:
            becomes = step(becomes)
        if spaces_chinese and _CHINESE.match(becomes):
            return becomes, _ALONE if splitter != "Metaspace" else _LEFT
        return becomes, _kind_of(becomes, splitter)

    return known


def _steps(part: dict[str, Any]) -> list[Callable[[str], str]]:
    """What a normalizer does to a settled character."""
    steps: list[Callable[[str], str]] = []
    match part:
        case {"type": "Lowercase"}:
            steps = [str.lower]
        case {"type": "BertNormalizer"}:
            lower, accents = part.get("lowercase", True), part.get("strip_accents")
            steps = [_without_accents] if (lower if accents is None else accents) else []
            steps += [str.lower] if lower else []
        case {"type": "StripAccents"}:
            steps = [_without_marks]
        case {"type": "NFC" | "NFD" | "NFKC" | "NFKD" as form}:
            steps = [partial(unicodedata.normalize, form)]
        case {"type": "Precompiled"}:
            replaced = CharsMap.of(part.get("precompiled_charsmap")).replaced
            steps = [lambda text: replaced(text) if len(text) == 1 else text]
        case {"type": "Replace", "pattern": {"String": str() as old}, "content": str() as new}:
            steps = [methodcaller("replace", old, new)]
    return steps


def _removes_marks(part: dict[str, Any]) -> bool:
    """Whether a normalizer removes accents and invisible characters, and looks at no neighbours."""
    if part["type"] != "BertNormalizer" or not part.get("clean_text", True):
        return False
    accents = part.get("strip_accents")
    return bool(part.get("lowercase", True) if accents is None else accents)


def _without_marks(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char)[0] != "M")


def _without_accents(text: str) -> str:
    return _without_marks(unicodedata.normalize("NFD", text))


def _kind_of(char: str, splitter: str) -> int:
    """The kind of a settled character by the pre-tokenizer."""
    category = unicodedata.category(char) if len(char) == 1 else "?"
    if splitter == "BertPreTokenizer":
        is_punctuation = category[0] == "P" or (char.isascii() and not char.isalnum())
        return _ALONE if is_punctuation else _PART
    if splitter == "Whitespace":
        return _PART if category[0] == "L" or category in ("Nd", "Pc") else _OTHER
    return _PART


def _encoded(codes: NDArray[np.int32]) -> WordBytes:
    """Words of code points, each followed by 0."""
    if codes.max(initial=0) < 0x80:
        data = codes.astype(np.uint8)
    else:
        data = np.frombuffer(bytearray(codes.tobytes().decode("utf-32-le").encode()), np.uint8)
    data[data == 0] = END
    return WordBytes(data, starts_of(data))


def _beginnings() -> NDArray[np.bool_]:
    """[256] whether a word begins with a character, by the kind of the one before it << 4 | its own."""
    begins = np.zeros((_N_KINDS, _N_KINDS), bool)
    begins[:, [_ALONE, _FIRST]] = True
    begins[[_ALONE, _OTHER, _SPACE, _BETWEEN, _LEFT], _PART] = True
    begins[:, _OTHER] = True
    begins[_OTHER, _OTHER] = False
    return begins.reshape(-1)


_BEGINS = _beginnings()
_PLAIN_BEGINS = _BEGINS.tolist()
_KEPT = np.isin(np.arange(_N_KINDS), [_PART, _ALONE, _OTHER, _FIRST])
_NOT_ALONE = _LEFT << _KIND_BITS
