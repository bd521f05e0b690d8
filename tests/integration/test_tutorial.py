"""docs/training.md from start to end: train here, then run the result where m2v-core alone is installed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import venv
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("m2v_train", reason="needs m2v-train: nox -s tests")

import m2v_core
from conftest import make_model
from m2v_distill import distill
from m2v_train import StaticModelForClassification, StaticModelForPairSimilarity, StaticModelForRegression

Run = Callable[..., str]

#: What no runtime image should need.
HEAVY = ("jax", "flax", "optax", "sklearn", "scipy", "transformers", "huggingface_hub", "m2v_train", "m2v_distill")

PREDICT = """
import importlib.util, json, sys
from m2v_core import StaticModel, StaticModelPipeline

pipeline = StaticModelPipeline.from_pretrained(sys.argv[1])
texts = json.load(sys.stdin)
print(json.dumps({
    "labels": [label.tolist() for label in pipeline.predict(texts)],
    "vectors": StaticModel.from_pretrained(sys.argv[1]).encode(texts).tolist(),
    "heavy": [name for name in sys.argv[2:] if importlib.util.find_spec(name)],
}))
"""


@pytest.fixture(scope="module")
def core_alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python in a new environment: m2v-core, and links to what it asks for, as they are installed here."""
    home = tmp_path_factory.mktemp("core-alone")
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    where = [python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
    (site / "m2v_core.pth").write_text(str(Path(m2v_core.__file__).parents[1]), encoding="utf-8")
    for name in ("numpy", "safetensors", "tokenizers", "tqdm"):
        found = distribution(name)
        tops = {file.parts[0] for file in found.files or () if file.parts[0] != ".."}
        for top in tops - {"__pycache__"}:
            (site / top).symlink_to(Path(str(found.locate_file(top))).resolve())

    def run(*arguments: object, stdin: str = "") -> str:
        command = [python, "-I", *map(str, arguments)]  # -I: no PYTHONPATH
        done = subprocess.run(command, capture_output=True, text=True, input=stdin, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def there(run: Run, folder: Path, texts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("-c", PREDICT, folder, *HEAVY, stdin=json.dumps(texts)))
    assert found["heavy"] == []
    return found


TEXTS = ["a good day", "bad days", "sunny, sunny", "unable", "", "good day, bad day", "✪"] * 8
TARGETS: dict[str, tuple[type, list[Any]]] = {
    "classes": (StaticModelForClassification, ["good" if "good" in text else "other" for text in TEXTS]),
    "lists": (StaticModelForClassification, [[w for w in ("good", "bad", "day") if w in text] for text in TEXTS]),
    "numbers": (StaticModelForRegression, [float(len(text)) for text in TEXTS]),
    "pairs": (StaticModelForPairSimilarity, [text.upper() for text in TEXTS]),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_what_is_trained_here_runs_there(kind: str, core_alone: Run, tmp_path: Path) -> None:
    estimator, targets = TARGETS[kind]
    fitted = estimator(make_model(), max_epochs=5, hidden_dim=8, learning_rate=0.02).fit(TEXTS, targets)
    fitted.to_pipeline().save_pretrained(tmp_path / "out")
    found = there(core_alone, tmp_path / "out", TEXTS)
    expected = [label.tolist() for label in fitted.predict(TEXTS)]
    if fitted.to_pipeline().classes_ is None:
        np.testing.assert_allclose(found["labels"], expected, atol=1e-6)
    else:
        assert found["labels"] == expected
    np.testing.assert_allclose(found["vectors"], fitted.to_static_model().encode(TEXTS), atol=1e-6)


def test_a_bank_and_its_questions(minilm: Path, data: Path, core_alone: Run, tmp_path: Path) -> None:
    """As on the page: 1,000 questions to test with, of Banking77 and of ours, and the others to train on."""
    with (data / "banking_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    order = np.random.default_rng(0).permutation(len(rows))
    train, test = [rows[i] for i in order[1000:]], [rows[i] for i in order[:1000]]
    with (tmp_path / "test.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "category"])
        writer.writeheader()
        writer.writerows(test)
    classifier = StaticModelForClassification(distill(minilm, method="token"), learning_rate=5e-3, max_epochs=4)
    classifier.fit([row["text"] for row in train], [row["category"] for row in train])
    classifier.to_pipeline().save_pretrained(tmp_path / "out")

    command = (
        "-m",
        "m2v_core",
        "evaluate",
        tmp_path / "out",
        tmp_path / "test.csv",
        "--label-column",
        "category",
        "--json",
    )
    report = json.loads(core_alone(*command))
    texts = [row["text"] for row in test]
    assert report == classifier.evaluate(texts, [row["category"] for row in test])
    assert report["accuracy"] > 0.85
    lines = core_alone("-m", "m2v_core", "predict", tmp_path / "out", stdin="\n".join(texts[:50])).splitlines()
    assert lines == classifier.predict(texts[:50]).tolist()
