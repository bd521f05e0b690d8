"""The command `m2v` in this process, as a process of its own would run it: streams, exit code, working directory.

It saves the second or more that a new interpreter takes to import what the command needs. What only a process shows,
such as a closed pipe, is tested in one.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path

from m2v_core.cli.main import main


def m2v(
    *arguments: object, stdin: str | bytes = "", cwd: Path | None = None, encoding: str = "utf-8"
) -> subprocess.CompletedProcess[str]:
    """Run the command; it reads `stdin`, and the result holds what it wrote, in the encoding of its streams."""
    words = list(map(str, arguments))
    with (
        _streams(stdin.encode() if isinstance(stdin, str) else stdin, encoding) as (out, err),
        chdir(cwd) if cwd else nullcontext(),
    ):
        try:
            code = main(words)
        except SystemExit as exit_:  # of argparse
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        out.flush()
        err.flush()
        found = [stream.buffer.getvalue().decode(encoding) for stream in (out, err)]  # type: ignore[attr-defined] # BytesIO
    return subprocess.CompletedProcess(["m2v", *words], code, *found)


@contextmanager
def _streams(stdin: bytes, encoding: str) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, kind, "\n") for kind in ("strict", "backslashreplace"))
    with tempfile.TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(file), out, err
        try:
            yield out, err
        finally:
            sys.stdin.detach()
            sys.stdin, sys.stdout, sys.stderr = before
