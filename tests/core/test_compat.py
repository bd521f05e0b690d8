"""The name model2vec: who answers it, when, and what is imported for it. In processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from m2v_core import compat
from m2v_core.compat.names import MODULES
from m2v_core.errors import InvalidInputError

#: A stand-in for the real package, which would have priority.
REAL = "__version__ = 'real'\n"


def run(code: str, *arguments: str, cwd: Path | None = None, path: Path | None = None) -> str:
    """The output of a program in a fresh process; `path` is a folder of packages."""
    return run_python("-c", code, *arguments, cwd=cwd, path=path)


def run_python(*arguments: str, cwd: Path | None = None, path: Path | None = None) -> str:
    extra = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    arguments = ("-c", extra + arguments[1], *arguments[2:]) if arguments[0] == "-c" else arguments
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder of packages with a model2vec in it."""
    (tmp_path / "model2vec").mkdir()
    (tmp_path / "model2vec" / "__init__.py").write_text(REAL)
    return tmp_path


def test_without_it_there_is_no_model2vec(tmp_path: Path) -> None:
    code = "import m2v_core.compat.finder, importlib.util; print(importlib.util.find_spec('model2vec'))"
    assert run(code, cwd=tmp_path) == "None"


@pytest.mark.parametrize("how", ["import m2v_core.compat.auto", "from m2v_core.compat import enable; assert enable()"])
def test_enabling_imports_nothing_heavy(how: str, tmp_path: Path) -> None:
    code = f"{how}; import sys, model2vec, model2vec.inference; print('numpy' in sys.modules, 'jax' in sys.modules)"
    assert run(code, cwd=tmp_path) == "False False"


def test_names_are_imported_when_they_are_used(tmp_path: Path) -> None:
    code = """
import m2v_core.compat.auto, sys, model2vec
from model2vec import StaticModel
import m2v_core
print(StaticModel, issubclass(StaticModel, m2v_core.StaticModel), model2vec.__version__, sorted(dir(model2vec)))
print(sorted(name for name in ("jax", "huggingface_hub", "sklearn", "transformers") if name in sys.modules))
"""
    expected = "<class 'model2vec.model.StaticModel'> True 0.10.0 ['StaticModel', '__version__', 'quantize_model']\n[]"
    assert run(code, cwd=tmp_path) == expected


def test_each_name_has_a_home(tmp_path: Path) -> None:
    code = """
import m2v_core.compat.auto
from importlib import import_module
from m2v_core.compat.names import MODULES
for module, names in MODULES.items():
    for name in names:
        assert getattr(import_module(module), name) is not None
    namespace = {}
    exec(f"from {module} import *", namespace)
    assert names.keys() <= namespace.keys(), module
print(sum(map(len, MODULES.values())))
"""
    assert run(code, cwd=tmp_path) == str(sum(map(len, MODULES.values())))


def test_a_real_model2vec_has_priority(real: Path) -> None:
    code = "from m2v_core.compat import enable; print(enable()); import model2vec; print(model2vec.__version__)"
    assert run(code, path=real) == "False\nreal"


def test_force_goes_before_a_real_one(real: Path) -> None:
    code = (
        "from m2v_core.compat import enable; print(enable(force=True)); import model2vec; print(model2vec.__version__)"
    )
    assert run(code, path=real) == "True\n0.10.0"


def test_force_comes_too_late_after_an_import(real: Path) -> None:
    code = """
import model2vec
from m2v_core.compat import enable
try:
    enable(force=True)
except ValueError as error:
    print(error)
"""
    message = run(code, path=real)
    assert "before the first import of model2vec" in message
    assert str(real / "model2vec" / "__init__.py") in message


def test_force_is_an_error_in_this_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model2vec", type(sys)("model2vec"))
    with pytest.raises(InvalidInputError, match="before the first import"):
        compat.enable(force=True)
    assert not any(isinstance(finder, compat.Finder) for finder in sys.meta_path)


def test_a_folder_of_the_name_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "model2vec").mkdir()
    (tmp_path / "model2vec" / "config.json").write_text("{}")
    code = "import m2v_core.compat.auto, model2vec; print(model2vec.__version__)"
    assert run(code, cwd=tmp_path, path=tmp_path) == "0.10.0"


def test_enabling_twice_is_enabling_once(tmp_path: Path) -> None:
    code = """
import sys
from m2v_core.compat import Finder, enable
print(enable(), enable(), enable(force=True), sum(isinstance(finder, Finder) for finder in sys.meta_path))
"""
    assert run(code, cwd=tmp_path) == "True True True 1"


def test_missing_modules_and_names_say_so(tmp_path: Path) -> None:
    code = """
import m2v_core.compat.auto, m2v_core.compat.finder as finder
finder._tables, finder.spec_of = lambda: (), lambda name: None  # as without m2v-distill and m2v-train
for module in ("model2vec.nothing", "model2vec.distill", "model2vec.train.classifier"):
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        print(error.name, "|", error)
import model2vec
print(hasattr(model2vec, "nothing"))
try:
    from model2vec import nothing
except ImportError as error:
    print(error.name)
"""
    unknown, distill, train, has, name = run(code, cwd=tmp_path).splitlines()
    assert unknown.startswith("model2vec.nothing | m2v, which answers for model2vec, has no module model2vec.nothing")
    assert distill.endswith("pip install m2v-distill")
    assert train.endswith("pip install m2v-train")
    assert (has, name) == ("False", "model2vec")


SCRIPT = """
import sys
from model2vec import StaticModel, __version__
import sibling
print(__name__, sys.argv[1:], __version__, sibling.x)
"""


def test_running_a_script(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "sibling.py").write_text("x = 1")
    (tmp_path / "scripts" / "program.py").write_text(SCRIPT)
    said = run_python("-m", "m2v_core.compat", "scripts/program.py", "-m", "--force", cwd=tmp_path)
    assert said == "__main__ ['-m', '--force'] 0.10.0 1"


def test_running_a_module(tmp_path: Path) -> None:
    (tmp_path / "sibling.py").write_text("x = 1")
    (tmp_path / "program.py").write_text(SCRIPT)
    assert run_python("-m", "m2v_core.compat", "-m", "program", "a", cwd=tmp_path) == "__main__ ['a'] 0.10.0 1"


def test_running_where_model2vec_is_installed(real: Path) -> None:
    (real / "program.py").write_text("import model2vec; print(model2vec.__version__)")
    assert run_python("-m", "m2v_core.compat", "program.py", cwd=real) == "real"
    assert run_python("-m", "m2v_core.compat", "--force", "program.py", cwd=real) == "0.10.0"


@pytest.mark.parametrize("arguments", [(), ("--force",), ("-m",), ("--help",)])
def test_usage(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "m2v_core.compat", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python -m m2v_core.compat")
