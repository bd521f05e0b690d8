"""Files of pairs of texts with scores as tasks of mteb: similarity of words, and of phrases.

Words are measured by Spearman's correlation of cosines with the scores, as word similarity is (Hill et al., SimLex-999,
2015). Phrases are measured by Pearson's, as BIRD in PEARL is (Chen et al., Learning High-Quality and General-Purpose
Phrase Representations, 2024).
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m2v_core.errors import InvalidInputError
from m2v_core.extras import needs

with needs("m2v-core[mteb]"):
    from datasets import Dataset
    from mteb import TaskMetadata
    from mteb.abstasks.sts import AbsTaskSTS

WORDS, PHRASES = "WordSim", "PEARL"

#: Kind of file -> its measure.
MEASURES: Mapping[str, str] = {WORDS: "cosine_spearman", PHRASES: "cosine_pearson"}

Pair = tuple[str, str, float]


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    r"""The rows of a file: two texts and a score. What follows in a row is ignored, and so is a header.

    The columns are separated by commas in `.csv` and by tabs in other files.

    Raises:
        InvalidInputError: There is no such file, it is not UTF-8, or a row is not two texts and a number.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "words.tsv"
        ...     _ = path.write_text("word1\tword2\tscore\ncup\tmug\t9.5\ncup\tcar\t0.5\n")
        ...     read_pairs(path)
        [('cup', 'mug', 9.5), ('cup', 'car', 0.5)]
    """
    path = Path(path)
    found: list[Pair] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file) if path.suffix == ".csv" else csv.reader(file, "excel-tab", quoting=csv.QUOTE_NONE)
            for number, row in enumerate(rows, 1):
                if not "".join(row).strip():
                    continue
                pair = _pair(row)
                if pair is not None:
                    found.append(pair)
                elif number > 1:
                    raise InvalidInputError(
                        f"{path}, line {rows.line_num}: expected two texts and a number; found {row!r:.200}."
                    )
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: expected a file of pairs in UTF-8; found: {error}.") from None
    if len(found) < 2:
        raise InvalidInputError(f"{path}: expected rows of two texts and a number; found {len(found)}.")
    return found


def _pair(row: list[str]) -> Pair | None:
    try:
        return row[0], row[1], float(row[2])
    except (IndexError, ValueError):
        return None


def pair_task(path: str | os.PathLike[str], kind: str = WORDS) -> Any:
    """The task of a file: an `AbsTaskSTS` named `WordSim-<file's name>` or `PEARL-<file's name>`.

    Args:
        path: A file; see `read_pairs`.
        kind: "WordSim" or "PEARL".

    Raises:
        InvalidInputError: The file is not one of pairs.
    """
    pairs, path = read_pairs(path), Path(path)
    first, second, scores = (list(column) for column in zip(*pairs, strict=True))
    metadata = TaskMetadata(
        name=f"{kind}-{path.stem}",
        dataset={"path": path.name, "revision": hashlib.blake2b(repr(pairs).encode(), digest_size=16).hexdigest()},
        description=f"Pairs of {'words' if kind == WORDS else 'phrases'} with people's scores, of a local file.",
        type="STS",
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=MEASURES[kind],
    )

    class PairTask(AbsTaskSTS):
        """The pairs of one file."""

        m2v_type = kind
        min_score, max_score = min(scores), max(*scores, min(scores) + 1)

        def load_data(self, *_: Any, **__: Any) -> None:
            rows = Dataset.from_dict({"sentence1": first, "sentence2": second, "score": scores})
            self.dataset, self.data_loaded = {"default": {"test": rows}}, True

    PairTask.metadata = metadata
    return PairTask()
