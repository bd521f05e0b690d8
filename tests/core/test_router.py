"""A student and its teacher as one folder with a Router (live: tests/integration/test_sentence_transformers.py)."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from commands import m2v
from conftest import make_model
from m2v_core import InvalidInputError, M2VError, StaticModel
from m2v_core.errors import ModelFormatError, ModelNotFoundError
from m2v_core.router import save_router
from sentence_folders import HERE, write_json, write_modules

POOLING = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """The files of a sentence transformer with 8 dimensions, whose weights nobody reads here."""
    folder = tmp_path / "teacher"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        write_json(folder / name, {})
    for name in ("model.safetensors", "pytorch_model.bin", "tf_model.h5", "README.md", "vocab.txt"):
        (folder / name).write_bytes(name.encode())
    write_modules(folder, "Pooling", "Normalize", Pooling=POOLING)
    (folder / "2_Normalize" / "config.json").unlink()  # as older versions save it
    return folder


@pytest.fixture
def student() -> StaticModel:
    model = make_model("wordpiece", normalize=True)
    config = replace(model.config, distillation_settings={"space": "teacher"})
    return StaticModel(model.embedding, model.stored.tokenizer_json, config)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files(teacher: Path, student: StaticModel, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "out"
    save_router(student, teacher, out)
    assert not caplog.text
    names = ("config.json", "model.safetensors", "sentence_bert_config.json", "tokenizer.json", "vocab.txt")
    assert files_of(out) == {
        *("modules.json", "router_config.json", "config_sentence_transformers.json"),
        *("query/0_StaticEmbedding/model.safetensors", "query/0_StaticEmbedding/tokenizer.json"),
        *(f"document/0_Transformer/{name}" for name in names),
        "document/1_Pooling/config.json",
    }
    assert (out / "document/0_Transformer/vocab.txt").read_text() == "vocab.txt"
    assert json.loads((out / "modules.json").read_text()) == [
        {"idx": 0, "name": "0", "path": "", "type": f"{HERE}.Router"}
    ]
    assert json.loads((out / "router_config.json").read_text()) == {
        "types": {
            "query/0_StaticEmbedding": f"{HERE}.StaticEmbedding",
            "query/1_Normalize": f"{HERE}.Normalize",
            "document/0_Transformer": f"{HERE}.Transformer",
            "document/1_Pooling": f"{HERE}.Pooling",
            "document/2_Normalize": f"{HERE}.Normalize",
        },
        "structure": {
            "query": ["query/0_StaticEmbedding", "query/1_Normalize"],
            "document": ["document/0_Transformer", "document/1_Pooling", "document/2_Normalize"],
        },
        "parameters": {"default_route": "document", "allow_empty_key": True},
    }
    assert json.loads((out / "config_sentence_transformers.json").read_text()) == {
        "model_type": "SentenceTransformer",
        "__version__": {"sentence_transformers": "5.0.0"},
        "prompts": {"query": "", "document": ""},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }


def test_the_queries_are_the_students(teacher: Path, student: StaticModel, tmp_path: Path) -> None:
    save_router(student, teacher, tmp_path / "out")
    folder = tmp_path / "out" / "query" / "0_StaticEmbedding"
    table, tokenizer = load_file(folder / "model.safetensors"), Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = table["embedding.weight"][tokenizer.encode("good day", add_special_tokens=False).ids].mean(axis=0)
    np.testing.assert_allclose(found / np.linalg.norm(found), student.encode("good day"), atol=1e-6)
    compact = tmp_path / "compact"
    save_router(student, teacher, compact, compact=True)
    assert "embeddings" in load_file(compact / "query" / "0_StaticEmbedding" / "model.safetensors")
    assert json.loads((compact / "config_sentence_transformers.json").read_text())["requirements"]


@pytest.mark.parametrize(
    ("raw", "given", "expected", "default"),
    [
        ({"prompts": {"query": "q ", "passage": "p "}}, None, "p ", "document"),
        ({"prompts": {"all": "a ", "none": None}, "default_prompt_name": "all"}, None, "a ", "document"),
        ({"prompts": {"passage": "p "}}, "", "", None),
        ({"prompts": None, "default_prompt_name": None, "truncate_dim": 8}, "d ", "d ", "document"),
    ],
)
def test_prompts(
    raw: dict[str, object],
    given: str | None,
    expected: str,
    default: str | None,
    teacher: Path,
    student: StaticModel,
    tmp_path: Path,
) -> None:
    """The student is fitted to the teacher's vectors of queries with their prompt, and needs none."""
    write_json(teacher / "config_sentence_transformers.json", raw)
    save_router(student, teacher, tmp_path / "out", document_prompt=given)
    found = json.loads((tmp_path / "out" / "config_sentence_transformers.json").read_text())
    assert (found["prompts"], found["default_prompt_name"]) == ({"query": "", "document": expected}, default)
    assert found.get("truncate_dim") == raw.get("truncate_dim")
    student.prompts = {"query": "q "}
    save_router(student, teacher, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "config_sentence_transformers.json").read_text())
    assert found["prompts"]["query"] == "q "


def test_modules_in_folders_of_their_own(teacher: Path, student: StaticModel, tmp_path: Path) -> None:
    """And pickled weights, where there are no others."""
    inner = teacher / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (teacher / name).rename(inner / name)
    listing = [{"path": "0_Transformer", "type": f"{HERE}.Transformer"}, {"path": "Dense", "type": f"{HERE}.Dense"}]
    write_json(teacher / "Dense" / "config.json", {"out_features": 8})
    write_json(teacher / "modules.json", listing)
    save_router(student, teacher, tmp_path / "out")
    assert {name for name in files_of(tmp_path / "out") if name.startswith("document")} == {
        *("document/0_Transformer/config.json", "document/0_Transformer/pytorch_model.bin"),
        "document/1_Dense/config.json",
    }


def test_it_replaces_one_and_no_model(teacher: Path, student: StaticModel, tmp_path: Path) -> None:
    student.save_pretrained(tmp_path / "m")
    with pytest.raises(InvalidInputError, match=r"found config\.json of another model"):
        save_router(student, teacher, tmp_path / "m")
    save_router(student, teacher, tmp_path / "out")
    (tmp_path / "out" / "README.md").write_text("mine")
    write_json(teacher / "modules.json", [{"path": "", "type": f"{HERE}.Transformer"}])
    save_router(student, teacher, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == "mine"
    assert not (tmp_path / "out" / "document" / "1_Pooling").exists()
    with pytest.raises(ModelFormatError, match=r"expected a StaticEmbedding, .*found Router"):
        StaticModel.from_pretrained(tmp_path / "out")
    with pytest.raises(ModelFormatError, match="found a Router, which has several"):
        save_router(student, tmp_path / "out", tmp_path / "again")


@pytest.mark.parametrize(
    ("change", "error", "part"),
    [
        (lambda folder: (folder / "modules.json").unlink(), ModelNotFoundError, "found a folder without it"),
        (lambda folder: write_json(folder / "modules.json", []), ModelFormatError, "expected modules; found none"),
        (lambda folder: write_json(folder / "modules.json", ["x"]), ModelFormatError, "found 'x'"),
        (
            lambda folder: write_json(folder / "modules.json", [{"type": "custom.Transformer"}]),
            ModelFormatError,
            "found 'custom.Transformer'",
        ),
        (
            lambda folder: write_json(folder / "modules.json", [{"type": f"{HERE}.Dense", "path": "../x"}]),
            ModelFormatError,
            "../x",
        ),
        (
            lambda folder: write_json(folder / "1_Pooling" / "config.json", {"embedding_dimension": 5}),
            InvalidInputError,
            "found 8, another number",
        ),
        (
            lambda folder: write_json(folder / "config_sentence_transformers.json", {"prompts": {"a": 1}}),
            ModelFormatError,
            "should give a text for each name",
        ),
        (
            lambda folder: write_json(folder / "config_sentence_transformers.json", {"truncate_dim": 0}),
            ModelFormatError,
            "should be 1 or more",
        ),
    ],
)
def test_errors(
    change: object, error: type[M2VError], part: str, teacher: Path, student: StaticModel, tmp_path: Path
) -> None:
    change(teacher)  # type: ignore[operator]
    with pytest.raises(error, match=re.escape(part)):
        save_router(student, teacher, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_student_of_no_teacher_is_warned_of(teacher: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_router(make_model("wordpiece", normalize=True), teacher, tmp_path / "out")
    assert "does not say that it is in the space of a teacher" in caplog.text


def test_the_command(teacher: Path, student: StaticModel, tmp_path: Path) -> None:
    student.save_pretrained(tmp_path / "m")
    done = m2v("export", "sentence-transformers", tmp_path / "m", tmp_path / "out", "--documents-by", teacher)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "router_config.json").is_file()
    done = m2v("export", "sentence-transformers", tmp_path / "m", tmp_path / "no", "--documents-by", "org/name")
    assert done.returncode == 1
    assert "org/name: expected the folder of a sentence transformer" in done.stderr
