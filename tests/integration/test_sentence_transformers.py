"""Live: exports for sentence-transformers, there and back (nox -s interop, nox -s integrations)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sentence_transformers = pytest.importorskip("sentence_transformers", "6.2", reason="needs the library: nox -s interop")

from conftest import make_model
from m2v_core import StaticModel, quantize_model, verify
from m2v_core.sentence_transformers import save_sentence_transformers
from m2v_core.verification import TEXTS

pytestmark = [pytest.mark.interop, pytest.mark.integrations, pytest.mark.filterwarnings("default")]

Ran = Callable[[str, str, float], None]

#: Texts of TEXTS in which the first 512 tokens are others there, because of unknown ones.
TRUNCATED = [len(TEXTS) - 1]

TABLES = {
    "float32": {},
    "float16": {"quantize_to": "float16"},
    "int8": {"quantize_to": "int8"},
    "clusters": {"vocabulary_quantization": 12, "quantize_to": "int8"},
}

#: A Python with an older version: nox -s integrations makes one.
OLDER = os.environ.get("M2V_OLDER_SENTENCE_TRANSFORMERS")


def model_of(table: str, kind: str = "wordpiece") -> StaticModel:
    model = make_model(kind, dim=16, normalize=True)
    model.prompts, model.similarity_fn_name = {"query": "good ", "passage": "bad "}, "dot"
    return quantize_model(model, **TABLES[table]) if TABLES[table] else model


def loaded(folder: Path):
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu")


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_an_export(table: str, compact: bool, tmp_path: Path, ran: Ran) -> None:
    model = model_of(table)
    save_sentence_transformers(model, tmp_path / "out", compact=compact)
    there = loaded(tmp_path / "out")
    found, expected = there.encode(list(TEXTS)), model.encode(TEXTS)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    same = [index for index in range(len(TEXTS)) if index not in TRUNCATED]
    difference = float(np.abs(found[same] - expected[same]).max())
    assert difference < 3e-6  # of 512 tokens; 1e-6 without the longest text
    assert np.abs(found[same[:-1]] - expected[same[:-1]]).max() < 1e-6
    assert np.abs(there.encode_query(["day"]) - model.encode_query(["day"])).max() < 1e-6
    assert np.abs(there.encode_document(["day"]) - model.encode_document(["day"])).max() < 1e-6
    assert there.similarity_fn_name == "dot"
    ran("sentence-transformers", f"export of {table}{', compact' if compact else ''}", difference)


def test_what_it_saves_comes_back(tmp_path: Path) -> None:
    model = model_of("clusters")
    save_sentence_transformers(model, tmp_path / "out", compact=True)
    loaded(tmp_path / "out").save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    back = StaticModel.from_pretrained(tmp_path / "saved")
    np.testing.assert_allclose(back.encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert (back.prompts["query"], back.similarity_fn_name, back.max_length) == ("good ", "dot", 512)


@pytest.mark.parametrize("frozen", [False, True])
def test_fine_tuned_there_and_back(frozen: bool, tmp_path: Path, ran: Ran) -> None:
    """The row of zeros of the unknown token stays finite, also where a text has no other token, or none at all."""
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = model_of("float32")
    save_sentence_transformers(model, tmp_path / "out")
    there = loaded(tmp_path / "out")
    weight, unknown = there[0].embedding.weight, model.unk_token_id
    if frozen:
        weight.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor([unknown]), 0))
    loss = MultipleNegativesRankingLoss(there)
    optimizer = torch.optim.Adam(there.parameters(), lr=0.05)
    batches = [[("good day", "sunny days"), ("bad", "✪ unable")], [("✪", "✪✪"), ("✪ good", ""), ("a", "good bad")]]
    for batch in batches * 3:
        features = [there.preprocess([pair[side] for pair in batch]) for side in (0, 1)]
        optimizer.zero_grad()
        loss(features, None).backward()
        optimizer.step()
    assert torch.isfinite(weight).all()
    assert bool(weight[unknown].any()) != frozen
    there.save_pretrained(str(tmp_path / "tuned"), create_model_card=False)
    back = StaticModel.from_pretrained(tmp_path / "tuned")
    texts = ["good day", "sunny days", "", "bad, unable", *(["✪", "a ✪ day"] if frozen else [])]
    difference = float(np.abs(back.encode(texts) - there.encode(texts)).max())
    assert difference < 1e-6
    assert np.abs(back.encode("good day") - model.encode("good day")).max() > 0.01
    assert np.isfinite(back.encode(TEXTS)).all()
    ran("sentence-transformers", f"fine-tuned, back{', [UNK] frozen' if frozen else ''}", difference)


def test_plain_saves(tmp_path: Path, ran: Ran) -> None:
    """float32 loads by name; in float16 a text without tokens is NaN, unless it is computed in float32."""
    model = make_model("byte_bpe", dim=16, normalize=True)
    model.save_pretrained(tmp_path / "m")
    difference = float(np.abs(loaded(tmp_path / "m").encode(list(TEXTS)) - model.encode(TEXTS)).max())
    assert difference < 3e-6
    ran("sentence-transformers", "plain save of float32", difference)
    half = quantize_model(model, quantize_to="float16")
    half.save_pretrained(tmp_path / "half")
    assert np.isnan(loaded(tmp_path / "half").encode([""])).all()
    np.testing.assert_allclose(loaded(tmp_path / "half").float().encode(list(TEXTS)), half.encode(TEXTS), atol=3e-6)


def test_a_student_and_its_teacher(minilm: Path, minilm_student: Path, tmp_path: Path, ran: Ran) -> None:
    """One folder: queries by a student that is fitted to a collection, documents by the teacher."""
    from m2v_core.router import save_router
    from m2v_distill import Teacher, fit_collection

    documents = ["A good day. It was sunny.", "My card was stolen.", "The bank has a limit. Ask for more."]
    queries = ["stolen card", "is there a limit?", "weather", ""]
    teacher = Teacher.from_pretrained(minilm)
    fitted = fit_collection(teacher, documents, student=StaticModel.from_pretrained(minilm_student))
    for compact in (False, True):
        save_router(fitted.student, minilm, tmp_path / str(compact), compact=compact)
        there = loaded(tmp_path / str(compact))
        asked = there.encode_query(queries)
        difference = float(np.abs(asked - fitted.student.encode(queries)).max())
        assert difference < 1e-6
        found = there.encode_document(documents)
        assert np.abs(found - fitted.vectors).max() < 1e-5
        assert np.array_equal(there.encode(documents), loaded(minilm).encode(documents))
        best = there.similarity(asked[:2], found).argmax(dim=1)
        assert best.tolist() == [1, 2]
        ran("sentence-transformers", f"Router{', compact' if compact else ''}", difference)
    there.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    again = loaded(tmp_path / "saved")
    assert np.abs(again.encode_query(queries) - asked).max() < 1e-6


@pytest.mark.skipif(OLDER is None, reason="needs a Python with an older version: nox -s integrations")
def test_an_older_version(tmp_path: Path) -> None:
    """It reads the default export as newer ones do, and refuses the compact one."""
    for compact in (False, True):
        model = quantize_model(make_model("byte_bpe", dim=16, normalize=True), vocabulary_quantization=12)
        save_sentence_transformers(model, tmp_path / str(compact), compact=compact)
        reading = verify(tmp_path / str(compact), python=OLDER).readings[-1]
        assert reading.version == "6.1.0"
        if compact:
            assert "sentence-transformers>=6.2" in str(reading.problem)
        else:
            assert reading.same
