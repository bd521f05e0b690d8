"""Folders that model2vec and sentence-transformers saved give the vectors that they gave there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN
from m2v_core import ModelFormatError, ModelNotFoundError, StaticModel

STUDENTS = GOLDEN / "students"
CASES = sorted(path.name for path in STUDENTS.iterdir() if path.is_dir())
TEXTS = json.loads((STUDENTS / "texts.json").read_text())


def test_there_are_cases() -> None:
    assert len(CASES) == 9


@pytest.mark.parametrize("case", CASES)
def test_vectors_are_the_same(case: str, tmp_path: Path) -> None:
    expected = load_file(STUDENTS / case / "expected.safetensors")["vectors"]
    tolerance = 2e-3 if "float16" in case else 1e-5
    model = StaticModel.from_pretrained(STUDENTS / case)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=tolerance, rtol=1e-5)
    model.save_pretrained(tmp_path / "ours")
    again = StaticModel.from_pretrained(tmp_path / "ours")
    assert np.array_equal(again.encode(TEXTS), model.encode(TEXTS))


def test_settings_are_read() -> None:
    assert StaticModel.from_pretrained(STUDENTS / "sentence-transformers-normalized").normalize
    assert not StaticModel.from_pretrained(STUDENTS / "sentence-transformers").normalize
    assert StaticModel.from_pretrained(STUDENTS / "sentence-transformers").max_length is None
    assert StaticModel.from_pretrained(STUDENTS / "model2vec-unigram").max_length == 100
    assert StaticModel.from_pretrained(STUDENTS / "model2vec-clusters").vocabulary_quantization == 12


def copied(case: str, folder: Path) -> Path:
    shutil.copytree(STUDENTS / case, folder)
    return folder


def test_the_tokenizers_truncation_counts(tmp_path: Path) -> None:
    folder = copied("sentence-transformers", tmp_path / "m")
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    assert StaticModel.from_pretrained(folder).max_length == 2


@pytest.mark.parametrize("truncation", [5, [1], "x", {"max_length": "x"}, {"max_length": 0}])
def test_a_damaged_truncation(tmp_path: Path, truncation: object) -> None:
    folder = copied("sentence-transformers", tmp_path / "m")
    raw = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**raw, "truncation": truncation}))
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json"):
        StaticModel.from_pretrained(folder)


@pytest.mark.parametrize("shape", [(), (35,), (35, 2, 2), (3, 2)])
def test_a_misshapen_table(tmp_path: Path, shape: tuple[int, ...]) -> None:
    folder = copied("sentence-transformers", tmp_path / "m")
    save_file({"embedding.weight": np.ones(shape, np.float32)}, folder / "model.safetensors")
    with pytest.raises(ModelFormatError, match=r"shape|rows"):
        StaticModel.from_pretrained(folder)


def test_rows_past_the_last_token_are_left_out(tmp_path: Path) -> None:
    folder = copied("sentence-transformers", tmp_path / "m")
    table = load_file(folder / "model.safetensors")["embedding.weight"]
    save_file({"embedding.weight": np.concatenate([table, table])}, folder / "model.safetensors")
    assert len(StaticModel.from_pretrained(folder).embedding) == len(table)


@pytest.mark.parametrize(
    ("kinds", "advice"),
    [
        ("StaticEmbedding, Dense", "cannot compute the modules after it: load it with SentenceTransformer"),
        ("SparseStaticEmbedding", "load it with SparseEncoder"),
        ("WordEmbeddings, Pooling", r"load it with SentenceTransformer, or .* StaticModel\(vectors, tokenizer\)"),
        ("Transformer, Pooling", "m2v distill .* OUT"),
        ("Router", "load it with sentence-transformers"),
    ],
)
def test_other_modules_are_refused(tmp_path: Path, kinds: str, advice: str) -> None:
    folder = copied("sentence-transformers", tmp_path / "m")
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": ""} for kind in kinds.split(", ")]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(
        ModelFormatError, match=rf"modules\.json: expected a StaticEmbedding.*; found {kinds}\. .*{advice}"
    ):
        StaticModel.from_pretrained(folder)


@pytest.mark.parametrize("case", ["model2vec", "sentence-transformers-nested"])
@pytest.mark.parametrize(
    ("other", "advice"),
    [
        ("onnx/model.onnx", r"found onnx/model\.onnx, an ONNX export, .* Load the model that was exported"),
        (
            "pytorch_model.bin",
            r"found pytorch_model\.bin, which is pickled.* SentenceTransformer\(.*\)\.save_pretrained",
        ),
        ("other.txt", "Found there: .*other.txt"),
    ],
)
def test_a_table_in_another_file(tmp_path: Path, case: str, other: str, advice: str) -> None:
    folder = copied(case, tmp_path / "m")
    (table,) = folder.rglob("model.safetensors")
    table.unlink()
    (table.parent / other).parent.mkdir(exist_ok=True)
    (table.parent / other).write_bytes(b"x")
    with pytest.raises(ModelNotFoundError, match=rf"model\.safetensors is missing.*{advice}"):
        StaticModel.from_pretrained(folder)


@pytest.mark.parametrize("place", ["../m2", "/", "0/../../m2"])
def test_modules_outside_the_folder_are_refused(tmp_path: Path, place: str) -> None:
    folder = copied("sentence-transformers", tmp_path / "m")
    copied("sentence-transformers", tmp_path / "m2")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = place
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelFormatError, match="inside the folder"):
        StaticModel.from_pretrained(folder)


@pytest.mark.parametrize("content", ["{}", "[3]", "[]", '[{"type": null}]', '[{"type": "StaticEmbedding", "path": 3}]'])
def test_a_damaged_modules_json(tmp_path: Path, content: str) -> None:
    folder = copied("sentence-transformers", tmp_path / "m")
    (folder / "modules.json").write_text(content)
    with pytest.raises((ModelFormatError, FileNotFoundError), match=r"modules\.json|missing"):
        StaticModel.from_pretrained(folder)


def test_without_modules_json(tmp_path: Path) -> None:
    folder = copied("sentence-transformers-nested", tmp_path / "m")
    (folder / "modules.json").unlink()
    assert StaticModel.from_pretrained(folder).dim == 6
