"""What commands share: streams that can take any text, lines of a file or of stdin, a progress bar on stderr."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

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
def escaping_streams() -> Iterator[None]:
    r"""Have stdout and stderr escape, as `\u732b`, what their encoding lacks, in place of failing; a program of the
    user's finds them as they were.
    """
    changed = [
        (stream, stream.errors)
        for stream in (sys.stdout, sys.stderr)
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape")
    ]
    for stream, _ in changed:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in changed:
            stream.reconfigure(errors=errors)


def json_line(value: object, out: TextIO) -> str:
    r"""A value as JSON, with the escapes of JSON if `out` has an encoding that lacks a character.

    Example:
        >>> json_line("é", io.TextIOWrapper(io.BytesIO(), "ascii"))
        '"\\u00e9"'
    """
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return line


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
