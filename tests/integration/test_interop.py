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
from m2v_distill import distill, distill_from_model
from tokenizer_files import KINDS

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]  # the peers warn of their own parts

PLAIN = ["good day", "Bad, sunny days!", "a", "good good good bad", "unable day", "", "[CLS] good", "✪ day"]


def cosines(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    return unit @ unit.T


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}", end="")


@pytest.fixture(scope="module")
def texts(data: Path) -> list[str]:
    """1,000 real texts: sentences, bank questions and tweets."""
    with (data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        sentences = [row[0] for row in csv.reader(file)][:400]
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
    return distill(str(minilm), quantize_to="float32")


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
    theirs, ours = distill_there(str(teacher), **options), distill(str(teacher), **options)
    assert list(ours.tokens) == list(theirs.tokens)
    difference = np.abs(cosines(ours.encode(PLAIN)) - cosines(theirs.encode(PLAIN))).max()
    report(capsys, f"{case:12} {pooling:6} cosines, ours and model2vec's: largest difference {difference:.1e}")
    assert difference <= 2e-3
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = StaticModel.from_pretrained(tmp_path / "theirs")
    np.testing.assert_allclose(loaded.encode(PLAIN), theirs.encode(PLAIN), atol=1e-5)


def random_teacher(case: str, folder: Path) -> Path:
    """A tiny model of a family with as many rows as its tokenizer has tokens, saved as a folder."""
    import transformers

    from golden.families import CASES

    kind = {"roberta": "byte_bpe", "xlm-roberta": "unigram", "camembert": "unigram"}.get(case, "wordpiece")
    tokenizer_json = KINDS[kind]()
    model_class, config_class, options = CASES[case]
    config = getattr(transformers, config_class)(**{**options, "vocab_size": len(make_model(kind).tokens)})
    getattr(transformers, model_class)(config).eval().save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    names = ("[UNK]", "[PAD]", "[CLS]", "[SEP]") if kind == "wordpiece" else ("<unk>", "<pad>", "<s>", "</s>")
    special = dict(zip(("unk_token", "pad_token", "cls_token", "sep_token"), names, strict=True))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
    return folder


def test_every_route_gives_the_same(minilm: Path, ours: StaticModel, texts: list[str], capsys) -> None:
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(minilm)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    student = distill_from_model(model, AutoTokenizer.from_pretrained(minilm), quantize_to="float32")
    difference = np.abs(student.encode(texts[:100]) - ours.encode(texts[:100])).max()
    report(capsys, f"distill(path) and distill_from_model(PyTorch model): largest difference {difference:.1e}")
    assert difference <= 1e-5
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
def pairs(data: Path) -> list[tuple[str, str, float]]:
    """STS-B: pairs of sentences, and how alike people found them."""
    with (data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        return [(one, other, float(score)) for one, other, score in csv.reader(file)]


def spearman(model, pairs: list[tuple[str, str, float]]) -> float:
    """The rank correlation of cosines with people's scores, times 100."""
    from scipy.stats import spearmanr

    one, other = (np.asarray(model.encode([pair[side] for pair in pairs]), np.float32) for side in (0, 1))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return round(100 * float(spearmanr((one * other).sum(axis=1) / norms, [pair[2] for pair in pairs]).statistic), 2)


NOISE = 1.0  # of 100: what another seed changes


def test_our_clusters(minilm: Path, ours: StaticModel, theirs, pairs, texts: list[str], tmp_path: Path, capsys) -> None:
    """As good as model2vec's, of a distillation and of a finished model, and read by it."""
    from model2vec.distill import distill as distill_there

    student = quantize_model(ours, vocabulary_quantization=512)
    student.save_pretrained(tmp_path / "m")
    peer = model2vec.StaticModel.from_pretrained(tmp_path / "m")
    assert peer.vocabulary_quantization == 512
    error = float(np.abs(peer.encode(texts) - student.encode(texts)).max())
    report(capsys, f"our clustered vocabulary in model2vec: off by {error:.1e}")
    assert error <= 1e-5
    here = spearman(student, pairs)
    there = {
        "distilled": spearman(distill_there(str(minilm), vocabulary_quantization=512), pairs),
        "finished": spearman(model2vec.quantize_model(theirs, vocabulary_quantization=512), pairs),
    }
    report(
        capsys,
        f"512 clusters, STS-B dev: ours {here:.2f}, model2vec's {there}, ours without {spearman(ours, pairs):.2f}",
    )
    assert here >= max(there.values()) - NOISE
