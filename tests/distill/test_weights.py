from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_model
from m2v_core import InvalidInputError, StaticModel
from m2v_distill import DistillConfig, distill, token_counts
from m2v_distill.vocabulary.weights import counts_by_id, read_frequencies, sif_weights
from tokenizer_files import KINDS

MODELS = {kind: make_model(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(texts=st.lists(st.text("good day✪!\n", max_size=30), max_size=20), batch_size=st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_counts_are_those_of_a_loop(kind: str, texts: list[str], batch_size: int) -> None:
    model = MODELS[kind]
    counts = token_counts(model, iter(texts), batch_size=batch_size)
    loop = Counter(index for text in texts for index in model.tokenize(text))
    assert counts.dtype == np.int64
    assert counts.tolist() == [loop[index] for index in range(len(model.tokens))]


def test_long_texts_count_wholly(model: StaticModel) -> None:
    counts = token_counts(model, ["good " * 2000])
    assert counts[model.tokens.index("good")] == counts.sum() == 2000
    with pytest.raises(InvalidInputError, match="one text"):
        token_counts(model, "good")


@given(st.lists(st.integers(0, 10**9), min_size=1).filter(any), st.floats(1e-6, 0.99))
def test_weights_of_counts(counts: list[int], a: float) -> None:
    weights = sif_weights(np.array(counts, np.float64), a)
    total = sum(counts)
    np.testing.assert_allclose(weights, [a / (a + count / total) for count in counts])
    assert (weights[np.array(counts) == 0] == 1).all()


def test_files(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps({"day": 3, "gööd": 0.5}), encoding="utf-8")
    assert read_frequencies(tmp_path / "f.json") == {"day": 3.0, "gööd": 0.5}
    (tmp_path / "f.tsv").write_text("\ufeffday\t3\na\tb\t1\n\nday\t2\r\n", encoding="utf-8")
    assert read_frequencies(str(tmp_path / "f.tsv")) == {"day": 5.0, "a\tb": 1.0}


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.json", b"[1, 2]", "found a list"),
        ("a.json", b"{", "expected JSON; found an error in line 1"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b'{"day": %s}' % (b"9" * 5_000), "a value that Python does not read"),
        ("a.json", b'{"day": %s}' % (b"9" * 400), "for 'day'"),
        ("a.json", b'{"day": "3"}', "found '3' for 'day'"),
        ("a.json", b'{"day": NaN}', "found nan for 'day'"),
        ("a.tsv", b"day 3", "line 1 without a tab"),
        ("a.tsv", b"day\tmany", "could not convert"),
        ("a.tsv", b"day\t-1", "found -1.0 for 'day'"),
        ("a.tsv", b"\xff\t1", "expected UTF-8"),
    ],
)
def test_files_that_do_not_hold(tmp_path: Path, name: str, content: bytes, part: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=part):
        DistillConfig(frequencies=tmp_path / name).with_files_read()


@pytest.mark.parametrize(
    ("frequencies", "part"),
    [
        ("nowhere.tsv", "no such file"),
        (3, "found int"),
        (b"day", "found bytes"),
        ([1, float("inf")], "found inf for id 1"),
        (np.array([1.0, np.nan]), "found nan for id 1"),
        (np.ones((2, 2)), r"found \[1.0, 1.0\] for id 0"),
        ({"day": -1}, "found -1 for 'day'"),
        ({1: 1}, "found the key 1"),
        ({"day": None}, "found None for 'day'"),
    ],
)
def test_frequencies_are_checked(frequencies: object, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        DistillConfig(frequencies=frequencies).with_files_read()  # type: ignore[arg-type]


def test_frequencies_need_weights() -> None:
    with pytest.raises(InvalidInputError, match="sif_coefficient=None"):
        DistillConfig(frequencies=[1], sif_coefficient=None)


def test_counts_must_fit_the_vocabulary() -> None:
    with pytest.raises(InvalidInputError, match="3 tokens; found 2"):
        counts_by_id([1, 2], ("a", "b", "c"))
    for frequencies in ({"x": 1.0}, [0, 0, 0]):
        with pytest.raises(InvalidInputError, match="found none"):
            counts_by_id(frequencies, ("a", "b", "c"))


def test_a_student_weighted_by_counts(teacher_folder: Path) -> None:
    options = {"pca_dims": None, "quantize_to": "float32"}
    plain = distill(teacher_folder, sif_coefficient=None, **options)
    counts = token_counts(plain, ["good day", "good bad day", "good"])
    student = distill(teacher_folder, frequencies=counts, **options)
    weights = sif_weights(counts * 1.0, 1e-4)
    shares = counts * weights
    centred = plain.embedding - shares @ plain.embedding / shares.sum()
    centred[~plain.embedding.any(axis=1)] = 0  # an unknown token keeps its zeros
    np.testing.assert_allclose(student.embedding, centred * weights[:, None], rtol=1e-4, atol=1e-7)
    named = {token: int(count) for token, count in zip(plain.tokens, counts, strict=True) if count}
    assert np.array_equal(distill(teacher_folder, frequencies=named, **options).embedding, student.embedding)


def test_a_bad_text_is_named_by_its_place_among_all() -> None:
    with pytest.raises(InvalidInputError, match="text 5 has a lone surrogate"):
        token_counts(make_model(), [*["good"] * 5, "\ud800"], batch_size=2)
