from __future__ import annotations

import enum
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model
from m2v_core import InvalidInputError, StaticModel, quantize_model
from m2v_core.quantize import int8_rows
from tokenizer_files import wordlevel

TEXTS = ["good day", "bad sunny days", "unable", ""]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("float32", 0), ("float64", 1e-6), ("int8", 2e-2)])
@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
def test_vectors_stay_close(source: str, dtype: str, tolerance: float) -> None:
    model = make_model(dtype=source)
    small = quantize_model(model, quantize_to=dtype)
    assert small.embedding_dtype == dtype
    np.testing.assert_allclose(small.encode(TEXTS), model.encode(TEXTS), atol=max(tolerance, 1e-6))
    assert model.embedding_dtype == source
    assert model.weights is None


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("source", "dtype", "large"),
    [
        ("float32", "float16", 65_520),
        ("float32", "float16", 3e38),
        ("float64", "float16", 1e20),
        ("float64", "float32", 1e39),
    ],
)
def test_values_that_a_dtype_cannot_hold(
    source: str, dtype: str, large: float, normalize: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their rows have a scale in the weights; other rows are as before."""
    table = np.array([[1, 0.5], [large, -large / 4], [3, np.inf], [0.1, 70_000 / 1000]], source)
    model = StaticModel(table, wordlevel(), weights=np.array([1, 0.5, 1, 1], source), normalize=normalize)
    small = quantize_model(model, quantize_to=dtype)
    assert small.embedding_dtype == dtype
    assert "1 rows have values above" in caplog.text
    restored = small.embedding.astype(np.float64) * small.weights[:, None].astype(np.float64)
    np.testing.assert_allclose(restored, table.astype(np.float64) * [[1], [0.5], [1], [1]], rtol=1e-3)
    np.testing.assert_array_equal(small.embedding[3], table[3].astype(dtype))
    if large < 1e19:  # else its square, or the number itself, is too large for vectors of float32
        np.testing.assert_allclose(small.encode("good"), model.encode("good"), rtol=1e-3)
    small.save_pretrained(tmp_path)
    assert np.array_equal(StaticModel.from_pretrained(tmp_path).encode("bad"), small.encode("bad"))


def test_values_that_no_scale_can_hold() -> None:
    model = StaticModel(np.array([[1], [1e300], [0], [2]]), wordlevel())
    with pytest.raises(InvalidInputError, match=r"values that float16 with a scale of float32 can hold; found 1e\+300"):
        quantize_model(model, quantize_to="float16")


def test_large_values_of_clusters() -> None:
    mapping = np.array([0, 1, 1, 0])
    model = StaticModel(np.array([[1, 2], [1e5, -1e5]], np.float32), wordlevel(), token_mapping=mapping)
    small = quantize_model(model, quantize_to="float16")
    assert small.weights.tolist() == [1, 4, 4, 1]
    np.testing.assert_allclose(small.encode(["good", "bad"]), model.encode(["good", "bad"]), rtol=1e-3)


def test_int8_has_a_scale_for_each_row() -> None:
    table = np.array([[1, 0.5], [1000, -250], [0, 0], [1e-5, 1e-6]], np.float32)
    model = StaticModel(table, wordlevel())
    small = quantize_model(model, quantize_to="int8")
    assert small.embedding.dtype == np.int8
    assert np.abs(small.embedding).max(axis=1).tolist() == [127, 127, 0, 127]
    restored = small.embedding * small.weights[:, None]
    assert (np.abs(restored - table) <= small.weights[:, None] * 0.501).all()
    for word, row in (("good", 1), ("day", 2), ("bad", 3)):
        np.testing.assert_array_equal(small.encode(word), restored[row])


def test_dimensions_are_cut_before_the_scale() -> None:
    table = np.array([[1, 100], [2, 100], [3, 100], [4, 100]], np.float32)
    small = quantize_model(StaticModel(table, wordlevel()), quantize_to="int8", dimensionality=1)
    assert small.embedding.ravel().tolist() == [127] * 4
    np.testing.assert_allclose(small.weights * 127, [1, 2, 3, 4], rtol=1e-6)


def test_int8_and_back() -> None:
    model = make_model()
    small = quantize_model(model, quantize_to="int8")
    back = quantize_model(small, quantize_to="float32")
    assert back.weights is None
    np.testing.assert_allclose(back.encode(TEXTS), small.encode(TEXTS), atol=1e-6)
    again = quantize_model(small, quantize_to="int8", dimensionality=4)
    np.testing.assert_allclose(again.encode(TEXTS), small.encode(TEXTS)[:, :4], atol=1e-6)


@pytest.mark.parametrize("weight", [np.inf, np.nan, 3e38])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
def test_weights_that_are_hardly_numbers(weight: float, dtype: str) -> None:
    """They make vectors, and no warnings; those of other tokens are as they were."""
    rows, scales = int8_rows(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    scales[1] = weight
    model = StaticModel(rows, wordlevel(), weights=scales)
    plain = model.encode(["good", "bad"])
    try:
        found = quantize_model(model, quantize_to=dtype).encode(["good", "bad"])
    except InvalidInputError as error:
        assert "that float" in str(error)  # noqa: PT017
    else:
        np.testing.assert_allclose(found[1], plain[1], rtol=0.02)
        assert np.isfinite(found).all() == np.isfinite(weight)


def test_weights_and_mapping_survive() -> None:
    weights, mapping = np.array([1, 2, 3, 4], np.float64), np.array([0, 1, 1, 0])
    model = StaticModel(
        np.array([[1, 0.5], [-300, 70]], np.float32), wordlevel(), weights=weights, token_mapping=mapping
    )
    for dtype in ("int8", "float16", "float64"):
        small = quantize_model(model, quantize_to=dtype)
        np.testing.assert_allclose(
            small.encode(["good", "day", "bad"]), model.encode(["good", "day", "bad"]), rtol=2e-2
        )
    back = quantize_model(quantize_model(model, quantize_to="int8"), quantize_to="float32")
    np.testing.assert_allclose(back.encode("good"), model.encode("good"), rtol=2e-2)
    assert weights.tolist() == [1, 2, 3, 4]


def test_dimensionality_alone() -> None:
    model = make_model(dim=8)
    small = quantize_model(model, dimensionality=3)
    assert small.dim == 3
    assert small.embedding.flags.c_contiguous
    np.testing.assert_array_equal(small.encode(TEXTS), model.encode(TEXTS)[:, :3])


def test_settings_are_kept() -> None:
    model = make_model(normalize=True, max_length=9, base_model_name="teacher", language=["en"])
    assert quantize_model(model, quantize_to="float16").config == model.config


def test_an_enum_member_will_do() -> None:
    class DType(str, enum.Enum):
        INT8 = "int8"

    assert quantize_model(make_model(), quantize_to=DType.INT8).embedding_dtype == "int8"


def test_clusters_of_the_kept_dimensions_in_the_wanted_dtype(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'm2v-core[quantization]'")
    model = make_model(normalize=True)
    n = model.n_tokens // 2
    few = quantize_model(quantize_model(model, dimensionality=5), vocabulary_quantization=n)
    assert (few.embedding.shape, few.embedding_dtype, few.vocabulary_quantization) == ((n, 5), "float32", n)
    assert few.config == model.config
    assert model.vocabulary_quantization is None
    model.save_pretrained(tmp_path / "model")
    for dtype, tolerance in (("float16", 2e-3), ("float64", 1e-6), ("int8", 2e-2)):
        options = {"vocabulary_quantization": n, "dimensionality": 5, "quantize_to": dtype}
        small = quantize_model(model, **options)
        assert small.embedding_dtype == dtype
        np.testing.assert_allclose(small.encode(TEXTS), few.encode(TEXTS), atol=tolerance)
        loaded = StaticModel.from_pretrained(tmp_path / "model", **options)
        np.testing.assert_array_equal(loaded.encode(TEXTS), small.encode(TEXTS))
        small.save_pretrained(tmp_path / dtype)
        np.testing.assert_array_equal(StaticModel.from_pretrained(tmp_path / dtype).encode(TEXTS), small.encode(TEXTS))


def test_clusters_are_of_vectors_not_of_rows() -> None:
    """Weights count: of an int8 table those with the scales, and any others."""
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'm2v-core[quantization]'")
    table = np.array([[0, 0], [3, 0.01], [200, 0], [0, 5]], np.float32)
    weights = np.array([1, 0.5, -2, 0])
    for dtype in ("float16", "float32", "int8"):
        model = quantize_model(StaticModel(table, wordlevel(), weights=weights), quantize_to=dtype)
        small = quantize_model(model, vocabulary_quantization=3)
        assert small.embedding_dtype == dtype
        for word in ("good", "day", "bad"):
            np.testing.assert_allclose(small.encode(word), model.encode(word), atol=0.05)
        assert not small.encode("bad").any()


def test_no_clusters_of_clusters() -> None:
    model = StaticModel(np.eye(2, dtype=np.float32), wordlevel(), token_mapping=np.array([0, 1, 1, 0]))
    with pytest.raises(InvalidInputError, match="has 2 clusters already"):
        quantize_model(model, vocabulary_quantization=1)


@pytest.mark.parametrize(
    "options", [{"dimensionality": 0}, {"dimensionality": 9}, {"dimensionality": True}, {"dimensionality": 3.0}]
)
def test_dimensions_out_of_range(options: dict) -> None:
    with pytest.raises(InvalidInputError, match="from 1 to 8"):
        quantize_model(make_model(), **options)


def test_unknown_dtype() -> None:
    with pytest.raises(InvalidInputError, match="one of float16, float32, float64, int8; found 'bfloat16'"):
        quantize_model(make_model(), quantize_to="bfloat16")
