"""`encode` beside model2vec's, laghu's and sentence-transformers', interleaved; then the time of whole processes.

Each library runs in a process of its own, with its defaults; they take turns on the same input. A table, in Markdown,
shows medians, ranges, and the medians of the ratios turn by turn.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from processes import compare, fasttext
from processes import models as made_models
from records import Measured, add_json, ratio, write
from texts import cranfield, sentences, tweets

HERE = Path(__file__).parent
LANGUAGES = {"de": "German", "ru": "Russian", "ja": "Japanese", "zh": "Chinese"}
MODELS = ("student", "student-float16", "unigram", "byte-level BPE")
GROUPS = (
    "tweets",
    "joined",
    "cranfield",
    "german",
    "english",
    "sentence-transformers",
    "others",
    "teacher",
    *MODELS[1:],
)
PARTS = ("cold", "warm", "known", "unseen", "fresh", "new", "sequence")
BY_ALL = PARTS[:5]  # the others are compared with model2vec alone
N_BEFORE = 20_000
N_TEACHER = 2000
HEADER = ("", "m2v", "peer", "ratio", "laghu", "ratio")
MEASURE = "microseconds a text"
#: What a row calls a library of `encode_worker.py`.
NAMES = {
    "teacher": "m2v-distill",
    "sentence_transformers": "sentence-transformers",
    "fasttext": "fastText (gensim)",
}

HOW = {
    "cold": "cold",
    "new": "second half after the first",
    "warm": "warm",
    "sequence": "warm, encode_as_sequence",
    "single": "one call each",
    "known": "one call a text, its words known from batches before",
    "unseen": "one call a text never seen, after 20,000 other texts",
    "fresh": "one call a text never seen, in a fresh model",
}
TWEETS = "import json; from {} import StaticModel; StaticModel.from_pretrained({!r}).encode(json.load(open({!r})))"


class Worker:
    """A process of `encode_worker.py`."""

    def __init__(self, python: str, library: str, cores: int) -> None:
        command = [python, str(HERE / "encode_worker.py"), library, str(cores)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def seconds(self, job: dict[str, str]) -> float:
        """Seconds for a text."""
        with suppress(BrokenPipeError):  # it has ended
            print(json.dumps(job), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline() if self.process.stdout else ""
        if not answer:
            raise SystemExit(f"{self.process.args} failed at {job}")
        return float(answer)


@contextmanager
def worker(python: str, library: str, cores: int) -> Iterator[Worker]:
    """A worker that ends with the block."""
    one = Worker(python, library, cores)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


def measure(case: str, sides: dict[str, Worker], runs: int, job: dict[str, str]) -> list[Measured]:
    """Run all sides in turn."""
    turns = [{name: side.seconds(job) * 1e6 for name, side in sides.items()} for _ in range(runs)]
    return [Measured(case, name, MEASURE, tuple(turn[name] for turn in turns)) for name in sides]


def cells_of(found: list[Measured]) -> list[str]:
    """The cells of a line of the table: ours, then each peer and its ratio to ours."""
    cells = []
    for number, one in enumerate(found):
        cells.append(f"{one.median:.1f} ({min(one.values):.1f} to {max(one.values):.1f})")
        if number:
            cells.append(f"{ratio(one, found[0]):.1f}x")
    return cells + [""] * (len(HEADER) - 1 - len(cells))


def line(cells: Sequence[str]) -> None:
    """Print a line of a table in Markdown."""
    print("|", " | ".join(cells), "|", flush=True)


@dataclass(frozen=True)
class Inputs:
    """Files of texts by name: all of them; some for single calls; and 20,000 others, none of which is among these."""

    texts: dict[str, str] = field(default_factory=dict)
    some: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def job(self, name: str, how: str) -> dict[str, str]:
        """What a worker needs to know of the input."""
        if how == "known":
            return {"input": self.some[name], "before": self.texts[name]}
        if how == "unseen":
            return {"input": self.some[name], "before": self.others[name]}
        return {"input": (self.some if how == "fresh" else self.texts)[name]}


def inputs(data: Path, folder: Path) -> Inputs:
    """Write all files. Where a set has fewer than 20,000 others, tweets fill them up."""
    shuffled = {"tweets": tweets(data), "cranfield": cranfield(data)}
    shuffled |= {language: sentences(data, language) for language in ("en", *LANGUAGES)}
    for texts in shuffled.values():
        random.Random(0).shuffle(texts)  # noqa: S311
    filling = shuffled["tweets"]
    shuffled["few"] = filling[:N_TEACHER]
    shuffled["joined"] = [" ".join(filling[i : i + 10]) for i in range(0, len(filling), 10)]
    found = Inputs()
    for name, texts in shuffled.items():
        different = list(dict.fromkeys(texts))
        n_some = min(1000, len(different) // 3)
        others = (different[:-n_some] + filling)[:N_BEFORE]
        for files, content, kind in (
            (found.texts, texts, ""),
            (found.some, different[-n_some:], "-some"),
            (found.others, others, "-others"),
        ):
            path = folder / f"{name}{kind}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            files[name] = str(path)
    return found


@dataclass(frozen=True)
class Rows:
    """Rows of one set of processes: each model has its own, as a heap full of others makes all slower.

    Attributes:
        name: What they are called; `{}` is how it is done.
        peers: Libraries beside m2v.
        model: The model of all but those that have their own.
        input: Name of the texts.
        hows: Ways of `encode_worker.py`.
        python: The Python of ours; None leaves m2v out.
    """

    name: str
    peers: tuple[str, ...]
    model: str
    input: str
    hows: tuple[str, ...]
    python: str | None = sys.executable


def wanted(args: argparse.Namespace) -> Iterator[tuple[str, Rows]]:
    """Rows with the group that each belongs to."""
    both = ("model2vec", "laghu")
    by_all, by_one = ([part for part in args.parts if (part in BY_ALL) is each] for each in (True, False))
    for name, input, group in (
        ("45,000 tweets, {}", "tweets", "tweets"),
        ("4,500 x ten tweets, {}", "joined", "joined"),
        ("1,400 documents of Cranfield, {}", "cranfield", "cranfield"),
        ("3,000 German sentences of STS-B, {}", "de", "german"),
    ):
        yield group, Rows(name, both, "student", input, tuple(by_all))
        if group in ("tweets", "joined"):
            yield group, Rows(name, both[:1], "student", input, tuple(part for part in by_one if part == "new"))
            if args.tokenizers1:
                title = f"{name}, tokenizers 1.x"
                yield group, Rows(title, both[:1], "student", input, ("cold",), args.tokenizers1)
    sequence = tuple(part for part in by_one if part == "sequence")
    yield "tweets", Rows("tweets, {}", both[:1], "student", "tweets", sequence)
    yield "student-float16", Rows("45,000 tweets, float16, {}", both, "student-float16", "tweets", ("cold", "warm"))
    yield "english", Rows("STS-B sentences, {}", both, "student", "en", ("single",))
    static, peer = "{}, against StaticEmbedding", ("sentence_transformers",)
    yield "sentence-transformers", Rows(f"tweets, {static}", peer, "student", "tweets", ("warm",))
    yield "sentence-transformers", Rows(f"STS-B, {static}", peer, "student", "en", ("single",))
    llama, fast = "45,000 tweets, by wordllama's own model, {}", "45,000 tweets, by fastText, {}"
    yield "others", Rows(llama, ("wordllama",), "student", "tweets", ("cold", "warm"), None)
    yield "others", Rows(fast, ("fasttext",), "fasttext", "tweets", ("cold", "warm"), None)
    name = "2,000 tweets, by the teacher, {}"
    yield "teacher", Rows(name, ("teacher", *peer), "teacher", "few", ("warm",), None)
    for kind, peers in (("unigram", both), ("byte-level BPE", both[:1])):
        for code, language in LANGUAGES.items():
            yield kind, Rows(f"{language}, {kind}, {{}}", peers, kind, code, ("cold", "warm"))


def table(args: argparse.Namespace, files: Inputs, models: dict[str, str], cores: int) -> list[Measured]:
    """Print all rows, on so many cores; returns what was measured."""
    print(f"\n{cores} core{'s' * (cores > 1)}; microseconds for a text: median (range)\n")
    line(HEADER)
    line(["---"] * len(HEADER))
    pythons = {"laghu": args.laghu, "wordllama": args.others, "fasttext": args.others, "teacher": sys.executable}
    measured: list[Measured] = []
    for group, rows in wanted(args):
        pairs = [("m2v", rows.python), *((peer, pythons.get(peer, args.peer)) for peer in rows.peers)]
        pairs = [(library, python) for library, python in pairs if python]
        if group not in args.only or not pairs or not rows.hows:
            continue
        with ExitStack() as stack:
            sides = {NAMES.get(name, name): stack.enter_context(worker(str(path), name, cores)) for name, path in pairs}
            for how in rows.hows:
                job = {"model": models[rows.model], "how": how, **files.job(rows.input, how)}
                found = measure(rows.name.format(HOW[how]), sides, args.runs, job)
                line([found[0].case, *cells_of(found)])
                measured += found
    return measured


def together(tables: dict[int, dict[str, list[str]]]) -> None:
    """Print the first table again, with the ratios of the others."""
    first, *others = tables
    print()
    line(
        [
            *HEADER,
            *(f"{peer}, ratio on {cores} core{'s' * (cores > 1)}" for cores in others for peer in ("peer", "laghu")),
        ]
    )
    line(["---"] * (len(HEADER) + 2 * len(others)))
    for title, cells in tables[first].items():
        more = (tables[cores].get(title, [""] * len(HEADER)) for cores in others)
        line([title, *cells, *(row[column] for row in more for column in (2, 4))])


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with the other peers")
    parser.add_argument("--laghu", help="the Python of an environment with laghu[rust]")
    parser.add_argument("--others", help="the Python of an environment with wordllama and gensim")
    parser.add_argument("--tokenizers1", help="the Python of an environment with m2v-core and tokenizers 1.x")
    parser.add_argument("--data", type=Path, required=True, help="the folder of real text; see CONTRIBUTING.md")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cores", type=int, nargs="*", default=[2, 1])
    parser.add_argument("--only", nargs="*", choices=GROUPS, default=GROUPS, help="some groups of rows")
    parser.add_argument("--models", type=Path, help="a folder that keeps the models for the next run")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="some kinds of passes and calls")
    add_json(parser)
    args = parser.parse_args()
    kinds = ["student", *(kind for kind in MODELS[1:] if kind in args.only)]
    with made_models(args.data, kinds, args.models) as folder:
        files = inputs(args.data, folder)
        models = {kind: str(folder / kind) for kind in kinds} | {"teacher": ""}
        if "others" in args.only and args.others:
            models["fasttext"] = str(fasttext(args.others, args.data, folder))
        found = {cores: table(args, files, models, cores) for cores in args.cores}
        if len(found) > 1:
            together({cores: by_case(one) for cores, one in found.items()})
        processes = []
        if "tweets" in args.only:
            texts, model = files.texts["tweets"], str(folder / "student")
            sides = {
                "m2v": [sys.executable, "-c", TWEETS.format("m2v_core", model, texts)],
                "model2vec": [args.peer, "-c", TWEETS.format("model2vec", model, texts)],
            }
            processes = compare("load and encode the tweets, whole process", sides, runs=args.runs)
    most = max(args.cores)
    measured = [replace(one, case=case_on(one.case, cores, most)) for cores, each in found.items() for one in each]
    pythons = {"model2vec": args.peer, "laghu": args.laghu, "others": args.others, "tokenizers 1.x": args.tokenizers1}
    settings = {"runs": args.runs, "cores": most}
    write(args.json, "encode", [*measured, *processes], pythons=pythons, settings=settings)


def case_on(case: str, cores: int, most: int) -> str:
    """The name of a case on fewer cores than the most."""
    return case if cores == most else f"{case}, on {cores} core{'s' * (cores > 1)}"


def by_case(found: list[Measured]) -> dict[str, list[str]]:
    """The cells of each case."""
    cases: dict[str, list[Measured]] = {}
    for one in found:
        cases.setdefault(one.case, []).append(one)
    return {case: cells_of(each) for case, each in cases.items()}


if __name__ == "__main__":
    main()
