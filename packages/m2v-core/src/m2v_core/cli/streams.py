"""Standard streams that can take any text."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TextIO


@contextmanager
def escaping_streams() -> Iterator[None]:
    r"""Let stdout and stderr escape, as `\u732b`, what their encoding lacks, instead of failing.

    Streams that were closed are empty, or take what nobody reads; else the next files would get their numbers. What
    stderr does not take, as on a full disk, is lost, and the work goes on. When the block ends all are as they were,
    for a program that calls the command.
    """
    with ExitStack() as opened:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:
                stream = opened.enter_context(Path(os.devnull).open(mode, encoding="utf-8"))
                setattr(sys, name, stream)
                opened.callback(setattr, sys, name, None)
        with _escaping(), _lossy_stderr():
            yield


class _Lossy(io.TextIOWrapper):
    """A stream like another, to the same file, that loses what cannot be written, and after that all."""

    def __init__(self, other: TextIO) -> None:
        # A buffer of its own, so that it stays whole where a handler of logging keeps the stream.
        file = io.BufferedWriter(io.FileIO(other.fileno(), "w", closefd=False))
        super().__init__(file, other.encoding, other.errors, line_buffering=True)
        self._other = other

    def isatty(self) -> bool:
        """Whether the other is a terminal."""
        return self._other.isatty()

    def write(self, text: str) -> int:
        """Write a text; returns its length, also if it is lost."""
        try:
            return super().write(text)
        except OSError:
            self._lose()
            return len(text)

    def flush(self) -> None:
        """Write what is held."""
        try:
            super().flush()
        except OSError:
            self._lose()

    def _lose(self) -> None:
        with Path(os.devnull).open("w", encoding="utf-8") as nothing:
            os.dup2(nothing.fileno(), self.fileno())


@contextmanager
def _lossy_stderr() -> Iterator[None]:
    """Let no note end the work: a full disk behind stderr, or a reader who has seen enough."""
    before = sys.stderr
    is_ours = type(before) is io.TextIOWrapper and _has_number(before)  # else of a test, or of a program
    if os.name != "posix" or not is_ours:  # a console of Windows is no file of bytes
        yield
        return
    with suppress(OSError):
        before.flush()
    sys.stderr = lossy = _Lossy(before)
    try:
        yield
    finally:
        lossy.flush()
        sys.stderr = before


def _has_number(stream: IO[str]) -> bool:
    try:
        return stream.fileno() >= 0
    except (OSError, ValueError):
        return False


@contextmanager
def _escaping() -> Iterator[None]:
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
