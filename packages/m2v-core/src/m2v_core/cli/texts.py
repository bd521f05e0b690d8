"""Texts that a command reads: lines of stdin or of a file, or a column of a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from m2v_core.errors import InvalidInputError
from m2v_core.progress import progress_bar

#: Texts that are read, and answered, at a time.
BATCH = 4096

HINT = "Name the column of the texts with --text-column."


@contextmanager
def opened_texts(options: argparse.Namespace) -> Iterator[Iterator[str]]:
    """The texts of `options.file`, by `options.text_column` if it is a table.

    The first text of a file is read at once, so that a wrong name or column shows before a model is loaded.

    Raises:
        InvalidInputError: There is no such file or column, or what is read is not UTF-8.
    """
    from m2v_core.data.columns import TABLES, kind_of, read_texts

    name, column = options.file, options.text_column
    if name == "-":
        if column is not None:
            raise InvalidInputError(
                f"--text-column is for files with columns; found {column!r} for stdin, which has a text a line."
            )
        with _stdin_lines() as lines:
            yield lines
        return
    is_table = kind_of(Path(name)) in TABLES
    texts = read_texts(name, column or ("text" if is_table else None), hint=HINT)
    yield chain(list(islice(texts, 1)), texts)


@contextmanager
def _stdin_lines() -> Iterator[Iterator[str]]:
    """The lines of stdin, without their ends."""

    def bare(lines: IO[str]) -> Iterator[str]:
        return (line.removesuffix("\n").removesuffix("\r") for line in lines)

    try:
        with open(sys.stdin.fileno(), encoding="utf-8-sig", newline="\n", closefd=False) as lines:
            yield bare(lines)
    except OSError as error:  # a folder, which has no name but a number
        raise OSError(error.errno, error.strerror, "stdin") if error.filename == 0 else error from None
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"stdin: expected UTF-8 text; found other bytes ({error.reason}). Convert it, for instance with iconv."
        ) from None


def batches(texts: Iterator[str]) -> Iterator[list[str]]:
    """Lists of at most `BATCH` texts."""
    while batch := list(islice(texts, BATCH)):
        yield batch


def text_bar(description: str, options: argparse.Namespace) -> Any:
    """A progress bar on stderr for the texts of `options.file`, with the time left where their number is known.

    It is shown if stderr is a terminal, unless results go to the same terminal or the user asked for quiet.
    """
    from m2v_core.data.columns import count_lines

    mixed = options.out is None and sys.stdout is not None and sys.stdout.isatty()
    show = False if options.quiet or mixed else None
    wanted = show is None and sys.stderr is not None and sys.stderr.isatty()
    total = count_lines(options.file) if wanted and options.file != "-" else None
    return progress_bar(description, unit="texts", total=total, show=show)


class UnknownTexts:
    """Counts the texts of which no token is known, and says so at the end."""

    def __init__(self) -> None:
        self.count, self.first, self._seen = 0, 0, 0

    def add(self, vectors: Any) -> None:
        """Count rows of zeros among the vectors [n, D] of the next texts."""
        zeros = (~vectors.any(axis=1)).nonzero()[0]
        if len(zeros) and not self.count:
            self.first = self._seen + int(zeros[0]) + 1
        self.count += len(zeros)
        self._seen += len(vectors)

    def note(self, consequence: str, options: argparse.Namespace) -> None:
        """Print the number of texts without a known token, and the consequence, unless it is 0 or `quiet` is set."""
        if self.count and not options.quiet:
            print(
                f"{self.count} of {self._seen} texts hold no token that the model knows (the first is number "
                f"{self.first}): {consequence}",
                file=sys.stderr,
            )
