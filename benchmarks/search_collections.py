"""Collections for measuring search: Cranfield, folders in the layout of BEIR, and two for choosing settings."""

from __future__ import annotations

import ast
import os
import re
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import InvalidInputError
from m2v_core.measures import ndcg, recall
from m2v_core.search import RetrievalEvaluator

DATA = Path(os.environ.get("M2V_DATA", Path(__file__).parents[2] / "shared" / "data"))
K, DEEP = 10, 100

#: Rows of one query, the best first.
Found = list[list[int]]


@dataclass(frozen=True)
class Collection:
    """Texts, queries, and for each query the gain of texts by their rows."""

    texts: list[str]
    queries: list[str]
    gains: list[dict[int, float]]

    def ndcg(self, found: Found) -> NDArray[np.float64]:
        """nDCG@10 x 100 of each query that has a text with a gain."""
        return 100 * ndcg(found, self.gains, K)

    def recall(self, found: Found) -> NDArray[np.float64]:
        """Recall@100 x 100 of each query that has a text with a gain."""
        return 100 * recall(found, self.gains, DEEP)


def opened(name: str) -> Collection:
    """A collection by name: `cranfield`, `titles`, `docstrings`, or a folder in the layout of BEIR.

    Raises:
        InvalidInputError: There is no such collection.
    """
    if name in ("cranfield", "titles"):
        return (cranfield if name == "cranfield" else titles)(DATA / "cranfield")
    if name == "docstrings":
        return docstrings()
    if not (Path(name) / "corpus.jsonl").is_file():
        raise InvalidInputError(
            f"Expected cranfield, titles, docstrings, or a folder with corpus.jsonl and queries.jsonl; found {name!r}."
        )
    return beir(Path(name))


def cranfield(folder: Path) -> Collection:
    """The Cranfield collection, whose judgements number the queries by their order; a gain is 5 less the code."""
    documents = dict(_records(folder / "cran.all.1400"))
    rows = {name: row for row, name in enumerate(documents)}
    queries = [fields["W"] for _, fields in _records(folder / "cran.qry")]
    gains: list[dict[int, float]] = [{} for _ in queries]
    for line in (folder / "cranqrel").read_text(encoding="ascii").splitlines():
        query, document, code = line.split()[:3]
        gains[int(query) - 1][rows[document]] = 5 - int(code) if 1 <= int(code) <= 4 else 0
    texts = [f"{fields.get('T', '')} {fields.get('W', '')}" for fields in documents.values()]
    return Collection(texts, queries, gains)


def beir(folder: Path) -> Collection:
    """A collection in the layout of BEIR: its queries are those with judgements."""
    read = RetrievalEvaluator.from_folder(folder)
    rows = {name: row for row, name in enumerate(read.corpus)}
    gains = [{rows[name]: gain for name, gain in read.relevant[query].items()} for query in read.queries]
    return Collection(list(read.corpus.values()), list(read.queries.values()), gains)


def titles(folder: Path) -> Collection:
    """Titles of Cranfield as queries; the right document of each is its abstract, without the title that begins it."""
    fields = [fields for _, fields in _records(folder / "cran.all.1400")]
    pairs = [(each.get("T", ""), each.get("W", "")) for each in fields]
    return _paired([(title, text.removeprefix(title).strip()) for title, text in pairs])


def docstrings() -> Collection:
    """First lines of the documentation strings of Python's standard library as queries; the rest of each is right."""
    bodies: dict[str, list[str]] = {}
    root, seen = Path(sysconfig.get_path("stdlib")), set()
    for path in sorted(root.rglob("*.py")):
        if {"site-packages", "test", "tests", "idle_test", "lib2to3"} & set(path.relative_to(root).parts):
            continue
        try:
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Module):
                head, _, body = (ast.get_docstring(node) or "").partition("\n\n")
                head, body = " ".join(head.split()), " ".join(body.split())
                if 15 < len(head) < 200 and len(body) > 80 and body not in seen:
                    seen.add(body)
                    bodies.setdefault(head, []).append(body)
    return _paired([(head, found[0]) for head, found in bodies.items() if len(found) == 1])


def _paired(pairs: Sequence[tuple[str, str]]) -> Collection:
    """A collection of a query and its only right document each."""
    pairs = [(query, text) for query, text in pairs if query and text]
    gains = [{row: 1.0} for row in range(len(pairs))]
    return Collection([text for _, text in pairs], [query for query, _ in pairs], gains)


def _records(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The records of a file of Cranfield: their numbers and fields."""
    for record in re.split(r"^\.I\s+", path.read_text(encoding="latin-1"), flags=re.MULTILINE)[1:]:
        number, *fields = re.split(r"^\.([TABW])\s*$", record, flags=re.MULTILINE)
        texts = {key: " ".join(value.split()) for key, value in zip(fields[::2], fields[1::2], strict=True)}
        yield number.strip(), texts
