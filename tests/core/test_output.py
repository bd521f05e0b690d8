"""Vectors in the form in which they are stored: fewer dimensions, and numbers of fewer bits."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from conftest import make_model
from m2v_core import BadTextError, InvalidInputError, ModelFormatError, StaticModel, quantize_model
from m2v_core.cli import encode as command
from m2v_core.encode.output import PRECISIONS, as_precision
from tokenizer_files import KINDS

TEXTS = ["good day", "", "bad, sunny days!", "good " * 700, "日本 nothing", "Un able", "bad bad bad", "days"] * 3

VECTORS = np.array(
    [
        [0.5, -0.25, 0, 1e-6, -1, 0.125, 0.75, -0.5, 0.3, -0.1],
        [-0.9, 0.2, 0.1, -0.0, 2, -3, 0.4, 0.05, -0.05, 1],
    ],
    np.float32,
)
RANGES = np.array([[-1, -0.5, -0.1, 0, -1, -1, 0, -0.5, -0.3, 0.1], [1, 0.5, 0.1, 0, 1, 1, 1, 0.5, 0.3, 1]], np.float32)

#: What `quantize_embeddings` of sentence-transformers 6.2 makes of these.
EXPECTED = {
    "int8": [
        [63, -65, -1, -128, -128, 15, 63, -128, 127, -128],
        [-116, 50, 127, -128, 127, -128, -27, 12, -22, 127],
    ],
    "uint8": [[191, 63, 127, 0, 0, 143, 191, 0, 255, 0], [12, 178, 255, 0, 255, 0, 101, 140, 106, 255]],
    "binary": [[22, 0], [-21, -64]],
    "ubinary": [[150, 128], [107, 64]],
}


def ranges_for(precision: str, dim: int = 8) -> NDArray[np.float32] | None:
    return np.array([[-1] * dim, [1] * dim], np.float32) if precision in ("int8", "uint8") else None


def test_the_command_knows_all_precisions() -> None:
    """It names them before NumPy is imported."""
    assert tuple(PRECISIONS) == command.PRECISIONS


@pytest.mark.parametrize("precision", EXPECTED)
def test_the_bytes_of_sentence_transformers(precision: str) -> None:
    found = as_precision(VECTORS, precision, RANGES if precision in ("int8", "uint8") else None)
    assert found.dtype == (np.int8 if precision in ("int8", "binary") else np.uint8)
    assert found.tolist() == EXPECTED[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("truncate_dim", [None, 1, 3, 8])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
def test_a_vector_depends_on_nothing_else(
    precision: str, truncate_dim: int | None, normalize: bool, dtype: str
) -> None:
    model = quantize_model(make_model(dtype="float64"), quantize_to=dtype)
    dim = truncate_dim or 8
    options = {"truncate_dim": truncate_dim, "precision": precision, "ranges": ranges_for(precision, dim)}
    options |= {"normalize": normalize}
    together = model.encode(TEXTS, **options)
    assert together.shape == (len(TEXTS), -(-dim // 8) if "binary" in precision else dim)
    assert together.dtype == PRECISIONS[precision]
    assert together.flags.c_contiguous
    alone = np.stack([model.encode(text, **options) for text in TEXTS])
    assert alone.dtype == together.dtype
    assert alone.tobytes() == together.tobytes()
    small = model.encode(TEXTS, batch_size=1, multiprocessing_threshold=1, **options)
    assert small.tobytes() == together.tobytes()
    streamed = np.concatenate(list(model.encode_stream(iter(TEXTS), batch_size=5, **options)))
    assert streamed.tobytes() == together.tobytes()
    assert model.encode_query(TEXTS, **options).tobytes() == together.tobytes()
    assert model.encode_document(TEXTS[0], **options).tobytes() == together[0].tobytes()
    empty = model.encode([], **options)
    assert (empty.shape, empty.dtype) == ((0, together.shape[1]), together.dtype)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_first_dimensions_are_those_of_a_smaller_model(kind: str) -> None:
    model = make_model(kind)
    smaller = quantize_model(model, dimensionality=3)
    assert np.array_equal(model.encode(TEXTS, truncate_dim=3), model.encode(TEXTS)[:, :3])
    for normalize in (True, False):
        cut = model.encode(TEXTS, truncate_dim=3, normalize=normalize)
        np.testing.assert_allclose(cut, smaller.encode(TEXTS, normalize=normalize), atol=1e-6)
    lengths = np.linalg.norm(model.encode(TEXTS, truncate_dim=3, normalize=True), axis=1)
    np.testing.assert_allclose(lengths, model.encode(TEXTS).any(axis=1), atol=1e-6)


def test_all_dimensions_by_default() -> None:
    model = make_model(normalize=True)
    plain = model.encode(TEXTS)
    assert np.array_equal(model.encode(TEXTS, truncate_dim=None, precision="float32", ranges=None), plain)
    np.testing.assert_allclose(model.encode(TEXTS, truncate_dim=8), plain, atol=1e-6)
    assert np.array_equal(model.encode(TEXTS, precision="float16"), plain.astype(np.float16))


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_ranges_are_stored_with_the_model(tmp_path: Path, precision: str) -> None:
    plain = make_model(normalize=True)
    model = plain.calibrate(iter(TEXTS))
    vectors = plain.encode(TEXTS)
    assert plain.ranges is None
    peak = np.abs(vectors).max()
    assert np.array_equal(model.ranges, [[-peak] * 8, [peak] * 8])
    assert np.array_equal(model.encode(TEXTS), vectors)
    expected = plain.encode(TEXTS, precision=precision, ranges=model.ranges)
    steps = np.rint(vectors * 127.5 / peak + np.iinfo(precision).max - 127.5)
    assert np.abs(expected.astype(int) - steps).max() <= 1
    assert np.array_equal(model.encode(TEXTS, precision=precision), expected)
    model.save_pretrained(tmp_path / "m")
    assert set(load_file(tmp_path / "m" / "model.safetensors")) == {"embeddings", "ranges"}
    for other in (
        StaticModel.from_pretrained(tmp_path / "m"),
        StaticModel.from_pretrained(tmp_path / "m", memory_map=True),
        pickle.loads(pickle.dumps(model)),
        quantize_model(model, quantize_to="float64"),
    ):
        assert np.array_equal(other.ranges, model.ranges)
        assert np.array_equal(other.encode(TEXTS, precision=precision), expected)
    model.max_length = 600
    model.normalize = True
    assert model.ranges is not None
    plain.save_pretrained(tmp_path / "m")
    assert set(load_file(tmp_path / "m" / "model.safetensors")) == {"embeddings"}


def test_ranges_are_lost_where_vectors_change(tmp_path: Path) -> None:
    model = make_model(normalize=True).calibrate(TEXTS)
    model.save_pretrained(tmp_path / "m")
    assert quantize_model(model, dimensionality=3).ranges is None
    assert StaticModel.from_pretrained(tmp_path / "m", normalize=False).ranges is None
    assert StaticModel.from_pretrained(tmp_path / "m", normalize=True).ranges is not None
    for options in ({"normalize": False}, {"truncate_dim": 3}):
        with pytest.raises(InvalidInputError, match=r"model = model\.calibrate\(texts\)"):
            model.encode(TEXTS, precision="int8", **options)
    model.normalize = False
    assert model.ranges is None


def test_clusters_lose_ranges() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'm2v-core[quantization]'")
    assert quantize_model(make_model().calibrate(TEXTS), vocabulary_quantization=3).ranges is None


def test_no_range_is_taken_from_a_batch() -> None:
    for texts in (TEXTS, "good", []):
        with pytest.raises(InvalidInputError, match=r"precision int8 needs the range.*calibrate.*\[2, 8\] array"):
            make_model().encode(texts, precision="int8")
    with pytest.raises(InvalidInputError, match="precision uint8 needs the range"):
        next(make_model().encode_stream(TEXTS, precision="uint8"))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"truncate_dim": 0}, "truncate_dim should be a whole number, from 1 to 8, or None; found 0"),
        ({"truncate_dim": 9}, "from 1 to 8"),
        ({"truncate_dim": True}, "truncate_dim"),
        ({"truncate_dim": 2.0}, "truncate_dim"),
        ({"precision": "bit"}, "precision should be one of float32, float16, int8"),
        ({"precision": "binry"}, "Did you mean 'binary'"),
        ({"precision": None}, "precision should be"),
        ({"ranges": np.zeros((2, 8))}, "ranges should be None for the precision float32"),
        ({"precision": "binary", "ranges": np.zeros((2, 8))}, "ranges should be None for the precision binary"),
        ({"precision": "int8", "ranges": np.zeros((2, 7))}, "ranges should be the least and the greatest"),
        ({"precision": "int8", "ranges": np.zeros((2, 8)), "truncate_dim": 3}, r"a \[2, 3\] array"),
        ({"precision": "int8", "ranges": [[1] * 8, [0] * 8]}, "ranges should be"),
        ({"precision": "int8", "ranges": [[0] * 8, [np.nan] * 8]}, "ranges should be"),
        ({"precision": "int8", "ranges": [[-3e38] * 8, [3e38] * 8]}, "ranges should be"),
        ({"precision": "int8", "ranges": [["a"] * 8] * 2}, "ranges should be"),
    ],
)
def test_what_is_refused(options: dict[str, object], part: str) -> None:
    model = make_model()
    for texts in ("good", ["good"]):
        with pytest.raises(InvalidInputError, match=part):
            model.encode(texts, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=part):
        next(model.encode_stream(["good"], **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("texts", [[], ["unheard of", ""]])
def test_calibration_needs_texts(texts: list[str]) -> None:
    with pytest.raises(InvalidInputError, match=r"texts like those that will be embedded.*found 0\.0"):
        make_model("wordlevel").calibrate(texts)


def test_calibration_needs_finite_vectors_and_texts() -> None:
    with pytest.raises(BadTextError):
        make_model().calibrate(["good", 3])  # type: ignore[list-item]
    model = make_model("wordlevel")
    table = model.embedding.copy()
    table[model.tokens.index("good")] = np.inf
    broken = StaticModel(table, model.stored.tokenizer_json)
    with pytest.raises(InvalidInputError, match="finite numbers; found inf"):
        broken.calibrate(["good"])


@pytest.mark.parametrize(
    ("ranges", "part"),
    [
        (np.zeros((2, 7), np.float32), r"ranges should hold.*\(2, 7\)"),
        (np.zeros(8, np.float32), "ranges should hold"),
        (np.array([[0] * 8, [np.inf] * 8], np.float32), "ranges should hold"),
        (np.array([[0] * 8, [-1] * 8], np.float32), "ranges should hold"),
        (np.zeros((2, 8)), "ranges should be one of float32; found F64"),
    ],
)
def test_damaged_ranges(tmp_path: Path, ranges: NDArray[np.generic], part: str) -> None:
    make_model().save_pretrained(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    save_file({**load_file(file), "ranges": ranges}, file)
    with pytest.raises(ModelFormatError, match=rf"model\.safetensors: .*{part}"):
        StaticModel.from_pretrained(tmp_path / "m")
