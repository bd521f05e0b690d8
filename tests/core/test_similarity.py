"""Similarities: those of sentence-transformers 6.2, whose values for these vectors are written here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import GOLDEN, make_model
from m2v_core import InvalidInputError, StaticModel
from m2v_core.similarity import similarity, similarity_pairwise
from m2v_core.storage.format import SIMILARITIES

A = np.array([[1, 2, 2], [0, 0, 0], [-3, 0, 4]], np.float32)
B = np.array([[2, -1, 2], [0, 3, 4]], np.float32)
EXPECTED = {
    "cosine": [[0.4444445073604584, 0.9333333969116211], [0.0, 0.0], [0.13333332538604736, 0.64000004529953]],
    "dot": [[4.0, 14.0], [0.0, 0.0], [2.0, 16.0]],
    "euclidean": [
        [-3.1622776985168457, -2.4494898319244385],
        [-3.0, -5.0],
        [-5.4772257804870605, -4.242640495300293],
    ],
    "manhattan": [[-4.0, -4.0], [-5.0, -7.0], [-8.0, -6.0]],
}


@pytest.mark.parametrize("name", SIMILARITIES)
def test_the_values_of_sentence_transformers(name: str) -> None:
    expected = np.array(EXPECTED[name], np.float32)
    found = similarity(A, B, name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-7, rtol=2e-7)
    np.testing.assert_allclose(similarity(A[0], B, name), expected[:1], atol=2e-7, rtol=2e-7)
    np.testing.assert_allclose(similarity(A, B[1].tolist(), name), expected[:, 1:], atol=2e-7, rtol=2e-7)
    pairs = similarity_pairwise(A[:2], B, name)
    assert pairs.dtype == np.float32
    np.testing.assert_allclose(pairs, np.diag(expected), atol=2e-7, rtol=2e-7)
    one = similarity_pairwise(A[0], B[0], name)
    assert np.shape(one) == ()
    assert one == pairs[0]


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64"])
def test_many_vectors_of_any_dtype(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2v_core.similarity._BLOCK", 100)  # blocks of one row and of several
    random = np.random.default_rng(0)
    left, right = (random.integers(0, 100, (n, 5)).astype(dtype) for n in (30, 4))
    left[3] = 0
    found = similarity(left, right, name)
    assert found.shape == (30, 4)
    for i, row in enumerate(left.astype(float)):
        for j, other in enumerate(right.astype(float)):
            lengths = np.linalg.norm(row) * np.linalg.norm(other)
            expected = {
                "cosine": row @ other / (lengths or 1),
                "dot": row @ other,
                "euclidean": -np.sqrt(((row - other) ** 2).sum()),
                "manhattan": -np.abs(row - other).sum(),
            }[name]
            assert found[i, j] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(similarity_pairwise(left[:4], right, name), np.diag(found[:4]), rtol=1e-6, atol=1e-6)
    assert similarity(left[:0], right, name).shape == (0, 4)
    assert similarity(left, right[:0], name).shape == (30, 0)
    assert similarity_pairwise(left[:0], right[:0], name).shape == (0,)


def test_small_distances_are_exact() -> None:
    row = np.random.default_rng(0).normal(size=(1, 256)).astype(np.float32)
    near = row + np.float32(1e-4)
    expected = np.linalg.norm(row.astype(float) - near)
    assert similarity(row, near, "euclidean")[0, 0] == pytest.approx(-expected, rel=1e-4)
    assert similarity(row, row, "euclidean")[0, 0] == pytest.approx(0, abs=1e-6)


def test_texts_without_tokens_have_the_cosine_0() -> None:
    model = make_model("wordlevel")
    vectors = model.encode(["", "good", "unheard of"])
    table = model.similarity(vectors, vectors)
    np.testing.assert_allclose(table, [[0, 0, 0], [0, 1, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(model.similarity_pairwise(vectors, vectors), [0, 1, 0], atol=1e-6)


@pytest.mark.parametrize("call", [similarity, similarity_pairwise])
def test_what_is_refused(call: object) -> None:
    with pytest.raises(InvalidInputError, match=r"equal dimensions; found 3 and 2|one shape; found \(3, 3\)"):
        call(A, B[:, :2])  # type: ignore[operator]
    with pytest.raises(InvalidInputError, match="Did you mean 'euclidean'"):
        call(A, A, "euclid")  # type: ignore[operator]
    for wrong in (3.0, [["a"]], np.zeros((1, 2, 3)), [[True]], ["good day"]):
        with pytest.raises(InvalidInputError, match=r"Expected vectors, \[n, dimensions\]"):
            call(A, wrong)  # type: ignore[operator]


def test_the_model_chooses_the_measure(tmp_path: Path) -> None:
    model = make_model(dim=3)
    assert model.similarity_fn_name == "cosine"
    model.similarity_fn_name = "manhattan"
    assert np.array_equal(model.similarity(A, B), similarity(A, B, "manhattan"))
    assert np.array_equal(model.similarity_pairwise(A[:2], B), similarity_pairwise(A[:2], B, "manhattan"))
    model.save_pretrained(tmp_path / "m")
    assert StaticModel.from_pretrained(tmp_path / "m").similarity_fn_name == "manhattan"
    with pytest.raises(InvalidInputError, match="similarity_fn_name should be one of cosine, dot"):
        model.similarity_fn_name = "maxsim"
    model.similarity_fn_name = None  # type: ignore[assignment]
    model.save_pretrained(tmp_path / "m")
    assert "similarity_fn_name" not in json.loads((tmp_path / "m" / "config.json").read_text())


@pytest.mark.parametrize(("stored", "read"), [("dot", "dot"), (None, "cosine"), ("maxsim", "cosine"), ([3], "cosine")])
def test_the_measure_of_sentence_transformers_is_read(tmp_path: Path, stored: object, read: str) -> None:
    shutil.copytree(GOLDEN / "students" / "sentence-transformers", tmp_path / "m")
    (tmp_path / "m" / "config_sentence_transformers.json").write_text(json.dumps({"similarity_fn_name": stored}))
    assert StaticModel.from_pretrained(tmp_path / "m").similarity_fn_name == read
