"""`import m2v_train` is light; training needs nothing but what the package asks for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import make_model

m2v_train = pytest.importorskip("m2v_train")

PACKAGE = Path(__file__).parents[2] / "packages" / "m2v-train"
#: The siblings, what only they need, and what only extras and users bring.
ABSENT = (
    "m2v_distill",
    "m2v_hub",
    "transformers",
    "torch",
    "huggingface_hub",
    "matplotlib",
    "pandas",
    "pyarrow",
    "skops",
)

TRAIN_WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from m2v_train import StaticModelForClassification

learner = StaticModelForClassification.from_pretrained(sys.argv[1], max_epochs=2, hidden_dim=4)
learner.fit(["good", "bad"] * 20, ["up", "down"] * 20).to_pipeline().save_pretrained(sys.argv[2])
print([name for name in {absent} if name in sys.modules])
"""


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_light() -> None:
    heavy = ("jax", "flax", "optax", "sklearn", *ABSENT)
    code = (
        f"import sys, m2v_train, m2v_train.cli.train; dir(m2v_train); print([m for m in {heavy} if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_training_needs_no_other_package(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "model")
    assert run(TRAIN_WITHOUT.format(absent=ABSENT), tmp_path / "model", tmp_path / "out") == "[]"


def test_the_package_asks_for_what_it_imports() -> None:
    """At the top of its modules: what only extras bring is imported inside functions."""
    imports = re.compile(r"^(?:from|import) (\w+)", re.MULTILINE)
    modules = Path(str(m2v_train.__file__)).parent.rglob("*.py")
    found = {name for file in modules for name in imports.findall(file.read_text(encoding="utf-8"))}
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.split("[<>=]", requirement)[0].replace("-", "_") for requirement in project["dependencies"]}
    assert found - set(sys.stdlib_module_names) - {"m2v_train"} == asked - {"scikit_learn"} | {"sklearn"}


def test_names() -> None:
    import m2v_train

    assert [name for name in m2v_train.__all__ if not hasattr(m2v_train, name)] == []
    assert set(m2v_train.__all__) <= set(dir(m2v_train))
    with pytest.raises(AttributeError, match="no attribute 'StaticModelForClasification'"):
        m2v_train.StaticModelForClasification  # noqa: B018
