from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_model
from m2v_core import Config, InvalidInputError, ModelFormatError, StaticModel, quantize_model
from m2v_core.tokenize.vocabulary import Vocabulary
from tokenizer_files import KINDS, wordlevel, wordpiece

TEXTS = ["good day", "", "bad, sunny days!", "good " * 700, "日本 nothing", "Un able"]


def test_a_vector_is_the_mean_of_its_tokens(any_model: StaticModel) -> None:
    for text in TEXTS:
        ids = any_model.tokenize(text)
        expected = any_model.embedding[ids].mean(axis=0, dtype=float) if ids else np.zeros(any_model.dim)
        np.testing.assert_allclose(any_model.encode(text), expected, atol=1e-6)
        sequence = any_model.encode_as_sequence(text, max_length=any_model.max_length)
        np.testing.assert_array_equal(sequence, any_model.embedding[ids])


def test_shapes_and_dtypes(any_model: StaticModel) -> None:
    assert any_model.encode("good").shape == (8,)
    assert any_model.encode(["good"]).shape == (1, 8)
    assert any_model.encode([]).shape == (0, 8)
    assert any_model.encode(iter(["good", "day"])).shape == (2, 8)
    assert any_model.encode(np.array(["good", "day"])).shape == (2, 8)
    assert any_model.encode_as_sequence([]) == []
    assert any_model.encode_as_sequence("").shape == (0, 8)
    assert any_model.tokenize([]) == []
    for dtype in ("float16", "float32", "float64"):
        made = make_model(dtype=dtype)
        assert made.encode("good").dtype == made.encode_as_sequence(["good"])[0].dtype == np.float32


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nothing_known_gives_zeros(normalize: bool, dtype: str) -> None:
    model = make_model("wordlevel", dtype=dtype)
    vectors = model.encode(["", "   ", "unheard of", "good"], normalize=normalize)
    assert not vectors[:3].any()
    assert vectors[3].any()
    assert np.isfinite(vectors).all()


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=12), size=st.integers(1, 5)
)
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_batches_and_neighbours_do_not_matter(kind: str, texts: list[str], size: int) -> None:
    model = make_model(kind)
    whole = model.encode(texts, normalize=True)
    assert np.array_equal(model.encode(texts, normalize=True, batch_size=size), whole)
    assert np.array_equal(model.encode(texts[::-1], normalize=True)[::-1], whole)
    assert all(np.array_equal(model.encode(text, normalize=True), row) for text, row in zip(texts, whole, strict=True))
    assert np.isfinite(whole).all()


def test_threads_do_not_matter(model: StaticModel) -> None:
    texts = [f"{text} {number % 7 * 'good '}" for number, text in enumerate(TEXTS * 40)]
    whole = model.encode(texts)
    assert np.array_equal(model.encode(texts, batch_size=7, multiprocessing_threshold=3), whole)
    sequences = model.encode_as_sequence(texts, batch_size=7, multiprocessing_threshold=3)
    assert all(map(np.array_equal, sequences, model.encode_as_sequence(texts)))
    with ThreadPoolExecutor(8) as workers:
        results = list(workers.map(lambda size: model.encode(texts, batch_size=size), [1, 3, 16, 64, 1000] * 4))
    assert all(np.array_equal(result, whole) for result in results)


def test_max_length_counts_tokens() -> None:
    model = make_model(max_length=3)
    assert model.tokenize("good day bad good") == model.tokenize("good day bad")
    assert np.array_equal(model.encode("good day bad good"), model.encode("good day bad"))
    assert not np.array_equal(model.encode("good day bad good", max_length=None), model.encode("good day bad"))
    assert np.array_equal(model.encode("good day bad", max_length=1), model.encode("good"))
    assert len(model.encode_as_sequence("good day bad good")) == 4  # knows no limit of its own
    assert len(model.encode_as_sequence("good day bad good", max_length=2)) == 2
    assert len(make_model().tokenize("good " * 700)) == 512
    assert len(make_model(max_length=None).tokenize("good " * 700)) == 700


def test_flat_ids(any_model: StaticModel) -> None:
    texts = TEXTS * 2000  # many enough for threads
    ids, offsets = any_model.token_ids(texts)
    assert (ids.dtype, offsets.dtype) == (np.int64, np.int64)
    assert [row.tolist() for row in np.split(ids, offsets[1:-1])] == any_model.tokenize(TEXTS) * 2000
    for options in ({}, {"use_multiprocessing": False}):
        again = any_model.token_ids(iter(TEXTS), max_length=2, **options)
        assert [row.tolist() for row in np.split(again[0], again[1][1:-1])] == [
            row[:2] for row in any_model.tokenize(TEXTS)
        ]
    assert [array.tolist() for array in any_model.token_ids([])] == [[], [0]]
    assert all(array.flags.writeable for array in any_model.token_ids(TEXTS[:1]))
    with pytest.raises(InvalidInputError, match=r"found int at index 12000\."):
        any_model.token_ids([*texts, 3])


def test_normalize_can_be_set_and_overruled(model: StaticModel) -> None:
    raw = model.encode("good day")
    model.normalize = True
    assert model.config.normalize
    np.testing.assert_allclose(model.encode("good day"), raw / np.linalg.norm(raw), rtol=1e-6)
    assert np.array_equal(model.encode("good day", normalize=False), raw)
    model.max_length = 1
    assert model.max_length == 1
    assert len(model.tokenize("good day")) == 1


def test_config_and_keywords() -> None:
    made = make_model(config={"normalize": True, "max_length": 7, "base_model": "a", "language": "en", "mine": [1]})
    assert made.normalize
    assert (made.max_length, made.base_model_name, made.language) == (7, "a", ["en"])
    assert made.config.extra == {"mine": [1]}
    over = make_model(config=made.config, normalize=False, max_length=None, base_model_name="b", language=["de", "fr"])
    assert (over.normalize, over.max_length, over.base_model_name, over.language) == (False, None, "b", ["de", "fr"])
    assert made.normalize  # the first is as it was
    assert make_model(language="en").language == ["en"]
    assert make_model(config=Config()).max_length == 512


def test_nothing_of_the_caller_changes() -> None:
    n_tokens = len(Vocabulary.from_json(wordpiece()).tokens)
    table, weights = np.ones((n_tokens, 4), np.float32), np.full(n_tokens, 2.0)
    config = {"normalize": True}
    model = StaticModel(table, wordpiece(), config, weights=weights)
    model.encode(TEXTS)
    model.normalize = False
    assert (table == 1).all()
    assert (weights == 2).all()
    assert config == {"normalize": True}


def test_what_it_is(model: StaticModel) -> None:
    assert model.dim == 8
    assert model.embedding_dtype == "float32"
    assert model.tokens[:2] == ("[PAD]", "[UNK]")
    assert model.unk_token_id == 1
    assert model.vocabulary_quantization is None
    assert model.tokenizer.encode("good day", add_special_tokens=False).ids == model.tokenize("good day")
    assert repr(model) == f"StaticModel(tokens={len(model.tokens)}, dim=8, dtype=float32)"
    assert model.n_tokens == len(model.tokens)
    assert model.tokens is model.tokens


def test_integers_of_any_size_can_be_saved(tmp_path: Path) -> None:
    for dtype in (np.int8, np.uint8, np.int16, np.int32, np.uint64):
        mapping = np.array([0, 1, 1, 0], dtype)
        model = StaticModel(
            np.eye(2, dtype="f4"), wordlevel(), weights=np.arange(4, dtype=dtype), token_mapping=mapping
        )
        model.save_pretrained(tmp_path / "m")
        assert np.array_equal(StaticModel.from_pretrained(tmp_path / "m").encode(TEXTS), model.encode(TEXTS))


def test_clusters_and_weights() -> None:
    tokenizer = wordlevel()
    table = np.array([[1, 0], [0, 2]], np.float32)
    model = StaticModel(
        table, tokenizer, weights=np.array([1, 1, 3, 0.5]), token_mapping=np.array([0, 0, 1, 1], np.int32)
    )
    assert model.vocabulary_quantization == 2
    np.testing.assert_allclose(model.encode("good day"), [0.5, 3])
    np.testing.assert_allclose(model.encode_as_sequence("bad"), [[0, 1]])


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"vectors": np.ones((3, 2))}, "tokenizer has 4 tokens, but embeddings has 3 rows"),
        ({"vectors": np.ones(4)}, "shape"),
        ({"vectors": np.ones((4, 0))}, "shape"),
        ({"vectors": np.ones((4, 2), complex)}, "complex128"),
        ({"weights": np.ones(3)}, "weights should hold 4 values"),
        ({"token_mapping": np.array([0, 1, 2, 4])}, "rows 0 to 3; found values from 0 to 4"),
        ({"token_mapping": np.array([0, 1, 2, -1])}, "found values from -1"),
        ({"token_mapping": np.ones(4)}, "mapping should hold 4 values"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict, part: str) -> None:
    arguments = {"vectors": np.ones((4, 2), np.float32), "tokenizer": wordlevel(), **options}
    with pytest.raises(ModelFormatError, match=part):
        StaticModel(**arguments)


@pytest.mark.parametrize(
    ("sentences", "options", "part"),
    [
        (3, {}, "found int"),
        (None, {}, "found NoneType"),
        (b"bytes", {}, "found bytes"),
        ({"a": "b"}, {}, "found dict"),
        (["fine", None], {}, "NoneType at index 1"),
        (["fine", 3.0], {}, "float at index 1"),
        (["lone \udc00"], {}, "lone surrogate"),
        (["x"], {"batch_size": 0}, "batch_size"),
        (["x"], {"batch_size": 2.0}, "batch_size"),
        (["x"], {"max_length": 0}, "max_length"),
        (["x"], {"max_length": True}, "max_length"),
    ],
)
def test_bad_input_is_named(model: StaticModel, sentences: object, options: dict, part: str) -> None:
    for method in (model.encode, model.encode_as_sequence):
        with pytest.raises(InvalidInputError, match=part) as caught:
            method(sentences, **options)
        assert isinstance(caught.value, ValueError)


def test_unknown_keywords_are_errors(model: StaticModel) -> None:
    with pytest.raises(TypeError, match="normalise"):
        model.encode(["x"], normalise=True)  # type: ignore[call-arg]


def test_progress_goes_to_stderr(model: StaticModel, capsys) -> None:
    model.encode(["good"] * 5, batch_size=2, show_progress_bar=True)
    out, err = capsys.readouterr()
    assert not out
    assert "5/5" in err
    model.encode(["good"] * 5, batch_size=2)
    assert capsys.readouterr() == ("", "")


def test_max_length_is_checked_when_set(model: StaticModel) -> None:
    with pytest.raises(InvalidInputError, match="max_length"):
        model.max_length = 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
@pytest.mark.parametrize("normalize", [False, True])
def test_vectors_do_not_depend_on_anything_around_a_text(dtype: str, normalize: bool) -> None:
    model = quantize_model(make_model(dim=16), quantize_to=dtype)
    rng = np.random.default_rng(0)
    words = ["good", "day", "bad", "Sunny", "unables", "日本", "x", "!", "day\n", "[CLS]", ""]
    texts = [" ".join(rng.choice(words, rng.integers(0, 200))) for _ in range(300)]
    expected = model.encode(texts, normalize=normalize, use_multiprocessing=False)
    for batch_size in (1, 7, 1000):
        options = {"batch_size": batch_size, "multiprocessing_threshold": 1, "normalize": normalize}
        assert np.array_equal(model.encode(texts, **options), expected)
        assert np.array_equal(model.encode(texts[::-1], **options)[::-1], expected)
    assert np.array_equal([model.encode(text, normalize=normalize) for text in texts], expected)
    assert np.array_equal(
        np.concatenate(list(model.encode_stream(texts, batch_size=70, normalize=normalize))), expected
    )
    forgetful = StaticModel(model.embedding, model.stored.tokenizer_json, weights=model.weights, cache_bytes=0)
    assert np.array_equal(forgetful.encode(texts, normalize=normalize), expected)
    assert np.array_equal([forgetful.encode(text, normalize=normalize) for text in texts], expected)

    def job(seed: int) -> bool:
        size = (1, 2, 9, 40)[seed % 4]
        parts = [texts[start : start + size] for start in range(0, 300, size)]
        return np.array_equal(np.concatenate([model.encode(part, normalize=normalize) for part in parts]), expected)

    with ThreadPoolExecutor(8) as workers:
        assert all(workers.map(job, range(16)))


def test_a_stream_holds_one_batch_at_a_time(model: StaticModel) -> None:
    given = []

    def endless():
        while True:
            given.append(1)
            yield "good day"

    stream = model.encode_stream(endless(), batch_size=10)
    for count in (1, 2, 3):
        assert next(stream).shape == (10, 8)
        assert len(given) == 10 * count
    assert list(model.encode_stream([])) == []
    with pytest.raises(InvalidInputError, match="found one text"):
        next(model.encode_stream("good day"))
    with pytest.raises(InvalidInputError, match="batch_size"):
        next(model.encode_stream(["good day"], batch_size=0))


def test_copies_and_pickles_give_the_same_vectors(any_model: StaticModel) -> None:
    expected = any_model.encode(TEXTS).tolist()
    for again in (pickle.loads(pickle.dumps(any_model)), copy.deepcopy(any_model), copy.copy(any_model)):
        assert again.encode(TEXTS).tolist() == expected
        assert again.config == any_model.config


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
def test_a_table_can_stay_in_its_file(dtype: str, tmp_path) -> None:
    model = quantize_model(make_model(), quantize_to=dtype)
    model.save_pretrained(tmp_path / "m")
    mapped = StaticModel.from_pretrained(tmp_path / "m", memory_map=True)
    assert isinstance(mapped.embedding.base, np.memmap)
    assert not mapped.embedding.flags.writeable
    assert mapped.encode(TEXTS).tolist() == model.encode(TEXTS).tolist()
    model.save_pretrained(tmp_path / "m")  # the file that was mapped lives on
    assert mapped.encode(TEXTS).tolist() == model.encode(TEXTS).tolist()
    mapped.save_pretrained(tmp_path / "again")
    assert StaticModel.from_pretrained(tmp_path / "again").encode(TEXTS).tolist() == model.encode(TEXTS).tolist()
    smaller = StaticModel.from_pretrained(tmp_path / "m", memory_map=True, dimensionality=3, quantize_to="float32")
    assert smaller.dim == 3
