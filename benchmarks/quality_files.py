"""Files to tasks, for `quality.py`: the development data of CONTRIBUTING.md, and files of one's own."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from quality_categories import Clustering, PairClassification
from quality_tasks import NearestNeighbour, Pairs, Probe, Task

from m2v_core.errors import InvalidInputError


def dev_tasks(data: Path, languages: Sequence[str], *, folds: int, seed: int) -> tuple[list[Task], list[str]]:
    """The tasks whose files are in the folder, and a line for each that is skipped for want of a file."""

    def pairs(name: str) -> Callable[[Path], list[Task]]:
        return lambda file: [pair_task(file, name=name, counts=False, seed=seed, comments=False)]

    def english(file: Path) -> list[Task]:
        task = pair_task(file, name="STS-B en", seed=seed, comments=False)
        return [task, PairClassification("STS-B pairs", task.texts, task.gold, seed=seed)]

    def banking(file: Path) -> list[Task]:
        texts, labels = read_labelled(file)
        return [
            Probe("Banking77", texts, labels, folds=folds, seed=seed),
            NearestNeighbour("Banking77 1-NN", texts, labels, folds=folds, seed=seed),
            Clustering("Banking77 clusters", texts, labels, folds=folds, seed=seed),
        ]

    def tweets(name: str) -> Callable[..., list[Task]]:
        def read(*files: Path) -> list[Task]:
            texts, labels = _parallel(files[::2]), _parallel(files[1::2])
            if len(texts) != len(labels):
                raise InvalidInputError(f"{files[0].parent}: {len(texts)} texts, but {len(labels)} labels, of {name}.")
            return [Probe(name, texts, labels, measure="macro F1", folds=folds, seed=seed)]

        return read

    wanted: list[tuple[str, Callable[..., list[Task]], list[str]]] = [
        ("STS-B en", english, ["stsb-en-dev.csv"]),
        ("Banking77", banking, ["banking_train.csv"]),
        ("Emotion", tweets("Emotion"), _tweet_files("te_emotion_train", "te_emotion_val")),
        ("Offensive", tweets("Offensive"), _tweet_files("te_offensive_train")),
        *((f"STS-B {code}", pairs(f"STS-B {code}"), [f"stsb-{code}-dev.csv"]) for code in languages if code != "en"),
    ]
    tasks, skipped = [], []
    for name, make, names in wanted:
        missing = [file for file in names if not (data / file).is_file()]
        if missing:
            skipped.append(f"skipped {name}: no {', '.join(missing)} in {data}")
        else:
            tasks += make(*(data / file for file in names))
    return tasks, skipped


def pair_task(
    file: Path, *, name: str | None = None, counts: bool = True, seed: int = 0, comments: bool = True
) -> Pairs:
    """A file of text, text, number; a first line whose third column is no number is a header.

    Raises:
        InvalidInputError: A line is not of this kind.
    """
    first, second, gold = [], [], []
    rows = [(line, row) for line, row in _rows(file) if not (comments and row[0].startswith("#"))]
    for place, (line, row) in enumerate(rows):
        number = _number(row[2]) if len(row) > 2 else None
        if number is not None:
            first.append(row[0])
            second.append(row[1])
            gold.append(number)
        elif place or len(row) < 3:
            raise InvalidInputError(f"{file}, line {line}: expected text, text, number; found {row}.")
    return Pairs(name or file.stem, (*first, *second), tuple(gold), counts, seed)


def label_task(file: Path, *, folds: int, seed: int) -> Probe:
    """A file of texts with labels; see `read_labelled`."""
    return Probe(file.stem, *read_labelled(file), folds=folds, seed=seed)


def read_labelled(file: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts and labels: of the columns `text` and `label`, if the header names both, else of the first two.

    Without these names the first line is a header if its label comes only once: no probe could use it anyway.

    Raises:
        InvalidInputError: A line has too few columns.
    """
    rows = _rows(file)
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    named = "text" in header and "label" in header
    text, label = (header.index("text"), header.index("label")) if named else (0, 1)
    for line, row in rows:
        if len(row) <= max(text, label):
            raise InvalidInputError(f"{file}, line {line}: expected a text and a label; found {row}.")
    texts, labels = [row[text] for _, row in rows], [row[label] for _, row in rows]
    start = 1 if named or (labels and labels.count(labels[0]) == 1) else 0
    return tuple(texts[start:]), tuple(labels[start:])


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers. Tabs separate if the first that is no comment has one."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            tabs = "\t" in next((line for line in stream if not line.startswith("#")), "")
            stream.seek(0)
            reader = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(stream)
            return [(reader.line_num, row) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{file}: expected a CSV or TSV file in UTF-8; {error}.") from error


def _tweet_files(*parts: str) -> list[str]:
    return [f"{part}_{kind}.txt" for part in parts for kind in ("text", "labels")]


def _parallel(files: Sequence[Path]) -> tuple[str, ...]:
    """The lines of files, one after the other. Only a newline ends a line: tweets hold other separators."""
    lines: list[str] = []
    for file in files:
        lines += file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return tuple(lines)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
