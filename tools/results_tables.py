"""The tables of the pages, each a function of the records: `TABLES` has them by the names that pages use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from records import Measured, Record, ratio

Records = Mapping[str, Record]

#: Parts whose values are scores, of which the mean is shown; of all others it is the median.
SCORES = ("quality", "ablations", "retrieval")
#: MTEB's categories, and the local tasks of each.
CATEGORIES = {
    "classification": ("Banking77", "Emotion", "Offensive"),
    "clustering": ("Banking77 clusters",),
    "pair classification": ("STS-B pairs",),
    "retrieval": ("cranfield",),
    "STS": ("STS-B en",),
    "word similarity": ("wordsim353", "simlex999"),
}
#: The tasks of the mean, by the names of their columns.
SEVEN = {
    "STS-B": "STS-B en",
    "Banking77": "Banking77",
    "Banking77 1-NN": "Banking77 1-NN",
    "emotion": "Emotion",
    "offensive": "Offensive",
    "WordSim-353": "wordsim353",
    "SimLex-999": "simlex999",
    "mean": "mean",
}
TEACHER, CORPUS, M2V, TOKEN, PEER = "the teacher", "m2v with a corpus", "m2v", "m2v, token by token", "model2vec 0.10"
WORDLLAMA, FASTTEXT = "wordllama", "fastText (gensim)"
#: Encoders of the results page, the best first, and what they are called there.
ENCODERS = {
    TEACHER: "all-MiniLM-L6-v2, the teacher",
    CORPUS: "**m2v, `corpus=`**",
    M2V: "**m2v**, the default",
    TOKEN: 'm2v, `method="token"`',
    PEER: "model2vec 0.10",
    WORDLLAMA: "wordllama, its own model",
    FASTTEXT: "fastText, trained by gensim",
}
SMALLER = {
    M2V: "256 dimensions, float32",
    "float16": "float16",
    "int8": "int8",
    "128 dimensions": "128 dimensions",
    "128 dimensions, int8": "128 dimensions, int8",
    "64 dimensions": "64 dimensions",
    "8,192 clusters": "8,192 clusters of 29,525 tokens",
}
#: Rows of the table of sizes: dimensions and dtype of the default student, its side of the results, and bytes a token.
SIZES = {
    "256, float16": ("float16", 512),
    "256, int8": ("int8", 256),
    "128, int8": ("128 dimensions, int8", 128),
    "64, float32": ("64 dimensions", 256),
}
TOKENS = 29_525
TWEETS = "45,000 tweets"
#: Where `encode.json` has the passes over tweets of an encoder: its case, and who did it. The teacher has one alone.
PASSES = {
    CORPUS: (TWEETS, "m2v"),
    M2V: (TWEETS, "m2v"),
    TOKEN: (TWEETS, "m2v"),
    PEER: (TWEETS, "model2vec"),
    "laghu": (TWEETS, "laghu"),
    WORDLLAMA: (f"{TWEETS}, by wordllama's own model", "wordllama"),
    FASTTEXT: (f"{TWEETS}, by fastText", "fastText (gensim)"),
}
TEACHER_CASE = "2,000 tweets, by the teacher"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, whose first column is its names."""
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def spread(one: Measured | None, digits: int = 1, *, middle: Literal["mean", "median"] = "median") -> str:
    """The median or the mean, and the range; a single value has no range."""
    if one is None:
        return ""
    value = f"{getattr(one, middle):,.{digits}f}"
    if len(one.values) == 1:
        return value
    return f"{value} ({min(one.values):,.{digits}f} to {max(one.values):,.{digits}f})"


def under(record: Record) -> str:
    """The line below a table: when and where."""
    machine, runs = record.machine, max(len(one.values) for one in record.measured)
    amx = "with AMX" if machine["amx"] else "without AMX"
    busy = f", {machine['others']} of them busy with other work" if (machine["others"] or 0) >= 0.2 else ""
    found = f"{record.date}, {machine['cores']} cores of {machine['cpu']} {amx}{busy}."
    note = record.settings.get("note", f"Median (lowest to highest) of {runs} runs in turn." if runs > 1 else "")
    return f"{found} {note}".strip()


def with_line(head: Sequence[str], rows: Sequence[Sequence[str]], record: Record) -> str:
    """A table and the line below it."""
    return f"{markdown(head, rows)}\n\n{under(record)}"


def score_of(record: Record, task: str, encoder: str) -> float | None:
    """The score of an encoder: the mean of folds."""
    found = [
        one.mean for one in record.measured if (one.case, one.side) == (task, encoder) and "error" not in one.measure
    ]
    return found[0] if found else None


def scores(record: Record, encoders: Mapping[str, str], columns: Mapping[str, str]) -> str:
    """Encoders by tasks."""
    rows = []
    for encoder, shown in encoders.items():
        found = [score_of(record, task, encoder) for task in columns.values()]
        if any(value is not None for value in found):
            rows.append([shown, *("" if value is None else f"{value:.1f}" for value in found)])
    return markdown(["", *columns], rows)


def texts_a_second(encode: Record, encoder: str) -> tuple[float, float] | None:
    """Texts a second of an encoder in a first and a second pass over tweets; of the teacher, by the faster library."""
    if encoder == TEACHER:
        found = [one.median for one in encode.measured if one.case.startswith(TEACHER_CASE)]
        return (1e6 / min(found), 1e6 / min(found)) if found else None
    if encoder not in PASSES:
        return None
    case, side = PASSES[encoder]
    both = [encode.find(f"{case}, {how}", side, "microseconds a text") for how in ("cold", "warm")]
    return (1e6 / both[0].median, 1e6 / both[1].median) if both[0] and both[1] else None


def by_category(records: Records) -> str:
    """Encoders by MTEB's categories, their mean, and texts a second."""
    quality, rows = records["quality"], []
    for encoder, shown in ENCODERS.items():
        values = []
        for tasks in CATEGORIES.values():
            found = [score_of(quality, task, encoder) for task in tasks]
            values.append(None if None in found else fmean(value or 0 for value in found))
        known = [value for value in values if value is not None]
        if not known:
            continue
        mean = f"{fmean(known):.1f}" if len(known) == len(values) else ""
        speed = texts_a_second(records["encode"], encoder)
        cells = ["" if value is None else f"{value:.1f}" for value in values]
        rows.append([shown, mean, *cells, f"{speed[0]:,.0f}" if speed else ""])
    return markdown(["", "mean", *CATEGORIES, "new texts a second"], rows)


def dimensions(records: Records) -> str:
    """Quality and size of tables with fewer dimensions and in other dtypes."""
    rows = []
    for shown, (side, size) in SIZES.items():
        quality = score_of(records["quality"], "mean", side)
        if quality is not None:
            rows.append([shown, f"{quality:.1f}", f"{TOKENS * size / 1e6:.0f} MB"])
    return markdown(["dimensions, dtype", "mean of seven tasks", f"table of {TOKENS:,} tokens"], rows)


def quality_date(records: Records) -> str:
    """The day of the figures."""
    return f"Measured on {records['quality'].date}."


def ablations(records: Records) -> str:
    """Steps of a distillation left out or changed, below the students of the table of quality."""
    record = records["ablations"]
    whole = scores(records["quality"], {TOKEN: "token by token", M2V: "composed, the default"}, SEVEN)
    changed = scores(record, {name: name for name in record.sides()}, SEVEN)
    return "\n".join([whole, *changed.splitlines()[2:]])


def speed(records: Records) -> str:
    """Texts a second of all encoders, in a first and in a second pass."""
    encode, rows = records["encode"], []
    for encoder, shown in ({M2V: "m2v", "laghu": "laghu, Rust, the same model"} | ENCODERS).items():
        found = texts_a_second(encode, encoder)
        if found and encoder not in (CORPUS, TOKEN):
            rows.append(["**m2v**" if encoder == M2V else shown, *(f"{value:,.0f}" for value in found)])
    return with_line(["", "new texts", "the same texts again"], rows, encode)


def encode(records: Records) -> str:
    """Microseconds a text, case by case."""
    record, rows = records["encode"], []
    apart = tuple(case for case, _ in PASSES.values() if case != TWEETS)
    for case in record.cases("microseconds a text"):
        found = {side: record.find(case, side, "microseconds a text") for side in record.sides(case)}
        ours = found.pop("m2v", None)
        if ours is None or case.startswith(apart):
            continue
        laghu = found.pop("laghu", None)
        cells = [case, spread(ours)]
        for one in (*(each for each in found.values() if each), laghu):
            cells += [spread(one), f"{ratio(one, ours):.1f}x" if one else ""]
        rows.append(cells)
    return with_line(["", "m2v", "model2vec", "ratio", "laghu", "ratio"], rows, record)


def processes(record: Record, case: str) -> str:
    """Wall time, CPU time and peak memory of whole processes, and m2v's ratios to model2vec's."""
    rows, measures = [], (("wall, s", 2), ("CPU, s", 2), ("peak memory, MB", 0))
    for side in record.sides(case):
        cells = [side]
        for measure, digits in measures:
            one, peer = record.find(case, side, measure), record.find(case, "model2vec", measure)
            cells += [spread(one, digits), f"{ratio(one, peer):.2f}" if one and peer else ""]
        rows.append(cells)
    if not rows:
        raise KeyError(record.benchmark)
    head = ["", *(cell for measure, _ in measures for cell in (measure, "/ model2vec"))]
    return with_line(head, rows, record)


def memory(records: Records) -> str:
    """Start-up of the same models by each library, with ratios to m2v's."""
    record, rows = records["memory"], []
    for case in record.cases():
        if case != "models of their own":
            rows += start_rows(record, case, case)
    return with_line(["model", "library", "seconds", "/ m2v", "private memory, MB"], rows, record)


def starts(records: Records) -> str:
    """Start-up of each library with its model of the results page."""
    record = records["memory"]
    rows = [row[1:] for case in ("student", "models of their own") for row in start_rows(record, case, case)]
    return with_line(["", "seconds", "/ m2v", "private memory, MB"], rows, record)


def start_rows(record: Record, case: str, shown: str) -> list[list[str]]:
    """The rows of a model; ratios are to m2v's with the same model, or with the student."""
    rows, seconds = [], "seconds to the first vector"
    ours = record.find(case, "m2v", seconds) or record.find("student", "m2v", seconds)
    for side in record.sides(case):
        one = record.find(case, side, seconds)
        if one and ours:
            private = record.find(case, side, "private memory, MB")
            rows.append([shown, side, spread(one, 2), f"{ratio(one, ours):.2f}", spread(private, 0)])
    return rows


def install(records: Records) -> str:
    """Packages and size of what is installed."""
    record, rows = records["install"], []
    for side in record.sides():
        packages, size = (record.find(record.cases()[0], side, measure) for measure in ("packages", "MB"))
        rows.append([f"`pip install {side}`", spread(packages, 0), spread(size, 0)])
    return markdown(["", "packages", "MB"], rows)


def train(records: Records) -> str:
    """Scores and time of `fit`."""
    record, rows = records["train"], []
    names = {"banking": "Banking77", "emotion": "TweetEval emotion", "offensive": "TweetEval offensive"}
    for case in record.cases():
        measure = next(one.measure for one in record.measured if one.case == case)
        found = [record.find(case, side, measure) for side in ("m2v", "model2vec")]
        walls = [record.find(case, side, "fit, s") for side in ("m2v", "model2vec")]
        cells = [spread(one, middle="mean") for one in found]
        times = [f"{spread(one)}" for one in walls]
        both = f"{ratio(walls[0], walls[1]):.2f}" if walls[0] and walls[1] else ""
        rows.append([names.get(case, case), measure, *cells, *times, both])
    head = ["", "score", "m2v", "model2vec", "`fit`, s, m2v", "`fit`, s, model2vec", "ratio"]
    return with_line(head, rows, record)


def search(records: Records) -> str:
    """Exact search."""
    record, rows = records["search"], []
    (case,) = record.cases()
    for side in record.sides(case):
        if side == "a plain read, one thread":
            continue
        size, recall, one, hundred = (
            record.find(case, side, measure)
            for measure in ("size, MB", "recall@10", "one query, ms", "100 queries, ms")
        )
        rows.append([side, spread(size, 0), spread(recall, 3), spread(one, 0), spread(hundred, 0)])
    head = [case, "MB", "recall@10", "one query, ms", "100 queries, ms"]
    return with_line(head, rows, record)


def retrieval(records: Records, *, later: bool = False) -> str:
    """Search by a student that is fitted to the collection; values of several draws side by side.

    Args:
        records: Records by name.
        later: The rows where a part of the documents came later, with those that they are compared with.

    Returns:
        A table.
    """
    record, rows = records["retrieval"], []
    measures = ("nDCG@10", "recall@100", "nDCG@10 with BM25", "recall@100 with BM25")
    for side in record.sides("cranfield"):
        found = [record.find("cranfield", side, measure) for measure in measures]
        is_part, is_later = "fitted to half" in side or "fitted to a quarter" in side, "added by" in side
        if found[0] and (is_part if later else not is_later):
            name = f"**{side}**" if side == "teacher / student fitted to the collection" else side
            rows.append([name, *(", ".join(f"{value:.1f}" for value in one.values) if one else "" for one in found)])
    head = ["documents by / queries by", "nDCG@10", "recall@100", "with BM25: nDCG@10", "recall@100"]
    return markdown(head, rows)


def query(records: Records) -> str:
    """How long one query takes by the teacher and by a student that is fitted to the collection."""
    record, case, rows = records["retrieval"], "cranfield, one query", []
    teacher = record.find(case, "the teacher", "wall, ms")
    for side in record.sides(case):
        one = record.find(case, side, "wall, ms")
        part = f"1/{ratio(teacher, one):.0f}" if teacher and one and one is not teacher else ""
        rows.append([side, spread(one, 3 if part else 1), part])
    if not rows:
        raise KeyError(record.benchmark)
    return markdown(["one query by", "milliseconds", "of the teacher's time"], rows)


#: Names in the records of the environment that several peers share, and what the page calls it.
SHARED_ENVIRONMENT = dict.fromkeys(("others", "wordllama", "fasttext"), "wordllama, fastText")


def versions(records: Records) -> str:
    """What was compared."""
    found: dict[str, dict[str, str]] = {}
    for record in records.values():
        for environment, each in record.versions.items():
            found.setdefault(SHARED_ENVIRONMENT.get(environment, environment), {}).update(each)
    rows = [[name, ", ".join(f"{what} {version}" for what, version in each.items())] for name, each in found.items()]
    return markdown(["environment", "versions"], rows)


def some(encoders: Sequence[str]) -> dict[str, str]:
    """Some encoders of the results page."""
    return {name: ENCODERS[name] for name in encoders}


TABLES: dict[str, Callable[[Records], str]] = {
    "categories": by_category,
    "quality": lambda records: scores(records["quality"], ENCODERS, SEVEN),
    "quality-date": quality_date,
    "smaller": lambda records: scores(records["quality"], SMALLER, SEVEN),
    "quality-short": lambda records: scores(
        records["quality"],
        some((TEACHER, CORPUS, M2V, PEER)),
        {"STS-B": "STS-B en", "Banking77": "Banking77", "mean of seven tasks": "mean"},
    ),
    "corpus": lambda records: scores(
        records["quality"],
        {M2V: "without a corpus", CORPUS: "with 55,000 texts"},
        {"STS-B": "STS-B en", "mean of [seven tasks](quality.md)": "mean"},
    ),
    "dimensions": dimensions,
    "ablations": ablations,
    "speed": speed,
    "encode": encode,
    "whole": lambda records: processes(records["encode"], "load and encode the tweets, whole process"),
    "imports": lambda records: processes(records["imports"], records["imports"].cases()[0]),
    "distill": lambda records: processes(records["distill"], records["distill"].cases()[0]),
    "memory": memory,
    "starts": starts,
    "install": install,
    "train": train,
    "search": search,
    "retrieval": retrieval,
    "later": lambda records: retrieval(records, later=True),
    "query": query,
    "versions": versions,
}
