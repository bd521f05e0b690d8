"""Whole distillations by method "composed", without and with a corpus, of tiny teachers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoints import rewrite
from m2v_core import InvalidInputError, StaticModel
from m2v_core.tokenize.vocabulary import Vocabulary
from m2v_core.vectors import unit
from m2v_distill import FeatureStore, Teacher, distill, distill_from_model, featurize
from m2v_distill.fit.groups import WHITENING, mean_rows
from m2v_distill.teacher.tokenizer import read_tokenizer
from m2v_distill.vocabulary.build import student_vocabulary
from m2v_distill.vocabulary.weights import sif_weights, zipf_frequencies
from random_teachers import TOKENIZERS, with_tokenizer
from sentence_folders import write_json, write_modules
from tokenizer_files import SPACES

RANDOM = np.random.default_rng(0)
WORDS = ["good", "day", "bad", "sunny", "days", "unable", "a", "able", "sun", "un", "✪"]
TEXTS = [" ".join(RANDOM.choice(WORDS, RANDOM.integers(2, 9))) for _ in range(300)]
HELD_OUT = [" ".join(RANDOM.choice(WORDS, RANDOM.integers(2, 9))) for _ in range(100)]
MULTILINGUAL = [
    "The weather was good, and the children played outside all day.",
    "Das Wetter war schön, und die Kinder spielten den ganzen Tag draußen.",
    "Il faisait beau et les enfants ont joué dehors toute la journée.",
    "Погода была хорошая, и дети весь день играли на улице.",
    "天気がよかったので、子供たちは一日中外で遊びました。",
    "天气很好，孩子们在外面玩了一整天。",
    "كان الطقس جميلا ولعب الأطفال في الخارج طوال اليوم.",
    "날씨가 좋아서 아이들이 하루 종일 밖에서 놀았다.",
]
RAW: dict[str, Any] = {"quantize_to": "float32", "precision": "float32"}


def tokenized(make_teacher: Callable[..., Path], kind: str, **settings: object) -> Path:
    """A golden teacher with a tokenizer of a kind, and random embeddings for as many tokens as that has."""
    case = next((case for case, known in TOKENIZERS.items() if known == kind), "bert")
    case = {"xlm_roberta": "xlm-roberta", "gpt2": "roberta", "llama3": "roberta"}.get(kind, case)
    folder, tokenizer = make_teacher(case), SPACES[kind]()
    n_tokens = len(Vocabulary.from_json(tokenizer).tokens)

    def resized(tensors: dict[str, np.ndarray]) -> None:
        for name in [name for name in tensors if name.endswith("word_embeddings.weight")]:
            width = tensors[name].shape[1]
            tensors[name] = np.random.default_rng(0).normal(size=(n_tokens, width)).astype(np.float32)

    rewrite(folder, resized)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": n_tokens}))
    return with_tokenizer(folder, tokenizer, model_max_length=30, **settings)


def explained(student: StaticModel, teacher: Teacher) -> float:
    """The share of the variance of the teacher's vectors that the student's have, of texts that it has not seen."""
    targets = teacher.encode(HELD_OUT)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    vectors = np.stack([student.embedding[ids].mean(axis=0) for ids in student.tokenize(HELD_OUT)])
    targets, vectors = (array - array.mean(axis=0) for array in (targets, vectors))
    scale = (vectors * targets).sum() / (vectors**2).sum()
    return float(1 - ((targets - scale * vectors) ** 2).sum() / (targets**2).sum())


@pytest.fixture
def teacher(teacher_folder: Path) -> Teacher:
    return Teacher.from_pretrained(teacher_folder)


def test_more_of_the_teacher(teacher: Teacher, teacher_folder: Path) -> None:
    """A corpus explains more of its vectors than what tokens are alone, and weights have no say in it."""
    options = {"pca_dims": None, **RAW}
    token, composed, corpus, weighted = (
        explained(distill(teacher_folder, **options, **more), teacher)
        for more in (
            {"method": "token", "sif_coefficient": None},
            {"sif_coefficient": None},
            {"corpus": TEXTS, "sif_coefficient": None},
            {"corpus": TEXTS},
        )
    )
    assert token + 0.02 < corpus, (token, corpus)
    assert composed + 0.02 < corpus, (composed, corpus)
    assert weighted == pytest.approx(corpus, abs=0.02)


def cosine(student: StaticModel, teacher: Teacher) -> float:
    """The mean cosine to the teacher's vectors, of texts that the student has not seen."""
    return float((student.encode(HELD_OUT) * unit(teacher.encode(HELD_OUT))).sum(axis=1).mean())


def test_the_teachers_space(teacher: Teacher, teacher_folder: Path) -> None:
    """Vectors are those of the teacher as they are, with all dimensions; with a corpus they are not centred either."""
    alone, corpus = (distill(teacher_folder, space="teacher", **options, **RAW) for options in ({}, {"corpus": TEXTS}))
    centred = distill(teacher_folder, pca_dims=None, corpus=TEXTS, **RAW)
    assert cosine(centred, teacher) + 0.01 < cosine(corpus, teacher)
    assert cosine(corpus, teacher) > 0.9
    for student in (alone, corpus):
        assert (student.dim, student.normalize) == (24, True)
        assert (student.config.apply_pca, student.config.distillation_settings["space"]) == (None, "teacher")
        assert not student.embedding[student.unk_token_id].any()
    # The means of the texts are the teacher's.
    vectors = np.stack([corpus.embedding[ids].mean(axis=0) if ids else np.zeros(24) for ids in corpus.tokenize(TEXTS)])
    np.testing.assert_allclose(vectors.mean(axis=0), unit(teacher.encode(TEXTS)).mean(axis=0), atol=1e-3)  # float16


def test_the_same_each_time(teacher_folder: Path, tmp_path: Path) -> None:
    tables = {}
    for name, options in {
        "one": {},
        "again": {"seed": 0},
        "seed": {"seed": 1},
        "corpus": {"corpus": TEXTS},
        "corpus again": {"corpus": TEXTS},
        "shorter corpus": {"corpus": TEXTS[:100]},
    }.items():
        distill(teacher_folder, pca_dims=8, **options).save_pretrained(tmp_path / name)
        tables[name] = (tmp_path / name / "model.safetensors").read_bytes()
    assert tables["one"] == tables["again"]
    assert tables["corpus"] == tables["corpus again"]
    assert len(set(tables.values())) == 4
    assert StaticModel.from_pretrained(tmp_path / "one").config.distillation == "composed"
    assert StaticModel.from_pretrained(tmp_path / "corpus").config.distillation == "corpus"


@pytest.mark.parametrize("corpus", [None, TEXTS])
def test_dimensions(teacher_folder: Path, corpus: list[str] | None) -> None:
    whole = distill(teacher_folder, pca_dims=None, corpus=corpus, **RAW)
    assert whole.dim == 24
    for dims, expected in ((1, {1}), (5, {5}), ("auto", {24}), (0.9, set(range(2, 24))), (1.0, set(range(12, 25)))):
        student = distill(teacher_folder, pca_dims=dims, corpus=corpus, **RAW)
        assert student.dim in expected
        assert student.tokens == whole.tokens
        assert not student.embedding[student.unk_token_id].any()
        assert student.embedding.any(axis=1).sum() >= student.n_tokens - 2
        assert np.isfinite(student.embedding).all()
    with pytest.warns(UserWarning, match="24 dimensions: all 24 are kept"):
        assert distill(teacher_folder, pca_dims=256, corpus=corpus).dim == 24


def test_more_dimensions_than_tokens(teacher_folder: Path) -> None:
    words = {"vocabulary": ["sunny", "good day"], "use_subword": False}
    with pytest.warns(UserWarning, match="only 4 tokens: no PCA"):
        student = distill(teacher_folder, pca_dims=8, **words)
    assert student.embedding.shape == (4, 24)
    assert distill(teacher_folder, pca_dims=3, **words).dim == 3


@pytest.mark.parametrize("corpus", [None, TEXTS])
def test_principal_components(teacher: Teacher, teacher_folder: Path, corpus: list[str] | None) -> None:
    """The table is a linear function of the fitted one and of the input embeddings, and not of either alone."""
    raw, table = (distill(teacher_folder, pca_dims=dims, corpus=corpus, **RAW) for dims in (None, 23))
    known = np.delete(np.arange(raw.n_tokens), raw.unk_token_id)
    weights = sif_weights(zipf_frequencies(raw.n_tokens), 1e-4)[known, None]
    inputs = mean_rows(teacher.token_embeddings, student_vocabulary(teacher.tokenizer, None).pieces)[known] * weights
    fitted, outputs, ones = raw.embedding[known], table.embedding[known], np.ones((len(known), 1))

    def unexplained(*columns: np.ndarray) -> float:
        design = np.column_stack(columns)
        return float(np.abs(design @ np.linalg.lstsq(design, outputs)[0] - outputs).max() / outputs.std())

    assert unexplained(fitted, inputs, weights, ones) < 2e-3
    assert unexplained(fitted, weights, ones) > 0.05
    assert unexplained(inputs, weights, ones) > 0.05
    assert 0 < WHITENING < 1
    assert (table.embedding.std(axis=0) > 0).all()


@pytest.mark.parametrize("corpus", [None, TEXTS])
def test_frequencies(teacher_folder: Path, corpus: list[str] | None) -> None:
    options = {"pca_dims": None, "corpus": corpus, **RAW}
    plain, counted = (
        distill(teacher_folder, **options, **more) for more in ({}, {"frequencies": {"day": 9, "bad": 1}})
    )
    day, bad, good = (plain.tokens.index(word) for word in ("day", "bad", "good"))
    assert not np.allclose(plain.embedding, counted.embedding, rtol=1e-3)
    if corpus is None:
        raw = distill(teacher_folder, sif_coefficient=None, **options).embedding
        shares = {day: 0.9, bad: 0.1, good: 0.0}
        weights = {token: 1e-4 / (1e-4 + share) for token, share in shares.items()}
        total = sum(shares[token] * weights[token] for token in shares)
        centre = sum(shares[token] * weights[token] * raw[token] for token in shares) / total
        for token, weight in weights.items():
            expected = weight * (raw[token] - centre)
            np.testing.assert_allclose(
                counted.embedding[token], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()
            )


@pytest.mark.parametrize("corpus", [None, TEXTS])
def test_compressed(teacher_folder: Path, corpus: list[str] | None) -> None:
    options = {"pca_dims": 6, "corpus": corpus, "precision": "float32"}
    whole = distill(teacher_folder, quantize_to="float32", **options)
    small = distill(teacher_folder, quantize_to="int8", **options)
    assert small.embedding.dtype == np.int8
    np.testing.assert_allclose(small.encode(HELD_OUT), whole.encode(HELD_OUT), atol=3e-2)
    clustered = distill(teacher_folder, vocabulary_quantization=9, **options)
    assert clustered.embedding.shape == (9, 6)
    assert clustered.weights[clustered.unk_token_id] == 0


@pytest.mark.parametrize("corpus", [None, TEXTS])
def test_words(teacher_folder: Path, corpus: list[str] | None) -> None:
    """Added ones, some of several pieces; as many of them as fill a group beyond what the teacher takes."""
    long = [" ".join(["good", "day", "bad"] * n) for n in range(2, 11)]
    student = distill(teacher_folder, vocabulary=["sunny", "good day", *long], pca_dims=8, corpus=corpus)
    assert student.tokens[-11:] == ("sunny", "good day", *long)
    assert student.embedding[-11:].any(axis=1).all()
    alone = distill(teacher_folder, vocabulary=["sunny", "good day"], use_subword=False, pca_dims=None, corpus=corpus)
    assert alone.tokens == ("[UNK]", "[PAD]", "sunny", "good day")
    assert np.ptp(alone.embedding[-2:].astype(np.float32), axis=0).any()


def test_one_word(teacher_folder: Path) -> None:
    """There are no groups of one token, so it stays as the teacher sees it."""
    options = {"vocabulary": ["sunny"], "use_subword": False, "pca_dims": None, "sif_coefficient": None, **RAW}
    student, expected = (distill(teacher_folder, method=method, **options) for method in ("composed", "token"))
    assert student.tokens == ("[UNK]", "[PAD]", "sunny")
    assert student.encode("sunny").any()
    assert expected.encode("sunny").any()


def test_prompts(teacher: Teacher, teacher_folder: Path, tmp_path: Path) -> None:
    write_modules(teacher_folder, "Pooling", Pooling={"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True})
    write_json(teacher_folder / "config_sentence_transformers.json", {"prompts": {"query": "good day "}})
    plain, by_text, by_name = (
        distill(teacher_folder, pca_dims=8, **RAW, **options)
        for options in ({}, {"prompt": "good day "}, {"prompt_name": "query"})
    )
    assert np.array_equal(by_text.embedding, by_name.embedding)
    assert not np.allclose(by_text.embedding, plain.embedding, atol=0.1 * plain.embedding.std())
    store = featurize(teacher, TEXTS, tmp_path / "store", prompt="good day ").folder
    plain, by_text, by_store = (
        distill(teacher_folder, pca_dims=8, **RAW, **options).embedding
        for options in (
            {"corpus": TEXTS},
            {"corpus": TEXTS, "prompt": "good day "},
            {"corpus": store, "prompt_name": "query"},
        )
    )
    assert np.array_equal(by_text, by_store)
    assert not np.allclose(by_text, plain, atol=0.1 * plain.std())
    with pytest.raises(InvalidInputError, match="passage"):
        distill(teacher_folder, prompt_name="passage")


def test_a_teacher_of_short_texts(make_teacher: Callable[..., Path]) -> None:
    """Of 6 positions, between [CLS] and [SEP] there is room for 4 of a group's 8 tokens; behind a prompt for 2."""
    folder = make_teacher()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 6}))

    def cut(tensors: dict[str, np.ndarray]) -> None:
        name = "embeddings.position_embeddings.weight"
        tensors[name] = tensors[name][:6].copy()

    rewrite(folder, cut)
    teacher = Teacher.from_pretrained(folder)
    assert teacher.max_length == 6
    for options in ({}, {"prompt": "good day "}, {"corpus": TEXTS}, {"corpus": TEXTS, "prompt": "good day "}):
        student = distill(folder, pca_dims=8, **options)
        assert np.isfinite(student.embedding).all()
        assert student.embedding.any(axis=1).sum() >= student.n_tokens - 1


def test_routes_agree(teacher: Teacher, teacher_folder: Path) -> None:
    options = {"pca_dims": 8, "corpus": TEXTS, **RAW}
    by_teacher = distill_from_model(teacher, read_tokenizer(teacher_folder), **options)
    assert np.array_equal(by_teacher.embedding, distill(teacher_folder, **options).embedding)


@pytest.mark.parametrize("corpus", [None, MULTILINGUAL], ids=["composed", "corpus"])
@pytest.mark.parametrize("kind", sorted(SPACES))
def test_each_kind_of_tokenizer(
    make_teacher: Callable[..., Path], kind: str, corpus: list[str] | None, tmp_path: Path
) -> None:
    """XLM-R's, byte-level and others, on sentences in eight languages."""
    folder = tokenized(make_teacher, kind)
    corpus = corpus and [*corpus, "good day", "day after day", "a bad day"]
    options = {"vocabulary": ["zebra", "new york"], "pca_dims": 4 if kind == "wordlevel" else 16, "corpus": corpus}
    student = distill(folder, **RAW, **options)
    known = [row for row in range(student.n_tokens) if row != student.unk_token_id]
    assert student.embedding.any(axis=1)[known].sum() >= len(known) - 2  # an added word may have no ids
    assert np.isfinite(student.embedding).all()
    student.save_pretrained(tmp_path / "m")
    loaded = StaticModel.from_pretrained(tmp_path / "m")
    vectors = loaded.encode(MULTILINGUAL)
    assert np.array_equal(vectors, student.encode(MULTILINGUAL))
    expected = [bool(ids) for ids in student.tokenize(MULTILINGUAL)]
    assert (np.linalg.norm(vectors, axis=1) > 0.5).tolist() == expected
    distinct = {tuple(sorted({(i, ids.count(i) / len(ids)) for i in ids})) for ids in student.tokenize(MULTILINGUAL)}
    assert len(np.unique(vectors.round(4), axis=0)) == len(distinct)
    assert len(distinct) >= {"wordpiece": 1, "wordlevel": 2}.get(kind, 3)


# --- corpora ----------------------------------------------------------------------------------------------------------


def test_every_form_of_a_corpus(teacher: Teacher, teacher_folder: Path, tmp_path: Path) -> None:
    """The same texts in the same shards give the same bytes, however they come."""
    import csv

    lines, table, records = tmp_path / "a.txt", tmp_path / "b.csv", tmp_path / "c.jsonl"
    lines.write_text("\n".join(TEXTS))
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("number", "sentence"), *enumerate(TEXTS)])
    records.write_text("\n".join(json.dumps({"sentence": text}) for text in TEXTS))
    halves = [tmp_path / "first.txt", tmp_path / "second.txt"]
    for path, part in zip(halves, (TEXTS[:120], TEXTS[120:]), strict=True):
        path.write_text("\n".join(part))
    store = featurize(teacher, TEXTS, tmp_path / "store").folder
    shards = featurize(teacher, TEXTS, tmp_path / "shards", shard_size=77).folder

    def texts() -> Iterator[str]:
        yield from TEXTS

    def table_of(corpus: object, **options: object) -> np.ndarray:
        return distill(teacher_folder, pca_dims=8, corpus=corpus, **RAW, **options).embedding

    expected = table_of(TEXTS)
    for corpus in (texts(), [*TEXTS, *TEXTS[::-1]], lines, str(lines), halves, store, str(store)):
        assert np.array_equal(table_of(corpus), expected), corpus
    for path in (table, records):
        assert np.array_equal(table_of(path, text_column="sentence"), expected), path
    np.testing.assert_allclose(table_of(shards), expected, atol=1e-3)  # batches of other shapes are rounded otherwise
    assert not np.allclose(table_of(halves[0]), expected, atol=1e-3)


def test_corpora_that_will_not_do(
    make_teacher: Callable[..., Path], teacher: Teacher, teacher_folder: Path, tmp_path: Path, monkeypatch
) -> None:
    """All are found out before the teacher has to work."""
    store = featurize(teacher, TEXTS, tmp_path / "store", prompt="good ").folder
    empty = tmp_path / "empty"
    empty.mkdir()
    other = make_teacher("mpnet")
    monkeypatch.setattr("m2v_distill.table._teacher_vectors", lambda *args: pytest.fail("the teacher worked"))
    for folder, options, part in (
        (other, {"corpus": store}, "another teacher"),
        (teacher_folder, {"corpus": store, "pooling": "pooler"}, "another"),
        (teacher_folder, {"corpus": store, "prompt": "bad "}, "the prompt 'bad '; found 'good '"),
        (teacher_folder, {"corpus": store, "prompt": ""}, "the prompt ''; found 'good '"),
        (teacher_folder, {"corpus": tmp_path / "none.txt"}, "no such file"),
        (teacher_folder, {"corpus": empty}, "is a folder"),
        (teacher_folder, {"corpus": TEXTS, "text_column": "a"}, "text_column is for files with columns"),
        (teacher_folder, {"corpus": 3}, "found int"),
        (teacher_folder, {"corpus": TEXTS, "method": "token"}, "needs method 'composed'"),
    ):
        with pytest.raises(InvalidInputError, match=re.escape(part)):
            distill(folder, **options)


@pytest.mark.parametrize(
    ("corpus", "part"), [([], "found none"), ([" "], "found none"), (["✪ ✪"], "tokens of the vocabulary; found none")]
)
def test_corpora_without_tokens(teacher_folder: Path, corpus: list[str], part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        distill(teacher_folder, corpus=corpus, pca_dims=8)


def test_texts_of_unknown_tokens_alone(teacher_folder: Path) -> None:
    """Are rows of zeros: they count for the intercept, and are no error."""
    student = distill(teacher_folder, corpus=[*TEXTS, "✪", "✪ ✪"], pca_dims=None, **RAW)
    assert np.isfinite(student.embedding).all()
    assert not np.array_equal(student.embedding, distill(teacher_folder, corpus=TEXTS, pca_dims=None, **RAW).embedding)


def test_long_texts_are_cut_where_the_teacher_cuts_them(teacher: Teacher, teacher_folder: Path, monkeypatch) -> None:
    """What is behind its limit changes nothing."""
    limit = teacher.tokenizer.tokens_left("")
    assert limit == 40 - 2
    assert teacher.tokenizer.tokens_left("good day ") == limit - 2
    random = np.random.default_rng(0)
    starts = [" ".join(random.choice(["good", "day", "bad", "a"], limit)) for _ in range(60)]  # a token a word
    seen = []

    def spy(texts, *args, **options):
        found = list(texts)
        seen.append(found)
        return spooled(found, *args, **options)

    from m2v_distill.table import spooled

    monkeypatch.setattr("m2v_distill.table.spooled", spy)
    short, long = (
        distill(teacher_folder, corpus=corpus, pca_dims=8, **RAW)
        for corpus in (starts, [f"{text} bad sunny bad" for text in starts])
    )
    assert np.array_equal(short.embedding, long.embedding)
    assert seen[0] == seen[1]
    assert {len(ids) for ids in seen[0]} == {limit}


def test_a_corpus_is_kept(teacher: Teacher, teacher_folder: Path, tmp_path: Path, monkeypatch) -> None:
    chunks = tmp_path / "chunks"
    options = {"corpus": TEXTS, "pca_dims": 8, "checkpoint_dir": chunks, **RAW}
    first = distill(teacher_folder, **options)
    assert FeatureStore.open(chunks / "corpus").n_texts == len(set(TEXTS))
    kept = []

    def spy(*args, **settings):
        kept.append(featurize(*args, **settings).n_kept)
        return FeatureStore.open(chunks / "corpus")

    monkeypatch.setattr("m2v_distill.table.featurize", spy)
    again = distill(teacher_folder, **options)
    anew = distill(teacher_folder, resume=False, **options)
    assert kept == [len(set(TEXTS)), 0]
    assert np.array_equal(again.embedding, first.embedding)
    assert np.array_equal(anew.embedding, first.embedding)
    with pytest.raises(InvalidInputError, match="expected the corpus that this folder was started with"):
        distill(teacher_folder, **{**options, "corpus": TEXTS[::-1]})


def test_nothing_is_left_behind(teacher_folder: Path, tmp_path: Path, monkeypatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    distill(teacher_folder, corpus=TEXTS, pca_dims=8)
    assert list(scratch.iterdir()) == []
    shutil.rmtree(scratch)
