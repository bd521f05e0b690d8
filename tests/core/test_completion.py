"""Completion, by the shells themselves: what bash, zsh and fish offer after some words."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from commands import m2v

#: Words before the cursor, and what is offered for them, among others.
OFFERS = [
    (["enc"], {"encode"}),
    (["encode", "--prec"], {"--precision"}),
    (["encode", "--precision", "f"], {"float16", "float32"}),
    (["export", "on"], {"onnx"}),
    (["export", "web", "--do"], {"--docs"}),
    (["completion", ""], {"bash", "zsh", "fish"}),
    (["search", "query", "--mode", ""], {"dense", "lexical", "hybrid"}),
]

BASH = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_m2v
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in ("bash", "zsh", "fish"):
        done = m2v("completion", shell)
        assert (done.returncode, done.stderr) == (0, "")
        (folder / shell).write_text(done.stdout, encoding="utf-8")
    return folder


def needs(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return path


def offered_by_bash(script: Path, *words: str) -> list[str]:
    command = [needs("bash"), "--norc", "-c", BASH, "bash", script, "m2v", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(("words", "offered"), OFFERS)
def test_bash(scripts: Path, words: list[str], offered: set[str]) -> None:
    found = offered_by_bash(scripts / "bash", *words)
    assert offered <= set(found)
    assert all(each.startswith(words[-1]) for each in found)


def test_bash_splits_at_equals_signs(scripts: Path) -> None:
    assert offered_by_bash(scripts / "bash", "encode", "--precision", "=") == [
        *("float32", "float16", "int8", "uint8", "binary", "ubinary")
    ]
    assert offered_by_bash(scripts / "bash", "encode", "--precision", "=", "fl") == ["float32", "float16"]


def test_bash_leaves_files_to_itself(scripts: Path) -> None:
    """Where the script offers nothing, bash offers files."""
    assert offered_by_bash(scripts / "bash", "encode", "mod") == []
    assert offered_by_bash(scripts / "bash", "encode", "my-model", "--out", "x") == []


@pytest.mark.parametrize(("words", "offered"), OFFERS)
def test_fish(scripts: Path, words: list[str], offered: set[str]) -> None:
    code = f"source {scripts / 'fish'}; complete -C '{' '.join(['m2v', *words])}'"
    done = subprocess.run([needs("fish"), "--no-config", "-c", code], capture_output=True, text=True, check=True)
    assert offered <= {line.split("\t")[0] for line in done.stdout.splitlines()}


def typed(command: list[str], start: str, keys: str, expected: str, cwd: Path) -> str:
    """What a shell on a terminal of its own shows after some keys, until it shows what is expected."""
    pty = pytest.importorskip("pty", reason="terminals of POSIX")
    terminal, end = pty.openpty()
    variables = {"TERM": "dumb", "PATH": os.environ["PATH"], "PS1": "> ", "HOME": str(cwd)}
    process = subprocess.Popen(
        command, cwd=cwd, env=variables, stdin=end, stdout=end, stderr=end, start_new_session=True
    )
    shown, until = "", time.monotonic() + 20
    try:
        for keys_now, wanted in ((f"{start}; echo rea''dy\n", "ready\r"), (keys, expected)):
            os.write(terminal, keys_now.encode())
            shown = ""
            while wanted not in shown and time.monotonic() < until:
                if select.select([terminal], [], [], 0.5)[0]:
                    shown += os.read(terminal, 4096).decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        os.close(end)
    return shown


@pytest.mark.parametrize(
    ("keys", "expected"),
    [("m2v enc\t", "encode "), ("m2v encode --dimen\t", "sionality"), ("m2v info my-m\t", "model")],
)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_tab_on_a_terminal(shell: str, keys: str, expected: str, scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    options = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}[shell]
    start = "" if shell == "bash" else "autoload -U compinit && compinit -D -u; "
    shown = typed([needs(shell), *options], f"{start}source {scripts / shell}", keys, expected, tmp_path)
    assert expected in shown, shown


def test_an_unknown_shell() -> None:
    done = m2v("completion", "bsh")
    assert done.returncode == 2
    assert "Did you mean 'bash'?" in done.stderr
