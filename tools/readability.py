"""How easily the pages can be read: LIX, and the length of sentences, each with a bound.

    python tools/readability.py            # the pages of this project
    python tools/readability.py FILE ...   # others

LIX (Björnsson, *Läsbarhet*, 1968) is the mean number of words in a sentence, plus the percentage of words with more
than six letters. It needs no dictionary. About 40 is a newspaper, and 50 an official text.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: The pages that people read. Changelogs are lists of changes, and are not among them.
PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "packages/*/README.md")
MAX_LIX = 42.0
MAX_WORDS = 40

#: What is not prose: blocks of code and formulas, comments, directives, headings and rows of tables.
_BLOCKS = re.compile(r"^( *)(`{3,}|:{3,}).*?^\1\2 *$|^\$\$.*?\$\$|<!--.*?-->", re.MULTILINE | re.DOTALL)
_LINES = re.compile(r"^(?:#|\s*\||%|\s*!\[|\s*<|\(\S+\)=$)")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
#: A code span, a role or a formula inside a sentence counts as one short word.
_NAMES = re.compile(r"\{[\w:]+\}`[^`]*`|``[^`]+``|`[^`]+`|\$[^$\n]+\$")
_SENTENCE = re.compile(r"(?<=[.!?])[\")*_]*\s+(?=\S)")
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
#: Points after which no sentence ends.
_ABBREVIATIONS = re.compile(r"\b(et al|e\.g|i\.e|vs|pp|J|Res|Trans|Inf)\.")


@dataclass(frozen=True)
class Page:
    """What was found in a text.

    Attributes:
        lix: Its LIX.
        longest: Its longest sentence.
    """

    lix: float
    longest: str

    @property
    def words(self) -> int:
        """The number of words of its longest sentence."""
        return len(words_of(self.longest))


def sentences_of(text: str) -> list[str]:
    r"""Return the sentences of a page in Markdown; code, tables and headings are left out.

    Args:
        text: The page.

    Returns:
        Its sentences, where a code span or a formula is the word `x`.

    Example:
        >>> sentences_of("# Title\n\nUse `encode`. It is [fast](speed.md).\n\n- One item\n- another one")
        ['Use x.', 'It is fast.', 'One item', 'another one']
    """
    paragraphs: list[list[str]] = [[]]
    for line in _BLOCKS.sub("\n\n", text).splitlines():
        if not line.strip() or _LINES.match(line):
            paragraphs.append([])
        elif _ITEM.match(line):
            paragraphs.append([_ITEM.sub("", line)])
        else:
            paragraphs[-1].append(line.strip())
    found: list[str] = []
    for lines in paragraphs:
        plain = _NAMES.sub("x", _LINK.sub(r"\1", _NAMES.sub("x", " ".join(lines))))
        plain = _ABBREVIATIONS.sub(r"\1", plain)
        found += [part.strip() for part in _SENTENCE.split(plain) if words_of(part)]
    return found


def words_of(sentence: str) -> list[str]:
    """Return the words of a sentence.

    Example:
        >>> words_of("It isn't 5 MB.")
        ['It', "isn't", 'MB']
    """
    return _WORD.findall(sentence)


def read(text: str) -> Page:
    """Measure LIX and longest sentence of a page in Markdown.

    Example:
        >>> read("Two words. Three more words.")
        Page(lix=2.5, longest='Three more words.')
    """
    sentences = sentences_of(text)
    words = [word for sentence in sentences for word in words_of(sentence)]
    if not words:
        return Page(0.0, "")
    long_words = sum(len(word) > 6 for word in words)
    lix = len(words) / len(sentences) + 100 * long_words / len(words)
    return Page(round(lix, 1), max(sentences, key=lambda sentence: len(words_of(sentence))))


def files(root: Path = ROOT) -> list[Path]:
    """List the pages of the project, without those that a build has made."""
    found = {path for pattern in PAGES for path in root.glob(pattern)}
    return sorted(path for path in found if "_build" not in path.parts)


def check(paths: Iterable[Path], *, max_lix: float = MAX_LIX, max_words: int = MAX_WORDS) -> list[str]:
    """Tell what is hard to read: a message for each page above a bound."""
    found = []
    for path in paths:
        page = read(path.read_text(encoding="utf-8"))
        if page.lix > max_lix:
            found.append(f"{path}: LIX should be at most {max_lix}; found {page.lix}. Use shorter sentences and words.")
        if page.words > max_words:
            found.append(
                f"{path}: a sentence should have at most {max_words} words; found one of {page.words}, which "
                f"should be divided: {page.longest}"
            )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print LIX of each page, and what is above a bound; returns 1 if anything is."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="pages in Markdown (default: those of this project)")
    paths = parser.parse_args(arguments).files or files()
    for path in paths:
        page = read(path.read_text(encoding="utf-8"))
        print(f"{page.lix:5.1f} LIX, {page.words:3} words in the longest sentence  {path}")
    problems = check(paths)
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    raise SystemExit(main())
