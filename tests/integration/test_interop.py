"""Live: files and vectors against model2vec and sentence-transformers (nox -s interop)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

model2vec = pytest.importorskip("model2vec", reason="needs model2vec and sentence-transformers: nox -s interop")
pytest.importorskip("sentence_transformers", reason="needs model2vec and sentence-transformers: nox -s interop")

from conftest import make_model
from m2v_core import StaticModel, quantize_model
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.tokenize.vocabulary import Vocabulary
from m2v_distill import Teacher, distill, distill_from_model
from m2v_distill.teacher.tokenizer import read_tokenizer
from m2v_distill.teacher.transformers_io import load_tokenizer
from m2v_distill.vocabulary.build import TeacherVocabulary, student_vocabulary
from random_teachers import random_teacher, with_tokenizer
from tokenizer_files import KINDS, SPACES, WORDS

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]  # the peers warn of their own parts

#: As model2vec does it.
OURS = {"method": "token", "precision": "float32"}

PLAIN = ["good day", "Bad, sunny days!", "a", "good good good bad", "unable day", "", "[CLS] good", "✪ day"]


def cosines(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    return unit @ unit.T


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}", end="")


def sentences_of(data: Path, count: int) -> list[str]:
    with (data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        return [row[0] for row in csv.reader(file)][:count]


@pytest.fixture(scope="module")
def texts(data: Path) -> list[str]:
    """1,000 texts: sentences, bank questions and tweets."""
    sentences = sentences_of(data, 400)
    with (data / "banking_train.csv").open(encoding="utf-8", newline="") as file:
        questions = [row["text"] for row in csv.DictReader(file)][:300]
    tweets = (data / "te_emoji_train_text.txt").read_text(encoding="utf-8").splitlines()[:300]
    assert len(sentences + questions + tweets) == 1000
    return sentences + questions + tweets


@pytest.fixture(scope="module")
def theirs(minilm: Path):
    from model2vec.distill import distill as distill_there

    return distill_there(str(minilm), quantize_to="float32")


@pytest.fixture(scope="module")
def ours(minilm: Path) -> StaticModel:
    return distill(str(minilm), quantize_to="float32", **OURS)


def test_our_student_is_model2vecs(ours: StaticModel, theirs, texts: list[str], capsys) -> None:
    assert list(ours.tokens) == list(theirs.tokens)
    difference = np.abs(cosines(ours.encode(texts)) - cosines(theirs.encode(texts))).max()
    report(capsys, f"cosines of 1,000 texts, our student and model2vec's: largest difference {difference:.1e}")
    assert difference <= 2e-3


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("case", ["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet"])
def test_students_of_each_family(case: str, pooling: str, tmp_path: Path, capsys) -> None:
    """A random teacher of each family, with a tokenizer of its kind, distilled here and there."""
    from model2vec.distill import distill as distill_there

    teacher = random_teacher(case, tmp_path / case)
    options = {"pca_dims": 16, "quantize_to": "float32", "pooling": pooling}
    theirs, ours = distill_there(str(teacher), **options), distill(str(teacher), **OURS, **options)
    assert list(ours.tokens) == list(theirs.tokens)
    same = read_alike(ours, theirs, PLAIN)
    assert len(same) >= (2 if case in ("xlm-roberta", "camembert") else len(PLAIN))  # of these, theirs lose a token
    difference = np.abs(cosines(ours.encode(same)) - cosines(theirs.encode(same))).max()
    report(capsys, f"{case:12} {pooling:6} cosines, ours and model2vec's: largest difference {difference:.1e}")
    assert difference <= 2e-3
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = StaticModel.from_pretrained(tmp_path / "theirs")
    np.testing.assert_allclose(loaded.encode(PLAIN), theirs.encode(PLAIN), atol=1e-5)


def test_every_route_gives_the_same(minilm: Path, own_data: Path, tmp_path: Path, capsys) -> None:
    """With the tokens that begin with the first two letters: each token is embedded for itself."""
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(minilm)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    SentenceTransformer(str(minilm), device="cpu").save(str(tmp_path / "saved"))
    options = {"quantize_to": "float32", "token_remove_pattern": r"\[unused|(?!\[|(##)?[ab])", **OURS}
    ours, texts = distill(minilm, **options), sentences_of(own_data, 100)
    assert 1_500 < len(ours.tokens) < 5_000
    expected = ours.encode(texts)
    students = {
        "distill(a folder that sentence-transformers saved)": distill(tmp_path / "saved", **options),
        "distill_from_model(Teacher)": distill_from_model(Teacher.from_pretrained(minilm), tokenizer, **options),
        "distill_from_model(PyTorch model)": distill_from_model(model, tokenizer, **options),
        "distill_from_model(PyTorch model, backend='torch')": distill_from_model(
            model, tokenizer, backend="torch", **options
        ),
        "distill(path, backend='torch')": distill(minilm, backend="torch", **options),
    }
    for route, student in students.items():
        assert list(student.tokens) == list(ours.tokens)
        difference = np.abs(student.encode(texts) - expected).max()
        report(capsys, f"distill(path) and {route}: largest difference {difference:.1e}")
        assert difference <= (
            5e-5 if "backend" in route else 0
        )  # another library rounds otherwise, PCA makes more of it
    assert all((before[name] == tensor).all() for name, tensor in model.state_dict().items())


def test_the_peers_load_our_folder(ours: StaticModel, texts: list[str], tmp_path: Path, capsys) -> None:
    from sentence_transformers import SentenceTransformer

    ours.save_pretrained(tmp_path / "m")
    vectors = ours.encode(texts)
    by_model2vec = model2vec.StaticModel.from_pretrained(tmp_path / "m").encode(texts)
    by_transformers = SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(texts)
    errors = [float(np.abs(peer - vectors).max()) for peer in (by_model2vec, by_transformers)]
    report(capsys, f"our folder, 1,000 texts: model2vec off by {errors[0]:.1e}, sentence-transformers {errors[1]:.1e}")
    assert max(errors) <= 1e-5


def test_we_load_model2vecs_folder(theirs, texts: list[str], tmp_path: Path, capsys) -> None:
    for dtype, tolerance in (("float32", 1e-3), ("float16", 1e-3)):
        peer = model2vec.quantize_model(theirs, quantize_to=dtype)
        peer.save_pretrained(tmp_path / dtype)
        error = float(np.abs(StaticModel.from_pretrained(tmp_path / dtype).encode(texts) - peer.encode(texts)).max())
        report(capsys, f"model2vec's {dtype} folder, 1,000 texts: we are off by {error:.1e}")
        assert error <= tolerance


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("normalize", [True, False])
def test_small_folders_in_model2vec(kind: str, dtype: str, normalize: bool, tmp_path: Path) -> None:
    model = quantize_model(make_model(kind, normalize=normalize, max_length=300), quantize_to=dtype)
    model.save_pretrained(tmp_path / "m")
    peer = model2vec.StaticModel.from_pretrained(tmp_path / "m")
    assert peer.normalize == normalize
    assert peer.max_length == 300
    tolerance = 5e-3 if dtype == "float16" else 1e-5
    np.testing.assert_allclose(peer.encode(PLAIN), model.encode(PLAIN), atol=tolerance)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("normalize", [True, False])
def test_small_folders_in_sentence_transformers(kind: str, dtype: str, normalize: bool, tmp_path: Path) -> None:
    """Wherever we write modules.json the vectors are the same, of texts with unknown tokens and of cut ones alike.

    (A text with both is cut elsewhere: docs/format.md says so.)
    """
    from sentence_transformers import SentenceTransformer

    model = make_model(kind, dtype=dtype, normalize=normalize, max_length=30)
    if model.unk_token_id is not None:
        model.embedding[model.unk_token_id] = 0
    model.save_pretrained(tmp_path / "m")
    expected = model.unk_token_id is None or normalize
    assert (tmp_path / "m/modules.json").exists() == expected
    if expected:
        texts = [text for text in [*PLAIN, "good day " * 40] if model.tokenize(text)]
        assert len(model.tokenize(texts[-1])) == 30
        peer = SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(texts)
        np.testing.assert_allclose(peer, model.encode(texts), atol=5e-3 if dtype == "float16" else 1e-5)


def test_clusters_made_by_model2vec(theirs, texts: list[str], tmp_path: Path, capsys) -> None:
    peer = model2vec.quantize_model(model2vec.quantize_model(theirs, dimensionality=32), vocabulary_quantization=64)
    peer.save_pretrained(tmp_path / "m")
    model = StaticModel.from_pretrained(tmp_path / "m")
    assert model.vocabulary_quantization == 64
    error = float(np.abs(model.encode(texts[:200]) - peer.encode(texts[:200])).max())
    report(capsys, f"model2vec's clustered vocabulary: we are off by {error:.1e}")
    assert error <= 1e-5


@pytest.fixture(scope="module")
def pairs(real_data: Path) -> list[tuple[str, str, float]]:
    """STS-B: pairs of sentences, and how alike people found them."""
    with (real_data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        return [(one, other, float(score)) for one, other, score in csv.reader(file)]


def spearman(model, pairs: list[tuple[str, str, float]]) -> float:
    """The rank correlation of cosines with people's scores, times 100."""
    from scipy.stats import spearmanr

    one, other = (np.asarray(model.encode([pair[side] for pair in pairs]), np.float32) for side in (0, 1))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return round(100 * float(spearmanr((one * other).sum(axis=1) / norms, [pair[2] for pair in pairs]).statistic), 2)


NOISE = 1.0  # of 100: what another seed changes


@pytest.fixture(scope="module")
def our_clusters(ours: StaticModel) -> StaticModel:
    return quantize_model(ours, vocabulary_quantization=256)


def test_our_clusters_in_model2vec(our_clusters: StaticModel, texts: list[str], tmp_path: Path, capsys) -> None:
    our_clusters.save_pretrained(tmp_path / "m")
    peer = model2vec.StaticModel.from_pretrained(tmp_path / "m")
    assert peer.vocabulary_quantization == 256
    error = float(np.abs(peer.encode(texts) - our_clusters.encode(texts)).max())
    report(capsys, f"our clustered vocabulary in model2vec: off by {error:.1e}")
    assert error <= 1e-5


def test_our_clusters_are_as_good(
    minilm: Path, ours: StaticModel, theirs, our_clusters: StaticModel, pairs, capsys
) -> None:
    """As model2vec's, of a distillation and of a finished model."""
    from model2vec.distill import distill as distill_there

    here = spearman(our_clusters, pairs)
    there = {
        "distilled": spearman(distill_there(str(minilm), vocabulary_quantization=256), pairs),
        "finished": spearman(model2vec.quantize_model(theirs, vocabulary_quantization=256), pairs),
    }
    report(
        capsys,
        f"256 clusters, STS-B dev: ours {here:.2f}, model2vec's {there}, ours without {spearman(ours, pairs):.2f}",
    )
    assert here >= max(there.values()) - NOISE


# --- words added to a vocabulary ------------------------------------------------------------------------------------

UNUSED = r"\[unused\d+\]"
FREQUENT = ["the", "you", "card", "my", "i", "Love", "top-up", "happy birthday", "new york"]


@pytest.fixture(scope="module")
def many_texts(texts: list[str], data: Path) -> list[str]:
    """2,000 texts: the English ones, and sentences in four other languages."""
    others = []
    for language in ("de", "ja", "ru", "zh"):
        with (data / f"stsb-{language}-dev.csv").open(encoding="utf-8", newline="") as file:
            others += [row[0] for row in csv.reader(file)][:250]
    assert len(texts + others) == 2000
    return texts + others


def vocabulary_there(tokenizer, words: list[str]) -> tuple[str, list[list[int]]]:
    """The student's tokenizer.json and the teacher's ids, by model2vec; padding is off."""
    import re

    from model2vec.tokenizer import clean_and_create_vocabulary, turn_tokens_into_ids
    from skeletoken import TokenizerModel

    teacher = TokenizerModel.from_transformers_tokenizer(tokenizer).prune_added_tokens()
    student = teacher.deep_copy()
    if student.adds_prefix_space is not None:
        student.adds_prefix_space = True
    student = clean_and_create_vocabulary(student, words, token_remove_regex=re.compile(UNUSED))
    teacher.padding = None
    ids = [tokenizer.convert_tokens_to_ids(token) for token in teacher.sorted_vocabulary]
    rows = turn_tokens_into_ids(student.sorted_vocabulary, teacher)
    return student.to_tokenizer().to_str(), [[ids[index] for index in row] for row in rows]


def mended(theirs: str, ours: TeacherVocabulary) -> str:
    """Their tokenizer without the faults that we left behind.

    They find words of several parts inside longer words, leave `unk_id` on another token, and put a space before each
    part of a Split.
    """
    raw, own = json.loads(theirs), json.loads(ours.tokenizer_json)
    flags = {token["content"]: {**token} for token in own["added_tokens"]}
    for token in raw["added_tokens"]:
        token |= {name: flag for name, flag in flags.get(token["content"], {}).items() if name != "id"}
    if raw["model"].get("unk_id") is not None:
        unknown = own["model"]["vocab"][own["model"]["unk_id"]][0]
        raw["model"]["unk_id"] = [token for token, _ in raw["model"]["vocab"]].index(unknown)
    return json.dumps({**raw, "pre_tokenizer": own["pre_tokenizer"]})


def compare_tokens(ours: TeacherVocabulary, theirs: str, texts: list[str]) -> int:
    """In how many texts the tokens differ: ours as the core finds them, theirs by their tokenizer alone."""
    from tokenizers import Tokenizer

    here, there = TextTokenizer(ours.tokenizer_json), Tokenizer.from_str(theirs)
    there.no_padding()
    there.no_truncation()
    rows = [[ours.tokens[index] for index in ids] for ids in here(texts, None)]
    unknown = None if here.unk_id is None else ours.tokens[here.unk_id]
    encodings = there.encode_batch_fast(texts, add_special_tokens=False)
    expected = [[there.id_to_token(index) for index in encoding.ids] for encoding in encodings]
    expected = [[token for token in row if token != unknown] for row in expected]
    return sum(row != other for row, other in zip(rows, expected, strict=True))


@pytest.mark.parametrize("situation", sorted(WORDS))
@pytest.mark.parametrize("kind", sorted(SPACES))
def test_vocabularies_with_words(kind: str, situation: str, tmp_path: Path, many_texts: list[str], capsys) -> None:
    folder = with_tokenizer(tmp_path / "t", SPACES[kind]())
    # Neither library has a use for what the file calls a padding token; model2vec empties it or fails.
    left_out = ["<pad>", "[pad]", *(["▁day"] if kind.startswith("llama3") else [])]  # which its Split divides
    words = [word for word in WORDS[situation] if word not in left_out]
    theirs, rows = vocabulary_there(load_tokenizer(folder), words)
    tokenizer = read_tokenizer(folder)
    ours = student_vocabulary(tokenizer, UNUSED, words)
    spelled = dict(zip(Vocabulary.from_json(theirs).tokens, rows, strict=True))
    plain = {"multiword": {"sun"}, "llama3_student": {"acme"}}  # added tokens, which model2vec drops
    kept = plain.get(kind, set())
    assert set(ours.tokens) == {*spelled, *kept} - {""}  # which spaces alone become there
    texts = [text for text in many_texts if not any(token in text.lower() for token in kept)]
    differ = compare_tokens(ours, mended(theirs, ours), texts)
    report(capsys, f"{kind:16} {situation:14} {len(texts)} texts, {differ} with other tokens; {ours.word_counts}")
    assert differ == 0
    sequences = {token: ids for token, ids in zip(ours.tokens, ours.sequences, strict=True) if token not in kept}
    if kind in (
        "byte_bpe",
        "gpt2",
        "llama3",
        "llama3_student",
    ):  # model2vec sends these tokens as texts, stand-ins of bytes and all
        sequences = {token: ids for token, ids in sequences.items() if token in tokenizer.ids or " " in token}
    if kind == "multiword":  # the teacher has tokens for words that are asked for; model2vec spells them
        sequences = {token: ids for token, ids in sequences.items() if token in tokenizer.ids}
        sequences = {token: ids for token, ids in sequences.items() if len(ids) == len(spelled[token])}
    assert sequences == {token: spelled[token] for token in sequences}


#: Words that model2vec moves to the end of the vocabulary, though they are tokens already (spaces become "" there).
IN_OUR_PLACE = ("<pad>", "[pad]", "##s")


def read_alike(ours: StaticModel, theirs: model2vec.StaticModel, texts: list[str]) -> list[str]:
    """The texts of which both have the same tokens: theirs differ by the faults that `mended` mends."""
    encodings = theirs.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    unknown = {ours.unk_token_id, theirs.unk_token_id}
    there = [[index for index in encoding.ids if index != theirs.unk_token_id] for encoding in encodings]
    both = zip(texts, ours.tokenize(texts), there, strict=True)
    return [text for text, here, row in both if here == row[:512] and not unknown & set(here)]


KINDS_OF_TEACHERS = {
    "wordpiece": "bert",
    "wordpiece_cased": "distilbert",
    "byte_bpe": "roberta",
    "unigram": "xlm-roberta",
    "xlm_roberta": "xlm-roberta",
    "collapsing": "camembert",
    "metaspace_bpe": "mpnet",
    "wordlevel": "bert",
}


@pytest.mark.parametrize("kind", sorted(KINDS_OF_TEACHERS))
def test_students_with_words(kind: str, tmp_path: Path, texts: list[str], capsys) -> None:
    """Whole distillations; of byte-level tokenizers only multi-word tokens, which both spell alike."""
    from model2vec.distill import distill as distill_there

    teacher = random_teacher(KINDS_OF_TEACHERS[kind], tmp_path / kind, kind)
    words = WORDS["several words"] if kind == "byte_bpe" else [*WORDS["all"], *FREQUENT]
    words = [word for word in words if word.strip() and word not in IN_OUR_PLACE]
    options = {"vocabulary": words, "pca_dims": 16, "quantize_to": "float32"}
    theirs, ours = distill_there(str(teacher), **options), distill(str(teacher), **OURS, **options)
    assert list(ours.tokens) == list(theirs.tokens)
    same = read_alike(ours, theirs, texts)
    assert len(same) >= 0.6 * len(texts)
    difference = np.abs(cosines(ours.encode(same)) - cosines(theirs.encode(same))).max()
    report(capsys, f"{kind:16} with words: cosines of 1,000 texts, largest difference {difference:.1e}")
    assert difference <= 2e-3


@pytest.fixture(scope="module")
def with_words(minilm: Path, tmp_path_factory: pytest.TempPathFactory):
    """Two students of the real teacher with words: model2vec's, of a folder that asks for no padding, and ours."""
    import shutil

    from model2vec.distill import distill as distill_there

    teacher = tmp_path_factory.mktemp("words") / "teacher"
    shutil.copytree(minilm, teacher)
    raw = json.loads((teacher / "tokenizer.json").read_text(encoding="utf-8"))
    (teacher / "tokenizer.json").write_text(json.dumps({**raw, "padding": None}), encoding="utf-8")
    words = [word for word in [*WORDS["all"], *FREQUENT] if word.strip() and word not in IN_OUR_PLACE]
    options = {"vocabulary": words, "quantize_to": "float32"}
    return distill_there(str(teacher), **options), distill(str(minilm), **OURS, **options)


def test_the_real_teacher_with_words(with_words, many_texts: list[str], capsys) -> None:
    """Its tokenizer.json asks for padding, which model2vec lets it attend to; without, both give the same."""
    theirs, ours = with_words
    assert list(ours.tokens) == list(theirs.tokens)
    same = read_alike(ours, theirs, many_texts)
    differ = len(many_texts) - len(same)
    difference = np.abs(cosines(ours.encode(same)) - cosines(theirs.encode(same))).max()
    report(
        capsys, f"the real teacher with words: 2,000 texts, {differ} with other ids, cosines within {difference:.1e}"
    )
    assert differ <= 0.05 * len(many_texts)  # words of several parts, in theirs inside longer ones
    assert difference <= 2e-3


@pytest.mark.parametrize("kind", sorted(SPACES))
def test_word_level_students_in_model2vec(kind: str, tmp_path: Path, texts: list[str]) -> None:
    tokenizer = read_tokenizer(with_tokenizer(tmp_path / "t", SPACES[kind]()))
    vocabulary = student_vocabulary(tokenizer, None, [*WORDS["all"], *FREQUENT], use_subword=False)
    table = np.random.default_rng(0).normal(size=(len(vocabulary.tokens), 8)).astype(np.float32)
    model = StaticModel(table, vocabulary.tokenizer_json, normalize=True)
    model.save_pretrained(tmp_path / "m")
    peer = model2vec.StaticModel.from_pretrained(tmp_path / "m")
    assert list(peer.tokens) == list(model.tokens)
    vectors = model.encode(texts)
    assert (vectors != 0).any(axis=1).mean() > 0.5
    np.testing.assert_allclose(peer.encode(texts), vectors, atol=1e-5)


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_the_peers_ignore_a_compiled_vocabulary(kind: str, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = make_model(kind, normalize=True)
    model.embedding[model.unk_token_id] = 0  # so that sentence-transformers computes the same
    model.save_pretrained(tmp_path / "m", compiled=True)
    assert {"vocabulary.safetensors", "modules.json"} <= {path.name for path in (tmp_path / "m").iterdir()}
    expected = StaticModel.from_pretrained(tmp_path / "m").encode(PLAIN[:5])
    assert np.allclose(model2vec.StaticModel.from_pretrained(tmp_path / "m").encode(PLAIN[:5]), expected, atol=1e-6)
    assert np.allclose(SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(PLAIN[:5]), expected, atol=1e-6)
