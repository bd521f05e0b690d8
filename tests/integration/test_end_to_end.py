"""The main job on the real teacher, as a user does it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from m2v_core import StaticModel


def m2v(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "m2v_core", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def student(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("end-to-end") / "student"
    done = m2v("distill", minilm, out)
    assert done.returncode == 0, done.stderr
    return out


def test_the_command_makes_a_model(student: Path) -> None:
    facts = json.loads(m2v("info", student, "--json").stdout)
    assert facts["tokens"] == 29525
    assert (facts["dimensions"], facts["dtype"]) == (256, "float16")
    assert (facts["language"], facts["license"]) == (["en"], "apache-2.0")


def test_like_texts_are_near(student: Path) -> None:
    model = StaticModel.from_pretrained(student)
    cat, kitten, bank = model.encode(
        ["A cat sleeps on the sofa.", "The kitten naps on a couch.", "Interest rates rose."]
    )
    assert cat @ kitten > 0.4
    assert cat @ bank < 0.3


def test_quality_on_real_pairs(student: Path, data: Path) -> None:
    """Spearman's correlation with people's scores; model2vec's student has 0.70 on these pairs."""
    with (data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    scores = np.array([float(row[2]) for row in rows])
    for options in ({}, {"quantize_to": "int8"}):
        model = StaticModel.from_pretrained(student, **options)
        similarity = (model.encode([row[0] for row in rows]) * model.encode([row[1] for row in rows])).sum(axis=1)
        ranks = [np.argsort(np.argsort(values)) for values in (similarity, scores)]
        assert np.corrcoef(*ranks)[0, 1] > 0.68
