"""`import m2v_core` stays light: proved in a fresh process."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "jax",
    "flax",
    "huggingface_hub",
    "transformers",
    "sklearn",
    "scipy",
    "torch",
    "m2v_distill",
    "m2v_train",
    "m2v_hub",
)

#: Needed by some functions alone.
LATER = ("csv", "gzip", "tqdm", "importlib.metadata", "m2v_core.data.columns", "m2v_core.evaluation")

SNIPPET = """
import sys
{what}
loaded = sorted(name for name in {heavy} if name in sys.modules)
print(",".join(loaded))
"""


def loaded(what: str, names: tuple[str, ...] = HEAVY) -> str:
    code = SNIPPET.format(what=what, heavy=names)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()


def test_import_is_light() -> None:
    assert loaded("import m2v_core, m2v_core.cluster") == ""
    assert loaded("import m2v_core", LATER) == ""
    assert loaded("import csv", LATER) == "csv"


def test_the_command_is_light() -> None:
    assert loaded("from m2v_core.cli.main import build_parser; build_parser(['encode'])") == ""
