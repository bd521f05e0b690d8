"""Commands whose output does not fit: one line that names it, the old output whole, and nothing else left."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from conftest import make_model
from forks import fork, limit_files
from m2v_core.cli.main import main

COMMANDS = {
    "encode": ("encode", "m", "a.txt", "--out", "out.npy"),
    "encode to a table": ("encode", "m", "a.txt", "--out", "out.csv"),
    "quantize": ("quantize", "m", "out", "--quantize-to", "float64"),
    "search": ("search", "day", "a.txt", "--lines", "--model", "m", "--save", "out", "--mode", "dense"),
    "embed": ("embed", "m", "a.txt", "--out", "out"),
    "export": ("export", "sentence-transformers", "m", "out"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the system")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_does_not_fit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_model().save_pretrained("m")
    Path("a.txt").write_text("good day\nday\n" * 500)
    before = {path.name for path in tmp_path.iterdir()}
    if not (child := fork()):
        limit_files(400)
        with Path("errors").open("w", buffering=1) as file:
            sys.stderr = file
            code = main([*COMMANDS[name], *(["-q"] if name == "embed" else [])])
        os._exit(code)
    _, status = os.waitpid(child, 0)
    said = Path("errors").read_text().splitlines()
    out = COMMANDS[name][-1] if name not in ("quantize", "search") else "out"
    assert os.waitstatus_to_exitcode(status) == 1
    assert said[-1].startswith("m2v: error: ")
    assert said[-1].endswith("File too large")
    assert out in said[-1]
    left = {path.name for path in tmp_path.iterdir()} - before - {"errors"}
    assert left <= ({"out"} if name == "embed" else set())
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".tmp", ".part"))]
