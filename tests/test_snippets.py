"""The snippets of model2vec's README, its card and an article: each has a form on `docs/integrations.md`, which runs.

The originals are not part of the project. Where they are beside it, those that need model2vec alone run as they are, by its
name; what needs other libraries is run by `nox -s integrations`, in the form that the page has.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

for package in ("m2v_distill", "m2v_hub"):
    pytest.importorskip(package, reason="needs all four packages: nox -s tests")

import test_pages as pages
from conftest import DATA, make_model
from hub.loopback import Hub, running
from hub.processes import WRITER

SEEDS = DATA.parent / "seeds"
PAGE = (pages.DOCS / "integrations.md").read_text(encoding="utf-8")
SECTION = PAGE.count("\n", 0, PAGE.index("## Snippets of model2vec's pages"))

#: What tells a snippet, and where its form is: a heading of the page, or another page.
FORMS = {
    "AutoModel.from_pretrained('{MODEL_NAME}')": "exporting.md#sentence-transformers",
    "SentenceTransformer('{MODEL_NAME}')": "exporting.md#sentence-transformers",
    "@huggingface/transformers": "exporting.md#transformers-js",
    "Model2vecEmbeddings": "#langchain",
    "txtai": "#txtai",
    "CustomMTEB": "#evaluation-by-mteb",
    "StaticEmbedding.from_model2vec": "#sentence-transformers",
    "StaticEmbedding.from_distillation": "#distil-for-sentence-transformers",
    "distill_from_model": "#distil",
    "distill(": "#distil",
    "StaticModel.from_pretrained": "#load-and-embed",
}
#: What stands in the article for a token, which could not be one.
NO_TOKEN = "<it's a secret to everybody>"


def libraries(code: str) -> set[str]:
    """The top-level modules that a snippet imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def originals() -> list[str]:
    """The code of the originals that is Python's, or said to be."""
    if not SEEDS.is_dir():
        pytest.skip(f"the originals are missing: no folder {SEEDS}")
    texts = (path.read_text(encoding="utf-8") for path in sorted(SEEDS.glob("*.txt")))
    return [code for text in texts for code in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def test_every_snippet_has_a_form() -> None:
    table = PAGE[PAGE.index("## Snippets of model2vec's pages") : PAGE.index("### Load and embed")]
    snippets = originals()
    assert len(snippets) > 15
    for code in snippets:
        told = [form for sign, form in FORMS.items() if sign in code]
        assert told, f"docs/integrations.md should have a form of this snippet:\n{code}"
        assert f"]({told[0]})" in table


@pytest.mark.filterwarnings("ignore:pca_dims is 256, but the teacher has 24:UserWarning")
def test_the_forms_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that need our packages alone; `integration/test_integrations.py` runs all of the page."""
    pages.make_teacher(tmp_path)
    make_model(normalize=True).save_pretrained(tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    forms = [(line, code) for line, code in pages.blocks_of("integrations.md") if line > SECTION]
    ours = [(line, code) for line, code in forms if libraries(code) <= {"m2v_core", "m2v_distill"}]
    assert len(ours) == 3
    for line, code in ours:
        pages.run("integrations.md", line, code, names)
    assert len(names["embeddings"]) == len(names["token_embeddings"]) == 2
    assert (tmp_path / "m2v_model" / "config.json").exists()
    assert "risotto" in names["word_model"].tokens
    assert len(names["word_model"].tokens) < len(names["m2v_model"].tokens)


def test_the_originals_run_by_the_name_model2vec(tmp_path: Path) -> None:
    """One program of all that need model2vec alone, one after the other, with the names that the article left out."""
    snippets = [code.replace("{{ model_name }}", "minishlab/potion-base-8M") for code in originals()]
    python = [code for code in snippets if not code.startswith("import {")]  # JavaScript, said to be Python
    ours = [code for code in python if libraries(code) <= {"model2vec"}]
    assert len(ours) == 9  # one of the card, two of the README, and six of the article
    make_model(dim=256, normalize=True).save_pretrained(tmp_path / "minishlab/potion-base-8M")
    pages.make_teacher(tmp_path)
    (tmp_path / "BAAI").mkdir()
    shutil.move(tmp_path / pages.TEACHER, tmp_path / "BAAI/bge-base-en-v1.5")
    start = 'model_name = "BAAI/bge-base-en-v1.5"\nvocabulary = ["word1", "word2", "word3"]\n'
    (tmp_path / "program.py").write_text(start + "\n".join(ours).replace(NO_TOKEN, WRITER), encoding="utf-8")
    with running(Hub(repos={}, writers={WRITER: "my_organization"}, readers=set())) as hub:
        cache = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        command = [sys.executable, "-m", "m2v_core.compat", "--force", "program.py"]
        done = subprocess.run(
            command, cwd=tmp_path, env=kept | cache, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert list(hub.repos) == ["my_organization/my_model"]
    assert (tmp_path / "m2v_model" / "model.safetensors").exists()
