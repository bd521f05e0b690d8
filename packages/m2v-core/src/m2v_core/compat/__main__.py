"""Run a program for model2vec: `python -m m2v_core.compat [--force] (script.py | -m module) [argument ...]`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from m2v_core.compat import enable

USAGE = "usage: python -m m2v_core.compat [--force] (script.py | -m module) [argument ...]"


def main() -> None:
    """Run the script or the module that the command line names, as Python itself would."""
    arguments = sys.argv[1:]
    force = arguments[:1] == ["--force"]
    program = arguments[1:] if force else arguments
    as_module = program[:1] == ["-m"]
    program = program[1:] if as_module else program
    if not program or program[0].startswith("-"):
        sys.exit(USAGE)
    if not enable(force):
        print("model2vec is installed and is used itself; --force uses m2v in its place.", file=sys.stderr)
    sys.argv = program
    if as_module:
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(program[0]).resolve().parent)
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main()
