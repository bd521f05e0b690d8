"""The main job on the real teacher, as a user does it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import DATA
from m2v_core import StaticModel
from m2v_distill import Teacher, distill


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


@pytest.fixture(scope="module")
def pairs(real_data: Path) -> tuple[list[str], list[str], np.ndarray]:
    """STS-B: pairs of sentences, and how alike people found them."""
    with (real_data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        ones, others, scores = zip(*csv.reader(file), strict=True)
    return list(ones), list(others), np.array(scores, float)


def spearman(model: StaticModel, pairs: tuple[list[str], list[str], np.ndarray]) -> float:
    """The rank correlation of cosines with people's scores, times 100."""
    similarity = (model.encode(pairs[0]) * model.encode(pairs[1])).sum(axis=1)
    ranks = [np.argsort(np.argsort(values)) for values in (similarity, pairs[2])]
    return 100 * float(np.corrcoef(*ranks)[0, 1])


def test_quality_on_real_pairs(minilm_student: Path, student: Path, pairs) -> None:
    """Composed it is better than token by token, as model2vec does it; int8 keeps it."""
    composed = spearman(StaticModel.from_pretrained(student), pairs)
    assert composed > spearman(StaticModel.from_pretrained(minilm_student), pairs) + 2
    assert spearman(StaticModel.from_pretrained(student, quantize_to="int8"), pairs) > composed - 0.3


def corpus_of(data: Path) -> tuple[list[str], list[str]]:
    """2,000 texts of three kinds, and 450 others."""
    with (data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        sentences = [sentence for row in csv.reader(file) for sentence in row[:2]]
    with (data / "banking_train.csv").open(encoding="utf-8", newline="") as file:
        questions = [row["text"] for row in csv.DictReader(file)]
    tweets = (data / "te_emoji_train_text.txt").read_text(encoding="utf-8").splitlines()[:2000]
    texts, held_out = [], []
    for kind in (questions, tweets, sentences):
        order = np.random.default_rng(0).permutation(len(kind))
        texts += [kind[row] for row in order[:667]]
        held_out += [kind[row] for row in order[-150:]]
    return texts, held_out


def test_a_corpus_brings_it_nearer(minilm: Path, student: Path, own_data: Path) -> None:
    """On texts that are not in it, our own and the real ones, the cosines of all pairs are more alike the teacher's.

    As they are, and of vectors less their mean. It is half of what a corpus could bring, for the sake of other texts.
    """
    corpora = [corpus_of(folder) for folder in (own_data, DATA) if folder.is_dir()]
    composed = StaticModel.from_pretrained(student)
    fitted = distill(minilm, corpus=[text for texts, _ in corpora for text in texts], rounds=1)
    for _, held_out in corpora:
        expected = Teacher.from_pretrained(minilm).encode(held_out)
        for centred in (False, True):
            before, after = (
                likeness(model.encode(held_out), expected, centred=centred) for model in (composed, fitted)
            )
            assert after > before + 0.05


def likeness(vectors: np.ndarray, expected: np.ndarray, *, centred: bool) -> float:
    """The correlation of the cosines of all pairs; the teacher's vectors are centred or as they are."""
    targets = expected - expected.mean(axis=0) * centred
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    upper = np.triu_indices(len(vectors), 1)
    return float(np.corrcoef((vectors @ vectors.T)[upper], (targets @ targets.T)[upper])[0, 1])
