"""What commands share: lines of a file or of stdin, and a progress bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from m2v_core.errors import InvalidInputError

if TYPE_CHECKING:
    from tqdm import tqdm


def printable(text: str) -> str:
    r"""A stranger's text as one line that cannot steer a terminal: what is not printable is escaped.

    Example:
        >>> printable("calm" + chr(27) + "[31m" + chr(10))
        'calm\\x1b[31m\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def opened_lines(name: str) -> Iterator[Iterator[str]]:
    """The lines of a UTF-8 file, or of stdin if `name` is "-", without their ends.

    Raises:
        InvalidInputError: There are bytes that are no UTF-8.
        OSError: The file cannot be read.
    """

    def bare(lines: IO[str]) -> Iterator[str]:
        return (line.removesuffix("\n").removesuffix("\r") for line in lines)

    try:
        if name == "-":
            with open(sys.stdin.fileno(), encoding="utf-8-sig", newline="\n", closefd=False) as lines:
                yield bare(lines)
        else:
            with Path(name).open(encoding="utf-8-sig", newline="\n") as lines:
                yield bare(lines)
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{name}: expected UTF-8 text; found other bytes ({error.reason}). Convert it, for instance with iconv."
        ) from None


@contextmanager
def progress_bar(description: str, *, wanted: bool) -> Iterator[tqdm[Any]]:
    """A bar that counts texts on stderr, if wanted and if somebody watches."""
    from tqdm import tqdm

    bar: tqdm[Any]
    with tqdm(desc=description, unit=" texts", file=sys.stderr, disable=not (wanted and sys.stderr.isatty())) as bar:
        yield bar
