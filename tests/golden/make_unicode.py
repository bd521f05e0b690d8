"""Write `m2v_core/web/static/unicode.js`: the classes of characters that the tokenizers library (0.2x) has.

An engine of JavaScript has tables of its own version of Unicode, and the library those of several. So the library is
asked what it makes of each character; `tests/core/test_web_unicode.py` asks both again.

python tests/golden/make_unicode.py
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = Path(__file__).parents[2] / "packages/m2v-core/src/m2v_core/web/static/unicode.js"
CHARS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
WIDTH = 116

HEADER = """\
// Made by tests/golden/make_unicode.py from tokenizers {version}; do not edit.
//
// Classes of characters as the tokenizers library has them, whatever version of Unicode the engine of JavaScript knows.
// A class is a list of ranges in base 36: the gap since the end of the range before, and the length less one.
"""


def main() -> None:
    """Write the file."""
    parts = [HEADER.format(version=tokenizers.__version__)]
    for name, (what, chars) in classes().items():
        numbers, end = [], 0
        for first, last in ranges(map(ord, chars)):
            numbers += [first - end, last - first]
            end = last + 1
        parts.append(constant(name, what, map(base36, numbers)))
    runs = [base36(number) for run in lowercase_runs() for number in run]
    what = "Runs of characters with another lower case: first, number, step, and the difference to it."
    parts.append(constant("LOWERCASE", what, runs))
    OUT.write_text("\n".join(parts))


def classes() -> dict[str, tuple[str, list[str]]]:
    """The name of each class, what it is, and its characters."""
    clean, strip = bert(clean_text=True), bert(strip_accents=True)
    decomposed = normalizers.NFD().normalize_str
    strip_any = normalizers.StripAccents().normalize_str
    spaced = bert(handle_chinese_chars=True)
    words = pre_tokenizers.Whitespace().pre_tokenize_str
    punctuated = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return {
        "CONTROL": ("BertNormalizer removes them when it cleans a text.", where(lambda c: clean(c) == "")),
        "BLANK": ("And makes these a space.", where(lambda c: clean(c) == " ")),
        "CHINESE": ("And puts spaces around these.", where(lambda c: len(spaced(c)) == 3)),
        "ACCENT": (
            "And removes these from a decomposed text (Mn).",
            where(lambda c: strip(c) == "" and decomposed(c) == c),
        ),
        "MARK": ("StripAccents removes these (M).", where(lambda c: strip_any(c) == "")),
        "PUNCTUATION": (
            "BertPreTokenizer makes these words of their own.",
            where(lambda c: len(punctuated(f"a{c}")) == 2),
        ),
        "WHITE": ("White space.", where(lambda c: not pre_tokenizers.WhitespaceSplit().pre_tokenize_str(c))),
        "WORD": (
            r"\w of Whitespace and of added tokens.",
            where(lambda c: len(words(f"a{c}")) == 1 and words(c) != []),
        ),
        "LETTER": (r"\p{L} of Split and ByteLevel.", matching(r"\p{L}")),
        "NUMBER": (r"\p{N} of Split and ByteLevel.", matching(r"\p{N}")),
        "INERT": (
            "The normal forms leave these alone, whatever an engine of a newer Unicode knows of them.",
            inert(),
        ),
    }


def where(holds: Callable[[str], bool]) -> list[str]:
    """The characters for which something holds."""
    return [char for char in CHARS if holds(char)]


def bert(**chosen: bool) -> Callable[[str], str]:
    """A `BertNormalizer` that does these things alone."""
    nothing = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
    return normalizers.BertNormalizer(**(nothing | chosen)).normalize_str


def matching(pattern: str) -> list[str]:
    """The characters that a regular expression matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str
    return where(lambda c: not split(c))


def inert() -> list[str]:
    """Characters that the library's normal forms leave alone, and that this or a later version of Unicode may not."""
    touched: set[str] = set()
    forms = [getattr(normalizers, form)().normalize_str for form in ("NFD", "NFKD")]
    for char in CHARS:
        for form in forms:
            parts = form(char)
            if parts != char:
                touched |= {char, *parts}
        if forms[0](f"\u0301{char}") != f"\u0301{char}" or forms[0](f"{char}\u0334") != f"{char}\u0334":
            touched.add(char)  # the mark moves over it, or it over a mark
    return where(lambda c: c not in touched and (unicodedata.category(c) == "Cn" or is_touched_by_python(c)))


def is_touched_by_python(char: str) -> bool:
    """Whether Python's normal forms may change a character or its order."""
    return unicodedata.normalize("NFKD", char) != char or unicodedata.combining(char) != 0


def ranges(codes: Iterable[int]) -> list[tuple[int, int]]:
    """The first and the last of each run of numbers, which are in order."""
    found: list[tuple[int, int]] = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1] = found[-1][0], code
        else:
            found.append((code, code))
    return found


def lowercase_runs() -> list[tuple[int, int, int, int]]:
    """Runs of characters that become another single one: first, number, step, difference."""
    lower = normalizers.Lowercase().normalize_str
    changes = [(ord(c), ord(lower(c)) - ord(c)) for c in CHARS if lower(c) != c and len(lower(c)) == 1]
    runs: list[tuple[int, int, int, int]] = []
    for code, difference in changes:
        if runs:
            first, number, step, same = runs[-1]
            gap = code - first if number == 1 else step
            if same == difference and gap <= 2 and code == first + number * gap:
                runs[-1] = first, number + 1, gap, same
                continue
        runs.append((code, 1, 1, difference))
    return runs


def base36(number: int) -> str:
    """A whole number in base 36, as JavaScript's parseInt reads it."""
    if number < 0:
        return "-" + base36(-number)
    return (base36(number // 36) if number >= 36 else "") + DIGITS[number % 36]


def constant(name: str, what: str, words: Iterable[str]) -> str:
    """The definition of a constant, a string of words in lines of limited length."""
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > WIDTH - 6:
            lines.append(line)
            line = ""
        line += word + " "
    text = " +\n".join(f'  "{part}"' for part in [*lines, line.rstrip()])
    return f"/** {what} */\nexport const {name} =\n{text};\n"


if __name__ == "__main__":
    main()
