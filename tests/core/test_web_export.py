"""The folder of `m2v export web`: its vectors in Node are those of Python."""

from __future__ import annotations

import json
import re
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from awkward_texts import AWKWARD, random_texts
from commands import m2v
from conftest import GOLDEN, make_model
from javascript import STATIC, needs_node, node
from m2v_core import StaticModel
from m2v_core.errors import InvalidInputError
from m2v_core.model import quantize_model
from m2v_core.web import export, export_web
from m2v_core.web.tokenizer import web_tokenizer
from tokenizer_files import file as tokenizer_file

TEXTS = [*AWKWARD, "", " ", "zzz qqq", *random_texts(300 - len(AWKWARD) - 3, seed=1)]

LOAD = """
    import { readFile } from "node:fs/promises";
    const { Documents, loadDocuments, loadModel } = await load("model.js");
    const read = async (name) => new Uint8Array(await readFile(new URL(name, input.folder))).buffer;
"""


WORDS = {"type": "WordLevel", "unk_token": "a"}


def tensors(arrays: dict[str, np.ndarray]) -> bytes:
    return bytes(save(arrays))


def in_node(folder: Path, script: str, **values: object) -> Any:
    """What a script prints that runs with the modules of an exported folder and a function that reads its files."""
    return node(LOAD + script, {"folder": folder.resolve().as_uri() + "/", **values}, folder.resolve())


def vectors_in_node(folder: Path, texts: list[str], method: str = "encode") -> np.ndarray:
    script = "const model = await loadModel(read); print(input.texts.map((text) => [...model[input.method](text)]));"
    return np.array(in_node(folder, script, texts=texts, method=method))


def assert_same_vectors(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(expected).sum() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def with_weights_and_mapping() -> StaticModel:
    base = make_model()
    numbers = np.random.default_rng(1)
    weights = numbers.random(base.n_tokens).astype(np.float16)
    mapping = numbers.integers(0, 7, base.n_tokens)
    return StaticModel(
        base.embedding[:7].astype(np.float16),
        base._tokenizer.json,
        weights=weights,
        token_mapping=mapping,
        normalize=True,
    )


MODELS = {
    "float32": make_model,
    "float64": lambda: make_model("unigram", dtype="float64", normalize=True),
    "float16": lambda: make_model("byte_bpe", dtype="float16", dim=7),
    "int8": lambda: quantize_model(make_model(normalize=True), quantize_to="int8"),
    "truncated": lambda: make_model("unigram", max_length=3),
    "no limit": lambda: make_model(max_length=None),
    "wordlevel": lambda: make_model("wordlevel", dim=1),
    "weights and mapping": with_weights_and_mapping,
}
MODELS |= {
    path.name: partial(StaticModel.from_pretrained, path)
    for path in sorted((GOLDEN / "students").iterdir())
    if path.is_dir()
}


@needs_node
@pytest.mark.parametrize("name", MODELS)
def test_vectors_in_node_are_those_of_python(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    export_web(model, tmp_path / "web")
    assert_same_vectors(vectors_in_node(tmp_path / "web", TEXTS), model.encode(TEXTS))


@needs_node
def test_queries_and_documents_get_the_prompts_of_the_model(tmp_path: Path) -> None:
    model = make_model()
    model.prompts = {"query": "good ", "passage": "bad: "}
    export_web(model, tmp_path)
    assert_same_vectors(vectors_in_node(tmp_path, TEXTS, "encodeQuery"), model.encode_query(TEXTS))
    assert_same_vectors(vectors_in_node(tmp_path, TEXTS, "encodeDocument"), model.encode_document(TEXTS))


@needs_node
def test_documents_are_ranked_by_cosine(tmp_path: Path) -> None:
    model = make_model()
    model.prompts = {"query": "good "}
    texts = ["good day", "a bad day", "", "zzz", "<b>sunny</b> days", "day", "good day"]
    export_web(model, tmp_path, documents=texts)
    script = """
        const model = await loadModel(read);
        const stored = await loadDocuments(model, read);
        const made = Documents.of(model, stored.texts);
        print([stored, made].map((documents) => input.queries.map((query) => documents.ranked(query, 5))));
    """
    queries = model.encode_query(["day", "sunny", "zzz"])
    queries[2] = 0
    stored, made = in_node(tmp_path, script, queries=queries.tolist())
    cosines = model.similarity(queries, model.encode(texts))
    for hits in (stored, made):
        assert hits[2] == []
        for query in range(2):
            best = [index for index in np.argsort(-cosines[query], kind="stable").tolist() if index not in (2, 3)]
            assert [hit["index"] for hit in hits[query]] == best
            assert [hit["text"] for hit in hits[query]] == [texts[index] for index in best]
            assert np.allclose([hit["score"] for hit in hits[query]], cosines[query][best], atol=1e-6)


@needs_node
@pytest.mark.parametrize("file", ["table.safetensors", "vocabulary.json", "documents.json", "documents.safetensors"])
def test_a_file_of_another_size_is_an_error_that_names_it(file: str, tmp_path: Path) -> None:
    sizes = export_web(make_model(), tmp_path, documents=["day"])
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-1])
    assert problem(tmp_path).startswith(f"{file}: expected {sizes[file]} bytes; found {sizes[file] - 1}.")


def problem(folder: Path) -> str:
    script = """
        try {
          await loadDocuments(await loadModel(read), read);
          print("none");
        } catch (error) {
          print(error.message);
        }
    """
    return str(in_node(folder, script))


@needs_node
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.json", b"{}", "model.json: expected format 1; found undefined."),
        ("model.json", b"\xff", "model.json: expected JSON"),
        ("table.safetensors", b"", "table.safetensors: expected a safetensors file"),
        ("table.safetensors", b"\xff" * 8, "table.safetensors: expected a safetensors file"),
        ("table.safetensors", b"\x04" + bytes(7) + b"null", "table.safetensors: expected a safetensors file"),
        ("table.safetensors", b"\x02" + bytes(7) + b"{}", "table.safetensors does not fit the other files"),
        ("table.safetensors", tensors({"embeddings": np.eye(3, dtype=np.float32)}), "table.safetensors does not fit"),
        (
            "documents.safetensors",
            tensors({"vectors": np.eye(3, dtype=np.float32)}),
            "documents.safetensors does not fit",
        ),
        (
            "vocabulary.json",
            json.dumps({**web_tokenizer(tokenizer_file({**WORDS, "vocab": {"a": 0, "b": 99}})), "unk_id": 0}).encode(),
            "table.safetensors does not fit the other files",
        ),
        ("documents.json", b"[", "documents.json: expected JSON"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(file: str, content: bytes, message: str, tmp_path: Path) -> None:
    export_web(make_model(), tmp_path, documents=["day"])
    (tmp_path / file).write_bytes(content)
    if file != "model.json":
        settings = json.loads((tmp_path / "model.json").read_text())
        settings["files"][file] = len(content)
        (tmp_path / "model.json").write_text(json.dumps(settings))
    assert problem(tmp_path).startswith(message)


@needs_node
def test_the_example_of_the_page_of_docs_runs(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "browser.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```javascript\n(.*?)^```$", page, flags=re.M | re.S)
    export_web(make_model(), tmp_path / "site", documents=["bad", "a day", "day"])
    (tmp_path / "example.mjs").write_text(f"{code}\nconsole.log(JSON.stringify(best.map((hit) => hit.text)));\n")
    done = subprocess.run(["node", "example.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)[0] in ("a day", "day")


def test_the_page_asks_for_nothing_from_elsewhere_and_inserts_text_alone() -> None:
    texts = {path.name: path.read_text() for path in STATIC.iterdir()}
    assert set(texts) == set(export.STATIC)
    assert "default-src 'none'; script-src 'self'; connect-src 'self'" in texts["index.html"]
    for name, text in texts.items():
        for forbidden in (
            "http://",
            "https://",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "new Function",
        ):
            assert forbidden not in text, (name, forbidden)
        assert "style=" not in text, f"{name}: the policy forbids it"


def test_the_command_writes_the_folder_and_says_how_large_it_is(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "tiny")
    (tmp_path / "docs.csv").write_text("id,body\n1,good day\n2,a bad day\n")
    done = m2v("export", "web", "tiny", "web", "--docs", "docs.csv", "--text-column", "body", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "web: 0.1 MB (table 0.00 MB, tokenizer 0.00 MB, page 0." in done.stderr
    assert "-m http.server --directory web" in done.stderr
    web = tmp_path / "web"
    assert json.loads((web / "documents.json").read_text()) == ["good day", "a bad day"]
    assert json.loads((web / "model.json").read_text())["name"] == "tiny"
    done = m2v("export", "web", "tiny", "web", "--name", "My model", "--json", cwd=tmp_path)
    facts = json.loads(done.stdout)
    assert facts["files"] == {path.name: path.stat().st_size for path in web.iterdir()}
    assert "documents.json" not in facts["files"]  # the old ones are gone
    assert json.loads((web / "model.json").read_text())["name"] == "My model"


def test_errors_of_the_command(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "tiny")
    (tmp_path / "empty.txt").write_text("")
    done = m2v("export", "web", "tiny", "web", "--text-column", "body", cwd=tmp_path)
    assert (done.returncode, "found no --docs" in done.stderr) == (1, True)
    done = m2v("export", "web", "tiny", "web", "--docs", "none.txt", cwd=tmp_path)
    assert (done.returncode, "none.txt" in done.stderr) == (1, True)
    done = m2v("export", "web", "tiny", "web", "--docs", "empty.txt", cwd=tmp_path)
    assert (done.returncode, "should hold one text or more" in done.stderr) == (1, True)
    assert not (tmp_path / "web").exists()


def test_a_tokenizer_that_is_not_covered_leaves_no_folder(tmp_path: Path) -> None:
    raw = json.loads(make_model()._tokenizer.json) | {"pre_tokenizer": {"type": "UnicodeScripts"}}
    model = StaticModel(make_model().embedding, json.dumps(raw))
    with pytest.raises(InvalidInputError, match="found UnicodeScripts as its pre_tokenizer"):
        export_web(model, tmp_path / "web")
    assert not (tmp_path / "web").exists()
