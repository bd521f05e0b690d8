"""Live: the code in cards, with the libraries that it is for (nox -s interop)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

model2vec = pytest.importorskip("model2vec", reason="needs model2vec and sentence-transformers: nox -s interop")
sentence_transformers = pytest.importorskip(
    "sentence_transformers", reason="needs model2vec and sentence-transformers: nox -s interop"
)

from cards import CASES, blocks, run_python, write_case
from m2v_core import StaticModel
from m2v_hub import card_for

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]  # the peers warn of their own parts

PYTHON = [case for case in CASES if not case.startswith("onnx")]
HEADS = {"classes": ((2,), (2, 3)), "labels": ((2,), (2, 3)), "numbers": ((2, 2), None)}
KNOWN = ["good day!", "a bad, sunny day"]
EXAMPLES = '["This is an example sentence.", "Each sentence is converted."]'


@pytest.fixture
def card(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> str:
    """A card, in its folder, which lies under its name."""
    folder = tmp_path / "org" / request.param
    card = card_for(folder, repo_id=f"org/{request.param}", **write_case(request.param, folder))
    (folder / "README.md").write_text(card, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return card


def code_for(card: str, library: str) -> list[str]:
    starts = (f"from {library}", f"import {library}")
    return [code for language, code in blocks(card) if language == "python" and code.startswith(starts)]


@pytest.mark.parametrize(("card", "case"), [(case, case) for case in PYTHON], indirect=["card"])
def test_blocks_of_model2vec(card: str, case: str, tmp_path: Path) -> None:
    codes = code_for(card, "model2vec")
    if case == "sentence-transformers" or case.startswith("style-"):  # of its modules.json model2vec reads nothing
        assert not codes
        return
    (code,) = codes
    variables = run_python(code, tmp_path)
    if case in HEADS:
        predictions, probabilities = HEADS[case]
        assert np.shape(variables["pipeline"].predict(KNOWN))[: len(predictions)] == predictions
        if probabilities:
            assert variables["pipeline"].predict_proba(KNOWN).shape == probabilities
    else:
        expected = StaticModel.from_pretrained(tmp_path / "org" / case).encode(KNOWN)
        np.testing.assert_allclose(variables["model"].encode(KNOWN), expected, atol=1e-5)
        assert str(variables["vectors"].shape) == code.rsplit("# ", 1)[1].strip()


@pytest.mark.parametrize(("card", "case"), [(case, case) for case in PYTHON], indirect=["card"])
def test_blocks_of_sentence_transformers(card: str, case: str, tmp_path: Path) -> None:
    codes = code_for(card, "sentence_transformers")
    assert len(codes) == (case not in ("unknown", "clusters"))
    for code in codes:
        variables = run_python(code, tmp_path)
        ours = StaticModel.from_pretrained(tmp_path / "org" / case)
        np.testing.assert_allclose(variables["model"].encode(KNOWN), ours.encode(KNOWN), atol=1e-5)
        assert f"**Similarity Function:** {variables['model'].similarity_fn_name.title()}" in card
        assert f"**Output Dimensionality:** {ours.dim} dimensions" in card


@pytest.mark.parametrize(("card", "case"), [(case, case) for case in PYTHON if "style" in case], indirect=["card"])
def test_the_manner_of_sentence_transformers(card: str, case: str, tmp_path: Path) -> None:
    """Its block of plain PyTorch computes the same vectors, and the architecture is that of the model it loads."""
    model = sentence_transformers.SentenceTransformer(f"org/{case}", device="cpu")
    for code in code_for(card, "torch"):
        variables = run_python(code.replace(EXAMPLES, repr(KNOWN)), tmp_path)
        np.testing.assert_allclose(variables["embeddings"].numpy(), model.encode(KNOWN), atol=1e-6)
    assert bool(code_for(card, "torch")) == (case != "style-compact")
    architecture = next(code for language, code in blocks(card) if not language)
    assert re.findall(r"\(\d\): (\w+)", architecture) == [type(module).__name__ for module in model]
    assert f"(embedding): {model[0].embedding!r}" in architecture


@pytest.mark.parametrize("card", ["composed"], indirect=True)
def test_model2vec_reads_the_metadata(card: str) -> None:
    model = model2vec.StaticModel.from_pretrained("org/composed")
    assert (model.base_model_name, model.language) == ("org/teacher", ["en", "de"])
