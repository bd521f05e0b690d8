"""What adapters share. Those of other libraries: `test_sklearn.py`, and `tests/integration/`."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from commands import m2v
from conftest import make_model
from m2v_core import InvalidInputError, MissingPackageError, StaticModel, StaticModelPipeline
from m2v_core.integrations import Embedder
from m2v_core.integrations.mteb.results import TaskScore, make_leaderboard, parse_mteb_results, summarize_results
from m2v_core.integrations.txtai import transform

TEXTS = ["good day", "", "another good day!", "a"]

#: Adapter -> the module of the library that it needs, and what to install.
ADAPTERS = {
    "bertopic": ("bertopic", "bertopic"),
    "chonkie": ("chonkie", "chonkie"),
    "haystack": ("haystack", "haystack-ai"),
    "keybert": ("keybert", "keybert"),
    "langchain": ("langchain_core", "langchain-core"),
    "llama_index": ("llama_index", "llama-index-core"),
    "mteb.encoder": ("mteb", "m2v-core[mteb]"),
    "mteb.tasks": ("mteb", "m2v-core[mteb]"),
    "sklearn": ("sklearn", "scikit-learn"),
    "spacy": ("spacy", "spacy"),
}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    make_model(normalize=True).save_pretrained(tmp_path / "m")
    return str(tmp_path / "m")


def test_a_model_or_its_folder(folder: str) -> None:
    model = StaticModel.from_pretrained(folder)
    for given in (model, folder, Path(folder)):
        embedder = Embedder.of(given, {"truncate_dim": 3})
        assert embedder.dim == 3
        assert np.array_equal(embedder.encode(TEXTS), model.encode(TEXTS, truncate_dim=3))
        assert np.array_equal(embedder.encode(TEXTS, truncate_dim=2), model.encode(TEXTS, truncate_dim=2))
    assert Embedder.of(model, {}).model is model


def test_queries_and_documents_have_prompts() -> None:
    model = make_model()
    model.prompts = {"query": "good ", "passage": "day "}
    embedder = Embedder.of(model, {})
    assert np.array_equal(embedder.encode(TEXTS), model.encode(TEXTS))
    assert np.array_equal(embedder.queries(TEXTS), model.encode([f"good {text}" for text in TEXTS]))
    assert np.array_equal(embedder.documents(TEXTS), model.encode([f"day {text}" for text in TEXTS]))


def test_what_is_wrong_shows_at_once(folder: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"'truncate_dims'\. Did you mean 'truncate_dim'"):
        Embedder.of(folder, {"truncate_dims": 3})
    with pytest.raises(InvalidInputError, match="truncate_dim should be a whole number, from 1 to 8"):
        Embedder.of(folder, {"truncate_dim": 99})
    with pytest.raises(FileNotFoundError):
        Embedder.of(tmp_path / "none", {})
    for wrong in (3, None, StaticModelPipeline):
        with pytest.raises(InvalidInputError, match="should be a StaticModel, a folder or the name"):
            Embedder.of(wrong, {})


def test_adapters_are_imported_when_they_are_asked_for() -> None:
    """And where a library is missing the error says what to install: in a process that fails to import any of them."""
    code = f"""
import sys, importlib, m2v_core.integrations, m2v_core.integrations.mteb, m2v_core.integrations.txtai
print([module for module, _ in {ADAPTERS}.values() if module in sys.modules])
for name, (module, _) in {ADAPTERS}.items():
    sys.modules[module] = None
    try: importlib.import_module(f"m2v_core.integrations.{{name}}")
    except ImportError as error: print(name, type(error).__name__, error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert found.splitlines() == ["[]"] + [
        f"{name} MissingPackageError This needs {requirement}, which is not installed: pip install '{requirement}'"
        for name, (_, requirement) in ADAPTERS.items()
    ]


def test_txtai_gets_a_function() -> None:
    function = transform(make_model(), normalize=True)
    assert type(function).__name__ == "function"  # what txtai calls; it would call a class without arguments
    assert np.array_equal(function(TEXTS), make_model().encode(TEXTS, normalize=True))


def test_means_and_leaderboard() -> None:
    """By the rules of model2vec's published results: averages are over tasks, and not over types."""
    first = {"a": TaskScore("STS", 80), "b": TaskScore("STS", 60), "c": TaskScore("Retrieval", 10)}
    second = {**first, "c": TaskScore("Retrieval", 40), "d": TaskScore("WordSim", 30), "e": TaskScore("Mine", 90)}
    summary = summarize_results({"first": first, "sec|ond": second})
    assert summary["first"] == {"Avg (All)": 50, "Avg (MTEB)": 50, "Retrieval": 10, "STS": 70, "Tasks": 3}
    assert summary["sec|ond"]["Avg (All)"] == 60
    assert summary["sec|ond"]["Avg (MTEB)"] == 67.5
    assert make_leaderboard(summary).splitlines() == [
        "| Model    | Avg (All) | Avg (MTEB) |   Ret |   STS | WordSim |  Mine | Tasks |",
        "| :------- | --------: | ---------: | ----: | ----: | ------: | ----: | ----: |",
        "| sec\\|ond |     60.00 |      67.50 | 40.00 | 70.00 |   30.00 | 90.00 |     5 |",
        "| first    |     50.00 |      50.00 | 10.00 | 70.00 |       - |     - |     3 |",
    ]
    nothing = summarize_results({"x": {}, "y": first})
    assert make_leaderboard(nothing).splitlines()[-1].startswith("| x     |         - |")


def test_results_of_unknown_types() -> None:
    class Result:
        task_name = "mine"

        @property
        def task_type(self) -> str:
            raise KeyError("mine")

        def get_score(self) -> float:
            return 0.5

    with pytest.raises(InvalidInputError, match=r"task_types should have .* 'mine'"):
        parse_mteb_results([Result()], "m")
    assert parse_mteb_results([Result()], "m", task_types={"mine": "STS"}) == {"m": {"mine": TaskScore("STS", 50.0)}}


@pytest.mark.skipif(find_spec("mteb") is not None, reason="mteb is installed")
def test_the_command_without_mteb(folder: str) -> None:
    done = m2v("evaluate-mteb", folder, "--tasks", "STS12")
    assert done.returncode == 1
    assert done.stderr == (
        "m2v: error: This needs m2v-core[mteb], which is not installed: pip install 'm2v-core[mteb]'\n"
    )
    with pytest.raises(MissingPackageError):
        from m2v_core.integrations.mteb import CustomMTEB  # noqa: F401


def test_the_command_wants_different_models(folder: str) -> None:
    done = m2v("evaluate-mteb", folder, folder)
    assert done.returncode == 1
    assert "should be different models" in done.stderr
