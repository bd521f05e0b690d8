"""Standard streams that can take any text."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def escaping_streams() -> Iterator[None]:
    r"""Let stdout and stderr escape, as `\u732b`, what their encoding lacks, instead of failing.

    Streams that were closed are empty, or take what nobody reads; else the next files would get their numbers. When the
    block ends all are as they were, for a program that calls the command.
    """
    with ExitStack() as opened:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:
                stream = opened.enter_context(Path(os.devnull).open(mode, encoding="utf-8"))
                setattr(sys, name, stream)
                opened.callback(setattr, sys, name, None)
        with _escaping():
            yield


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
