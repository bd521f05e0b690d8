"""The pages meet the bounds of `tools/readability.py`, and it finds what is hard to read."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import readability


def test_pages_can_be_read() -> None:
    paths = readability.files()
    assert len(paths) > 25
    assert readability.check(paths) == []


def test_what_is_hard_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "long.md").write_text(f"A short one. {'word ' * 41}. Another.")
    (tmp_path / "hard.md").write_text("Comprehensible vocabularies facilitate understanding.")
    (tmp_path / "fine.md").write_text("# A heading of words\n\nIt is plain.\n\n```text\n" + "word " * 50 + "\n```\n")
    files = [str(tmp_path / name) for name in ("long.md", "hard.md", "fine.md")]
    assert readability.main(files) == 1
    out, err = capsys.readouterr()
    assert out.count(" LIX, ") == 3
    assert [line.split(": ")[1][:20] for line in err.splitlines()] == ["a sentence should ha", "LIX should be at mos"]
    assert readability.main(files[2:]) == 0


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "See `a.b`. m2v does it (Vaswani et al., 2017). Yes!",
            ["See x.", "m2v does it (Vaswani et al, 2017).", "Yes!"],
        ),
        ("- one\n- two\n  more\n\nLast", ["one", "two more", "Last"]),
        ("| a | table |\n\n$$\nx = 1\n$$\n\n{py:func}`f` of [a $x$](b.md).", ["x of a x."]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert readability.sentences_of(text) == sentences


def test_examples() -> None:
    assert doctest.testmod(readability).failed == 0
