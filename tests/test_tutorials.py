"""The tutorials run block by block as a reader runs them, and end where their texts say.

They have a student of the real teacher, and the questions of Banking77 where these are, or else of our own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

for package in ("m2v_distill", "m2v_train", "m2v_hub"):
    pytest.importorskip(package, reason="needs all four packages: nox -s tests")

import test_pages as pages
from conftest import DATA
from hub.loopback import Hub, running
from hub.processes import READER, WRITER, process


def run(page: str) -> dict[str, Any]:
    """The names that a tutorial leaves."""
    names: dict[str, Any] = {"__name__": "__main__"}
    blocks = pages.blocks_of(f"tutorials/{page}.md")
    assert blocks
    for line, code in blocks:
        pages.run(f"tutorials/{page}.md", line, code, names)
    return names


@pytest.fixture
def is_real() -> bool:
    """Whether the questions are those of Banking77."""
    return DATA.is_dir()


@pytest.fixture
def folder(
    minilm_student: Path, own_data: Path, is_real: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The working directory of a reader: a model, and the questions."""
    (tmp_path / "my-model").symlink_to(minilm_student)
    shutil.copyfile((DATA if is_real else own_data) / "banking_train.csv", tmp_path / "questions.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_semantic_search(folder: Path, is_real: bool) -> None:
    names = run("semantic-search")
    assert len(names["stolen"]) == len(names["short"]) == len(names["hits"]) == 3 or not is_real
    assert names["right"] / len(names["asked"]) > 0.85
    if is_real:
        assert len(names["rows"]) == 10_003
        assert "stole" in names["index"].search("someone stole my wallet", k=1)[0].metadata["text"]


def test_deduplication(folder: Path, is_real: bool) -> None:
    names = run("deduplication")
    assert len(names["cleaned"]) < len(names["texts"])
    assert len(names["safe"]) + len(names["leaks"]) <= len(names["train"])
    if is_real:
        assert 8_000 < len(names["cleaned"]) < 9_500
        assert names["leaks"]


def test_clustering(folder: Path, is_real: bool) -> None:
    names = run("clustering")
    assert len(set(names["groups"])) == 6
    assert (folder / "clusters.png").stat().st_size > 10_000
    assert names["agreement"] > 0.5


def test_classifier(folder: Path, is_real: bool) -> None:
    names = run("classifier")
    assert names["report"]["accuracy"] > 0.85
    if is_real:
        assert names["pipeline"].predict([names["question"]])[0] == "age_limit"


@pytest.mark.parametrize("page", ["rag", "chunking", "recipes"])
def test_with_texts_of_their_own(
    page: str, minilm_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-model").symlink_to(minilm_student)
    monkeypatch.chdir(tmp_path)
    names = run(page)
    if page == "rag":
        assert "[help, 2] A stolen or lost card" in names["prompt_for"]("Somebody took my card. What can I do?", k=1)
        assert "[help, 4] To change your PIN" in names["prompt_for"]("I forgot my secret number, the PIN", k=1)
    elif page == "chunking":
        subjects = (("tomato", "lettuce", "compost"), ("choir", "hymn", "concert"), ("server", "database", "alarm"))
        for passage in names["by_meaning"]:
            assert sum(any(word in passage.text for word in words) for words in subjects) == 1
        assert "singers come at five" in names["by_meaning"][int(names["best"].id)].text
    else:
        index = names["index"]
        assert index.search("a sweet dessert for a party", k=1, mode="dense")[0].id in (
            "Chocolate cake",
            "Lemon sorbet",
        )
        assert index.search("chipotle", k=1)[0].id == "Spicy bean chili"
        assert all(hit.metadata["minutes"] <= 20 for hit in names["quick"])
        assert {hit.id for hit in names["similar"]} & {"Fish tacos", "Shrimp curry"}


def test_publishing(tmp_path: Path) -> None:
    """With a teacher on a Hub of the test's own, to which the model is published."""
    pages.make_teacher(tmp_path)
    code = "\n".join(code for _, code in pages.blocks_of("tutorials/publishing.md"))
    with running(Hub(repos={}, writers={WRITER: "me"}, readers={READER})) as hub:
        python = process(hub, tmp_path / "cache")
        report = '\nimport json; print(json.dumps({"card": str(card), "dims": [loaded.dim, small.dim], "agreement": agreement}))'
        done = python(code + report, HF_TOKEN=WRITER)
        assert list(hub.repos) == ["me/my-model"], done.stderr
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
    assert found["dims"][0] == found["dims"][1]
    assert found["agreement"] > 0
    assert "license: apache-2.0" in found["card"]
