"""Live: what other readers and writers make of folders (nox -s interop): dtypes, unused ids, the unknown token."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

model2vec = pytest.importorskip("model2vec", reason="needs model2vec and sentence-transformers: nox -s interop")
sentence_transformers = pytest.importorskip("sentence_transformers", reason="likewise")
torch = pytest.importorskip("torch", reason="likewise")

from m2v_core import StaticModel, quantize_model
from m2v_core.storage.narrow import NARROW_DTYPES, raw_dtype, widened
from m2v_core.tokenize.vocabulary import Vocabulary
from m2v_distill import distill
from tokenizer_files import byte_bpe, wordpiece

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]  # the peers warn of their own parts

TEXTS = ["good day", "Bad, sunny days!", "unable", "", "good " * 30, "a ☃ day"]
UNKNOWN = ["☃", "☃ 𓀀"]

#: safetensors' names -> PyTorch's.
THERE = {
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}


def loaded_there(folder: Path):
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu")


# --- dtypes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NARROW_DTYPES))
def test_every_value_is_pytorchs(name: str) -> None:
    bits = np.arange(1 << (8 * raw_dtype(name).itemsize)).astype(raw_dtype(name))
    signed = torch.from_numpy(bits.astype(f"u{bits.itemsize}").view(np.int16 if bits.itemsize == 2 else np.uint8))
    expected = signed.view(getattr(torch, THERE[name])).float().numpy()
    assert np.array_equal(widened(bits, name), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("kind", ["tokenizers", "transformers"])
def test_what_sentence_transformers_saves(kind: str, normalize: bool, dtype: str, tmp_path: Path) -> None:
    """Its vectors, of the same table in float32, texts with unknown tokens aside; see rule 22 of the format."""
    from sentence_transformers.models import Normalize, StaticEmbedding
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_str(wordpiece())
    if kind == "transformers":
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")  # noqa: S106
    torch.manual_seed(0)
    table = StaticEmbedding(tokenizer, embedding_dim=16)
    model = sentence_transformers.SentenceTransformer(
        modules=[table, Normalize()] if normalize else [table], device="cpu"
    )
    model.to(getattr(torch, dtype)).save(str(tmp_path / "m"))
    there = loaded_there(tmp_path / "m").float()
    for memory_map in (False, True):
        here = StaticModel.from_pretrained(tmp_path / "m", memory_map=memory_map)
        np.testing.assert_allclose(here.encode(TEXTS[:-1]), there.encode(TEXTS[:-1]), atol=1e-6)


# --- unused ids ---------------------------------------------------------------------------------------------------


def with_hole(layout: str) -> StaticModel:
    raw = json.loads(wordpiece() if layout == "wordpiece" else byte_bpe())
    last = max(raw["model"]["vocab"], key=raw["model"]["vocab"].get)
    raw["model"]["vocab"][last] += 2
    tokenizer = json.dumps(raw)
    table = np.random.default_rng(0).normal(size=(len(Vocabulary.from_json(tokenizer).tokens), 8)).astype(np.float32)
    return StaticModel(table, tokenizer, normalize=True)


@pytest.mark.parametrize(
    "change", [{}, {"quantize_to": "int8"}, {"quantize_to": "float16"}, {"vocabulary_quantization": 20}]
)
@pytest.mark.parametrize("layout", ["wordpiece", "bytes"])
def test_peers_read_unused_ids(layout: str, change: dict, tmp_path: Path) -> None:
    model = quantize_model(with_hole(layout), **change)
    model.save_pretrained(tmp_path / "m")
    texts = [*TEXTS[:-1], "good jjj day"]
    expected, tolerance = model.encode(texts), 2e-3 if "float16" in change.values() else 1e-5
    np.testing.assert_allclose(
        model2vec.StaticModel.from_pretrained(tmp_path / "m").encode(texts), expected, atol=tolerance
    )
    if (tmp_path / "m/modules.json").is_file():
        np.testing.assert_allclose(loaded_there(tmp_path / "m").float().encode(texts), expected, atol=tolerance)
    assert (tmp_path / "m/modules.json").is_file() == (layout == "bytes" and model.weights is None)
    model2vec.StaticModel.from_pretrained(tmp_path / "m").save_pretrained(tmp_path / "theirs")
    again = StaticModel.from_pretrained(tmp_path / "theirs")
    np.testing.assert_allclose(again.encode(texts), expected, atol=1e-6)


# --- the unknown token --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def student(minilm: Path) -> StaticModel:
    return distill(str(minilm), method="token", precision="float32", quantize_to="float32")


@pytest.fixture(scope="module")
def texts(data: Path) -> list[str]:
    with (data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        sentences = [row[0] for row in csv.reader(file)][:500]
    return [*sentences, *(f"{sentence} ☃ 😀" for sentence in sentences)]


def saved_with(student: StaticModel, folder: Path, dtype: str, first: float = 0.0) -> StaticModel:
    """The student with another row for the unknown token: `first` and zeros. sentence-transformers always loads it."""
    table = student.embedding.astype(dtype)
    table[student.unk_token_id, 0] = first
    model = StaticModel(table, student.stored.tokenizer_json, config=student.config)
    model.save_pretrained(folder)
    modules = ["StaticEmbedding", "Normalize"]
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": i,
                    "name": str(i),
                    "path": f"{i}_{kind}" if i else ".",
                    "type": f"sentence_transformers.models.{kind}",
                }
                for i, kind in enumerate(modules)
            ]
        )
    )
    return model


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_zeros_agree_in_float32(student: StaticModel, texts: list[str], dtype: str, tmp_path: Path) -> None:
    model = saved_with(student, tmp_path, dtype)
    every = [*texts, *UNKNOWN, ""]
    np.testing.assert_allclose(loaded_there(tmp_path).float().encode(every), model.encode(every), atol=1e-6)


def test_float16_there_knows_no_empty_text(student: StaticModel, texts: list[str], tmp_path: Path) -> None:
    """Why cards say `.float()`: this is what happens without, whatever the file holds."""
    model = saved_with(student, tmp_path, "float16")
    vectors = loaded_there(tmp_path).encode([*texts, "", *UNKNOWN])
    assert np.isnan(vectors[-3:]).all()
    np.testing.assert_allclose(vectors[:-3], model.encode(texts), atol=2e-3)


@pytest.mark.parametrize(("dtype", "smallest"), [("float32", 1e-22), ("float16", 2.0**-24)])
def test_no_other_row_does_for_the_unknown_token(
    student: StaticModel, dtype: str, smallest: float, tmp_path: Path
) -> None:
    """With the smallest row whose length is not zero, texts of unknown tokens alone are alike, and not zeros."""
    saved_with(student, tmp_path, dtype, smallest)
    there = loaded_there(tmp_path).float()
    vectors = there.encode(UNKNOWN)
    assert float(there.similarity(vectors, vectors)[0, 1]) == pytest.approx(1)
    assert np.abs(vectors).max() == pytest.approx(1 if dtype == "float16" else 1e-10, rel=0.01)


def test_tokenlearn_divides_by_the_length_of_rows(student: StaticModel, tmp_path: Path) -> None:
    """What cards say of it: zeros become NaN, a row of its own does not."""
    pretrain = pytest.importorskip("tokenlearn.pretrain", reason="pip install --no-deps tokenlearn==0.2.1")
    saved_with(student, tmp_path, "float32")
    there = model2vec.StaticModel.from_pretrained(tmp_path)
    ids = torch.tensor([there.tokenizer.encode("good ☃ day", add_special_tokens=False).ids])
    for first, is_nan in ((0, True), (1e-4, False)):
        there.embedding[there.unk_token_id] = first
        tuner = pretrain.StaticModelFineTuner(torch.from_numpy(there.embedding), out_dim=8, pad_id=0)
        assert bool(torch.isnan(tuner.sub_forward(ids)).any()) == is_nan
