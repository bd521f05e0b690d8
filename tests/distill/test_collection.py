"""Students that are fitted to a collection, and the passages of documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from m2v_core import InvalidInputError, StaticModel
from m2v_core.ragged import Ragged
from m2v_core.vectors import unit
from m2v_distill import CollectionConfig, Teacher, add_documents, fit_collection
from m2v_distill.collection import steps
from m2v_distill.collection.documents import numbered, passages_of, sentences_of
from m2v_distill.collection.table import collection_table, rarity, sampled
from m2v_distill.fit.ridge import JITTER
from sentence_folders import write_json, write_modules

MESH = Mesh(np.array(jax.devices()[:1]), ("columns",))
DOCUMENTS = [
    "A good day. The day was sunny, and good!",
    "Bad day: unable to see the sun. Unable.",
    "",
    "Sunny days, good days.",
    "bad bad unable",
]


@pytest.fixture
def teacher(teacher_folder: Path) -> Teacher:
    return Teacher.from_pretrained(teacher_folder)


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


# --- the table ---------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**20), strength=st.sampled_from([1e-3, 1e-1]))
@settings(max_examples=6, deadline=None)
def test_the_table_is_that_of_a_dense_solve(seed: int, strength: float) -> None:
    """Ridge regression with a prior as one system of least squares: rows of texts, then rows of the penalty."""
    random, n_texts, n_tokens, width = np.random.default_rng(seed), 60, 25, 6
    texts = [random.integers(0, n_tokens - 3, random.integers(1, 9)).tolist() for _ in range(n_texts)]
    shares = np.zeros((n_texts, n_tokens))
    for row, text in enumerate(texts):
        np.add.at(shares[row], text, 1 / len(text))
    vectors = unit(random.normal(size=(n_texts, width)) + 1).astype(np.float32)
    features = random.normal(size=(n_tokens, 4)).astype(np.float32)
    x, y = shares - shares.mean(axis=0), vectors - vectors.mean(axis=0, dtype=np.float64)
    inputs = x @ features
    jitter = np.sqrt(JITTER * np.square(inputs).sum() / 4)
    weights = np.linalg.lstsq(np.vstack([inputs, jitter * np.eye(4)]), np.vstack([y, np.zeros((4, width))]))[0]
    prior = features @ weights
    left = np.vstack([x, np.sqrt(strength) * np.eye(n_tokens)])
    solved = np.linalg.lstsq(left, np.vstack([y, np.sqrt(strength) * prior]))[0]
    expected = solved + vectors.mean(axis=0, dtype=np.float64) - shares.mean(axis=0) @ solved

    found = collection_table(Ragged.of(texts), vectors, features, strength=strength, mesh=MESH, tolerance=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose((shares @ found).mean(axis=0), vectors.mean(axis=0), atol=1e-5)


@given(st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=8).filter(any))
def test_rarity_is_that_of_counting(texts: list[list[int]]) -> None:
    counts = np.array([sum(token in text for text in texts) for token in range(7)])
    inverse = np.log(1 + len(texts) / (1 + counts))
    found = rarity(Ragged.of(texts), 7, power=1.0)
    np.testing.assert_allclose(found / found[6], inverse / inverse[6])
    assert found @ counts == pytest.approx(counts.sum())


def test_rows_of_rare_tokens_are_longer(teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [*DOCUMENTS, "good good good", "a good sun"]
    weighted = fit_collection(teacher, documents, quantize_to="float32").student
    monkeypatch.setattr(steps, "rarer_larger", lambda table, factors, mean: table)
    plain = fit_collection(teacher, documents, quantize_to="float32").student
    ids = Ragged(*plain.token_ids(documents))
    factors, used = rarity(ids, plain.n_tokens), np.unique(ids.values)
    common, rare = (int(used[place(factors[used])]) for place in (np.argmin, np.argmax))
    assert factors[common] < 1 < factors[rare]
    # Both tables have the same mean vector c: row - c is factors times as long.
    moved = weighted.embedding[rare] - factors[rare] * plain.embedding[rare]
    centre = moved / (1 - factors[rare])
    expected = factors[common] * (plain.embedding[common] - centre) + centre
    np.testing.assert_allclose(weighted.embedding[common], expected, atol=1e-5)


def test_a_sample_has_the_rare_tokens() -> None:
    common = [[0, 1, 2], [0, 2], [1, 2]] * 30
    texts = Ragged.of([*common, [0, 3], [1, 4], []])
    for seed in range(3):
        rows = sampled(texts, 10, seed=seed).tolist()
        assert rows == sorted(set(rows))
        assert len(rows) == 10
        assert {90, 91} <= set(rows)
        assert 92 not in rows
    assert not np.array_equal(sampled(texts, 10, seed=0), sampled(texts, 10, seed=1))
    assert np.array_equal(sampled(texts, 10, seed=0), sampled(texts, 10, seed=0))
    assert sampled(texts, 93, seed=0).tolist() == list(range(93))


# --- documents ---------------------------------------------------------------------------------------------------


@given(st.text(alphabet="ab. \n!", max_size=200), st.integers(1, 7))
@settings(deadline=None)
def test_passages_are_the_whole_document(text: str, limit: int) -> None:
    found = list(passages_of([("x", text)], words, limit))
    assert "".join("".join(passage.text.split()) for passage in found) == "".join(text.split())
    for number, passage in enumerate(found, 1):
        assert text[passage.start :].startswith(passage.text)
        assert passage.line == 1 + text[: passage.start].count("\n")
        assert words([passage.text])[0] <= limit
        assert passage.document == "x"
        assert passage.id == ("x" if len(found) == 1 else f"x/{number}")


def test_passages_are_few_and_of_equal_length() -> None:
    text = "One two. " * 11
    (whole,) = passages_of([(7, text)], words, 22)
    assert (whole.id, whole.text) == (7, text.strip())
    lengths = [words([passage.text])[0] for passage in passages_of([(7, text)], words, 10)]
    assert lengths == [8, 8, 6]
    assert [passage.text for passage in passages_of([(7, "a b c d e")], words, 2)] == ["a b", "c", "d e"]
    assert [passage.id for passage in passages_of([(7, text)], words, None)] == [7]


def test_sentences() -> None:
    assert sentences_of("One. Two three! ... 4?\nFive") == ["One.", "Two three!", "4?", "Five"]
    assert sentences_of("") == sentences_of(" . ") == []


@pytest.mark.parametrize(
    ("documents", "part"),
    [
        ("one text", "found one text"),
        ([3], "found int at index 0"),
        (["a", ("x", None)], "found tuple at index 1"),
        (["a", ("x", "\ud800")], "'x' should be valid Unicode"),
    ],
)
def test_no_documents(documents: object, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        list(numbered(documents))  # type: ignore[arg-type]


# --- the whole ---------------------------------------------------------------------------------------------------


def test_a_collection(teacher: Teacher) -> None:
    fitted = fit_collection(teacher, DOCUMENTS, quantize_to="float32")
    assert [passage.id for passage in fitted.passages] == [0, 1, 2, 3, 4]
    assert [passage.text for passage in fitted.passages] == DOCUMENTS
    has_text = np.array([bool(text) for text in DOCUMENTS])
    np.testing.assert_allclose(fitted.vectors[has_text], unit(teacher.encode([d for d in DOCUMENTS if d])), atol=1e-6)
    assert not fitted.vectors[2].any()
    # With so little text, the table reproduces the teacher: a plain student of the same tokens is far from it.
    near = (fitted.student.encode(DOCUMENTS) * fitted.vectors).sum(axis=1)[has_text]
    assert near.min() > 0.99
    config = fitted.student.config
    assert (config.normalize, config.distillation, config.pooling) == (True, "corpus", "mean")
    assert config.distillation_settings == {"space": "teacher", "strength": 0.003, "precision": "float32"}
    assert fitted.student.unk_token_id is not None
    assert not fitted.student.embedding[fitted.student.unk_token_id].any()


def test_a_student_of_ones_own(teacher: Teacher) -> None:
    """Its tokens are those of the new student, and its rows the prior of those that the documents lack."""
    plain = fit_collection(teacher, DOCUMENTS).student
    other = StaticModel(np.eye(plain.n_tokens, dtype=np.float32), plain.stored.tokenizer_json)
    student = fit_collection(teacher, DOCUMENTS, student=other, quantize_to="float32").student
    assert student.tokens == plain.tokens
    lacking = np.ones(plain.n_tokens, bool)
    lacking[np.unique(plain.token_ids(DOCUMENTS)[0])] = False
    lacking[plain.unk_token_id] = False
    rows = student.embedding[lacking]
    np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), atol=1e-6)  # unknown: the mean alone


def test_sentences_and_samples(teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    encode = Teacher.encode

    def counted(self: Teacher, texts: list[str], **options: object) -> np.ndarray:
        seen.append(list(texts))
        return encode(self, texts, **options)

    monkeypatch.setattr(Teacher, "encode", counted)
    fit_collection(teacher, DOCUMENTS)
    assert seen[0] == [text for text in DOCUMENTS if text]
    # Each sentence once, and none that is a passage itself.
    assert seen[1] == [
        *("A good day.", "The day was sunny, and good!"),
        *("Bad day: unable to see the sun.", "Unable."),
    ]
    seen.clear()
    fit_collection(teacher, DOCUMENTS, sentences=False)
    assert len(seen) == 1
    seen.clear()
    fitted = fit_collection(teacher, DOCUMENTS, sample=2, seed=0)
    assert len(fitted.passages) == 5
    assert len(seen[1]) in (2, 4)


def test_long_documents(teacher: Teacher) -> None:
    long = " ".join(f"Good day number {'sunny ' * n}." for n in range(9))
    fitted = fit_collection(teacher, [("a", "A day."), ("b", long)])
    limit = teacher.tokenizer.tokens_left("")
    assert limit is not None
    assert max(teacher.tokenizer.counts([passage.text for passage in fitted.passages])) <= limit
    assert [passage.id for passage in fitted.passages[:3]] == ["a", "b/1", "b/2"]
    assert {passage.document for passage in fitted.passages[1:]} == {"b"}


def test_prompts(make_teacher: Callable[..., Path]) -> None:
    folder = write_modules(make_teacher(), "Pooling", Pooling={"pooling_mode_mean_tokens": True})
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "good ", "passage": "bad "}})
    teacher = Teacher.from_pretrained(folder)
    own = fit_collection(teacher, DOCUMENTS)
    np.testing.assert_allclose(own.vectors[0], unit(teacher.encode([f"bad {DOCUMENTS[0]}"], prompt=""))[0], atol=1e-5)
    named = fit_collection(teacher, DOCUMENTS, prompt="sunny ", query_prompt="")
    np.testing.assert_allclose(
        named.vectors[0], unit(teacher.encode([f"sunny {DOCUMENTS[0]}"], prompt=""))[0], atol=1e-5
    )
    same = fit_collection(teacher, DOCUMENTS, query_prompt="")
    assert not np.array_equal(own.student.embedding, same.student.embedding)


def test_an_interrupted_run_goes_on(teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2v_distill.teacher.engine.resume.INTERVAL", 0.0)
    whole = fit_collection(teacher, DOCUMENTS, checkpoint_dir=tmp_path)
    assert {path.parent.name for path in tmp_path.rglob("chunk-*")} == {"passages", "sentences", "tokens"}
    again = fit_collection(teacher, DOCUMENTS, checkpoint_dir=tmp_path)
    assert np.array_equal(again.vectors, whole.vectors)
    assert np.array_equal(again.student.embedding, whole.student.embedding)


def test_later_documents(teacher: Teacher, make_teacher: Callable[..., Path]) -> None:
    index = fit_collection(teacher, [("a", DOCUMENTS[0]), ("b", DOCUMENTS[1])]).index()
    added = add_documents(index, teacher, [("c", "Sunny."), ("d", "bad")])
    assert [passage.id for passage in added] == ["c", "d"]
    assert list(index) == ["a", "b", "c", "d"]
    np.testing.assert_allclose(index.vectors()[2:], unit(teacher.encode(["Sunny.", "bad"])), atol=1e-6)
    assert index.metadata("c") == {"document": "c", "text": "Sunny."}
    index.add(["unable"], ids=["e"])
    np.testing.assert_allclose(index.vectors()[4], index.model.encode("unable"), atol=1e-6)
    with pytest.raises(InvalidInputError, match="found 'a', which the index has"):
        add_documents(index, teacher, [("a", "Good.")])
    with pytest.raises(InvalidInputError, match="that made the vectors of the index; found electra"):
        add_documents(index, Teacher.from_pretrained(make_teacher("electra")), [("x", "Good.")])
    assert len(index) == 5


@pytest.mark.parametrize(
    ("documents", "options", "part"),
    [
        ([], {}, "found none"),
        (["", " "], {}, "only blank ones"),
        ([("a", "x"), ("a", "y")], {}, "found 'a' again"),
        (["good"], {"sample": 0}, "sample should be"),
        (["good"], {"strength": 0}, "strength should be"),
        (["good"], {"quantize_to": "int4"}, "quantize_to should be"),
        (["good"], {"prompt": "a", "prompt_name": "b"}, "found both"),
    ],
)
def test_errors(teacher: Teacher, documents: list[object], options: dict[str, object], part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        fit_collection(teacher, documents, **options)  # type: ignore[arg-type]


def test_options_are_those_of_the_config() -> None:
    import inspect
    from dataclasses import fields

    parameters = inspect.signature(fit_collection).parameters
    for field in fields(CollectionConfig):
        expected = False if field.name == "show_progress_bar" else field.default
        assert parameters[field.name].default == expected, field.name
    assert set(parameters) == {"teacher", "documents", "student", *(field.name for field in fields(CollectionConfig))}
