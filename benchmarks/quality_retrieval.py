"""Search by a student that is fitted to the collection, for `quality.py --retrieval`.

Documents are embedded by one model and queries by another; each row stands alone and together with BM25. Nothing is
chosen here by judgements: the settings of `fit_collection` are its defaults.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from records import Measured
from search_collections import DEEP, Collection, Found, K

from m2v_core import StaticModel
from m2v_core.search import Index
from m2v_core.vectors import unit
from m2v_distill import FittedCollection, Teacher, fit_collection

Vectors = NDArray[np.float32]

#: A strength at which the table stays at its prior: the plain student, mapped into the teacher's space.
PRIOR_ALONE = 1e9


@dataclass(frozen=True)
class Remembering(Teacher):
    """A teacher that embeds each text once, so that many fits to parts of a collection take no more of its time."""

    known: dict[str, Vectors] = field(default_factory=dict, repr=False)
    seconds: list[float] = field(default_factory=list, repr=False)

    def encode(self, texts: Any, **options: Any) -> Any:
        """The vectors of texts, [n, D] or [D]."""
        listed = [texts] if isinstance(texts, str) else list(texts)
        prompt = options.get("prompt") or ""
        new = [text for text in dict.fromkeys(listed) if prompt + text not in self.known]
        started = time.process_time()
        found = super().encode(new, **options)
        self.seconds.append(time.process_time() - started)
        self.known.update({prompt + text: vector for text, vector in zip(new, found, strict=True)})
        vectors = np.stack([self.known[prompt + text] for text in listed])
        return vectors[0] if isinstance(texts, str) else vectors


MEASURES = ("nDCG@10", "recall@100", "nDCG@10 with BM25", "recall@100 with BM25")


def retrieval_table(
    teacher: Teacher,
    plain: StaticModel,
    collection: Collection,
    *,
    case: str,
    draws: int = 2,
    others: Mapping[str, StaticModel] | None = None,
) -> list[Measured]:
    """Print a row for each pair of models: nDCG@10 and recall@100, alone and with BM25, and what they cost.

    Args:
        teacher: The teacher.
        plain: A student of it in a space of its own.
        collection: Documents, queries and judgements.
        case: Its name in the measurements.
        draws: Number of random parts of the collection, a half and a quarter each, whose values are one measurement.
        others: Students in the teacher's space that know nothing of the collection, by name.
    """
    remembering = Remembering(
        teacher.encoder, teacher.settings, teacher.source, teacher.placement, teacher.load_tokenizer
    )
    found: dict[tuple[str, str], list[float]] = {}

    def row(name: str, fitted: FittedCollection, queries: Vectors, documents: Vectors | None = None) -> None:
        vectors = fitted.vectors if documents is None else documents
        values = [value for mode in ("dense", "hybrid") for value in measured(fitted, vectors, queries, mode)]
        keep(name, values)

    def keep(name: str, values: Sequence[float]) -> None:
        for measure, value in zip(MEASURES, values, strict=False):
            found.setdefault((name, measure), []).append(value)
        print("|", " | ".join([name, *(f"{value:.1f}" for value in values)]), "|", flush=True)

    def measured(fitted: FittedCollection, vectors: Vectors, queries: Vectors, mode: str) -> tuple[float, float]:
        index = Index(lexical=True)
        index.add([passage.text for passage in fitted.passages], vectors=vectors)
        hits = index.search_arrays(collection.queries, 4 * DEEP, vectors=queries, mode=mode)
        documents = documents_of(hits.rows, fitted)
        return float(collection.ndcg(documents).mean()), float(collection.recall(documents).mean())

    with TemporaryDirectory() as folder:
        asked = unit(remembering.encode(collection.queries))
        remembering.seconds.clear()
        started = time.process_time()  # of the processors: others may use the machine
        fitted = fit_collection(remembering, collection.texts, checkpoint_dir=folder)
        took, own = time.process_time() - started, sum(remembering.seconds)
        counts = (
            f"{len(collection.texts)} documents, {len(fitted.passages)} passages, {len(collection.queries)} queries"
        )
        print(
            f"{counts}; fit {took:.1f} processor seconds, {own:.1f} of them the teacher's: {took / own:.2f}", flush=True
        )
        print("\n| documents by / queries by |", " | ".join(MEASURES), "|\n" + "| --- " * 5 + "|", flush=True)
        texts = [passage.text for passage in fitted.passages]
        student = fitted.student
        row("teacher / teacher", fitted, asked)
        row("teacher / student fitted to the collection", fitted, student.encode(collection.queries))
        row("fitted student / fitted student", fitted, student.encode(collection.queries), student.encode(texts))
        for part, share in (("half", 2), ("a quarter", 4)):
            for seed in range(draws):
                chosen = np.random.default_rng(seed).permutation(len(collection.texts))[
                    : len(collection.texts) // share
                ]
                some = fit_collection(
                    remembering, [collection.texts[i] for i in chosen.tolist()], checkpoint_dir=folder
                )
                row(
                    f"teacher / student fitted to {part}",
                    fitted,
                    some.student.encode(collection.queries),
                )
                later = np.ones(len(texts), bool)
                later[[n for n, passage in enumerate(fitted.passages) if passage.document in set(chosen.tolist())]] = (
                    False
                )
                mixed = np.where(later[:, None], some.student.encode(texts), fitted.vectors)
                row(
                    f"fitted to {part}, the rest added by the student / student",
                    fitted,
                    some.student.encode(collection.queries),
                    mixed,
                )
        mapped = fit_collection(remembering, collection.texts, student=plain, strength=PRIOR_ALONE).student
        row("teacher / plain student, mapped by least squares", fitted, mapped.encode(collection.queries))
        for name, other in (others or {}).items():
            row(f"teacher / {name}", fitted, other.encode(collection.queries))
        row("plain student / plain student", fitted, plain.encode(collection.queries), plain.encode(texts))
    index = Index(lexical=True)
    index.add(texts, vectors=fitted.vectors)
    best = documents_of(index.search_arrays(collection.queries, 4 * DEEP, vectors=asked, mode="lexical").rows, fitted)
    keep("BM25 alone", [float(collection.ndcg(best).mean()), float(collection.recall(best).mean())])
    costs = [
        Measured(case, "fit", measure, (value,)) for measure, value in (("CPU, s", took), ("teacher's CPU, s", own))
    ]
    costs += query_times(teacher, student, collection.queries, case=f"{case}, one query")
    return costs + [Measured(case, name, measure, tuple(values)) for (name, measure), values in found.items()]


def query_times(
    teacher: Teacher, student: StaticModel, queries: Sequence[str], *, case: str, rounds: int = 5
) -> list[Measured]:
    """Print and return how long one query takes: mean milliseconds of a round, in which teacher and student take turns.

    A round is a fifth of the queries, one call each, after a first pass that is not timed.
    """
    draw, letters = np.random.default_rng(0), list("abcdefghijklmnopqrstuvwxyz")

    def with_new_word(query: str) -> str:
        words = query.split()
        words[draw.integers(len(words))] = "".join(draw.choice(letters, 7))
        return " ".join(words)

    def milliseconds(encode: Callable[[str], object], texts: Sequence[str]) -> float:
        started = time.perf_counter()
        for text in texts:
            encode(text)
        return 1000 * (time.perf_counter() - started) / len(texts)

    for encode in (teacher.encode, student.encode):
        milliseconds(encode, queries)
    found: dict[str, list[float]] = {}
    for part in range(rounds):
        texts = queries[part::rounds]
        for side, encode, asked in (
            ("the teacher", teacher.encode, texts),
            ("the student", student.encode, texts),
            ("the student, one word of the query is new", student.encode, [with_new_word(text) for text in texts]),
        ):
            found.setdefault(side, []).append(milliseconds(encode, asked))
    print()
    for side, values in found.items():
        print(f"a query by {side}: {median(values):.3f} ms")
    return [Measured(case, side, "wall, ms", tuple(values)) for side, values in found.items()]


def documents_of(rows: NDArray[np.int64], fitted: FittedCollection) -> Found:
    """The documents of passages, each at its best place."""
    numbers = [[int(fitted.passages[row].document) for row in found if row >= 0] for found in rows]
    return [list(dict.fromkeys(each))[:DEEP] for each in numbers]


def agreement_table(teacher: Teacher, texts: Sequence[str], samples: Sequence[int], *, n_queries: int = 1000) -> str:
    """How large a sample must be: the agreement with the teacher's ten best, of fits to samples of a large collection.

    Some texts, drawn at random, are queries, and all others the collection.
    """
    drawn = np.random.default_rng(0).permutation(len(texts)).tolist()
    queries, documents = ([texts[i] for i in part] for part in (drawn[:n_queries], drawn[n_queries:]))
    lines = [
        "| sample of documents | agreement with the teacher's ten best, % | processor seconds of the fit |",
        "| --- | --- | --- |",
    ]
    teacher = Remembering(teacher.encoder, teacher.settings, teacher.source, teacher.placement, teacher.load_tokenizer)
    with TemporaryDirectory() as folder:
        truth = unit(teacher.encode(queries))
        for sample in samples:
            started, before = time.process_time(), sum(teacher.seconds)
            fitted = fit_collection(teacher, documents, sample=sample, checkpoint_dir=folder)
            own = sum(teacher.seconds) - before
            found = agreement(truth, unit(fitted.student.encode(queries)), fitted.vectors)
            lines.append(
                f"| {sample} | {found:.1f} | {time.process_time() - started - own:.1f} + {own:.1f} of the teacher |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)


def agreement(truth: Vectors, guess: Vectors, documents: Vectors) -> float:
    """The share of the teacher's ten best documents, in per cent, that are among the ten best by other queries."""
    total = 0
    for one, other in zip(np.array_split(truth, 20), np.array_split(guess, 20), strict=True):
        best = [np.argpartition(-(queries @ documents.T), K, axis=1)[:, :K] for queries in (one, other)]
        total += sum(len(set(a) & set(b)) for a, b in zip(*(each.tolist() for each in best), strict=True))
    return 100 * total / (K * len(truth))
