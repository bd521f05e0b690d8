"""The Python code of pages runs as a reader would run it: block by block in the order of the page, with no helpers.

A folder has the name of the teacher that the pages use, since no test downloads one. A block is not run where the line
before it says why, as a comment: `<!-- not run: it needs two hosts -->`, or `% not run: ...` of MyST.
"""

from __future__ import annotations

import doctest
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import GOLDEN, make_model
from sentence_folders import write_modules
from tokenizer_files import wordpiece

for package in ("m2v_distill", "m2v_train", "m2v_hub"):
    pytest.importorskip(package, reason="needs all four packages: nox -s tests")

DOCS = Path(__file__).parents[1] / "docs"
#: Pages whose examples other tests run: `test_examples.py`, and those of `hub/` and `integration/`.
OTHERS = {"api.md", "architecture.md", "cards.md", "integrations.md"}
TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
BLOCK = re.compile(
    r"^((?:<!--|%) not run: [^\n]+\n)?```(?:python|pycon|\{doctest\})\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def blocks_of(page: str) -> list[tuple[int, str]]:
    """Line and code of each Python block of a page that is to be run."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [(text.count("\n", 0, block.start(2)), block[2]) for block in BLOCK.finditer(text) if not block[1]]


def pages() -> list[str]:
    """All pages with examples, but for the tutorials, which `test_tutorials.py` runs."""
    return ["../README.md", *sorted(path.name for path in DOCS.glob("*.md") if blocks_of(path.name))]


PAGES = [page for page in pages() if page not in OTHERS]


def run(page: str, line: int, code: str, names: dict[str, Any]) -> None:
    """Run a block with the names of those before it; where it has prompts, its outputs are compared."""
    if ">>>" not in code:
        exec(compile("\n" * line + code, page, "exec"), names)  # noqa: S102
        return
    test = doctest.DocTestParser().get_doctest(code, names, page, page, line)
    report: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.DocTestRunner(optionflags=flags).run(test, out=report.append, clear_globs=False)
    assert not failed, "".join(report)
    names.update(test.globs)


def make_teacher(folder: Path) -> None:
    """A small teacher of random weights, where the pages find theirs."""
    teacher = folder / TEACHER
    shutil.copytree(GOLDEN / "teachers" / "bert", teacher)
    (teacher / "tokenizer.json").write_text(wordpiece(), encoding="utf-8")
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    (teacher / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special})
    )
    write_modules(teacher, "Pooling", Pooling={"pooling_mode_mean_tokens": True})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a reader, with a small teacher of random weights, and a model."""
    make_teacher(tmp_path)
    make_model(normalize=True).save_pretrained(tmp_path / "my-model")
    make_model(dim=256, normalize=True).save_pretrained(tmp_path / "minishlab/potion-base-8M")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore:pca_dims is 256, but the teacher has 24:UserWarning")  # the real one has 384
def test_pages(page: str, folder: Path) -> None:
    blocks = blocks_of(page)
    assert blocks
    names: dict[str, Any] = {"__name__": "__main__"}
    for line, code in blocks:
        run(page, line, code, names)
