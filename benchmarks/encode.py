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
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from processes import compare
from processes import models as made_models
from texts import cranfield, sentences, tweets

HERE = Path(__file__).parent
LANGUAGES = {"de": "German", "ru": "Russian", "ja": "Japanese", "zh": "Chinese"}
MODELS = ("student", "student-float16", "unigram", "byte-level BPE")
GROUPS = ("tweets", "joined", "cranfield", "german", "english", "sentence-transformers", *MODELS[1:])
PARTS = ("cold", "warm", "known", "unseen", "fresh")
N_BEFORE = 20_000
HEADER = ("", "m2v", "peer", "ratio", "laghu", "ratio")

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


def row(sides: list[Worker], runs: int, job: dict[str, str]) -> list[str]:
    """Run all sides in turn; the cells of a line of the table: ours, then each peer and its ratio to ours."""
    turns = [[side.seconds(job) * 1e6 for side in sides] for _ in range(runs)]
    cells = []
    for number, values in enumerate(zip(*turns, strict=True)):
        cells.append(f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        if number:
            cells.append(f"{median(turn[number] / turn[0] for turn in turns):.1f}x")
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


def table(args: argparse.Namespace, files: Inputs, models: dict[str, str], cores: int) -> dict[str, list[str]]:
    """Print all rows, on so many cores; returns their cells by name.

    Each model has processes of its own: a heap full of others makes all slower.
    """
    print(f"\n{cores} core{'s' * (cores > 1)}; microseconds for a text: median (range)\n")
    line(HEADER)
    line(["---"] * len(HEADER))
    pythons = {"laghu": args.laghu}
    printed = {}

    def beside(
        peers: tuple[str, ...], name: str, model: str, input: str, *hows: str, python: str = sys.executable
    ) -> None:
        with ExitStack() as stack:
            sides = [stack.enter_context(worker(python, "m2v", cores))]
            sides += [stack.enter_context(worker(pythons.get(peer, args.peer), peer, cores)) for peer in peers]
            for how in hows:
                job = {"model": models[model], "how": how, **files.job(input, how)}
                title = name.format(HOW[how])
                printed[title] = row(sides, args.runs, job)
                line([title, *printed[title]])

    both, groups = ("model2vec", "laghu"), args.only
    for name, input, group in (
        ("45,000 tweets, {}", "tweets", "tweets"),
        ("4,500 x ten tweets, {}", "joined", "joined"),
        ("1,400 documents of Cranfield, {}", "cranfield", "cranfield"),
        ("3,000 German sentences of STS-B, {}", "de", "german"),
    ):
        if group not in groups:
            continue
        beside(both, name, "student", input, *PARTS)
        if group in ("tweets", "joined"):
            beside(both[:1], name, "student", input, "new")
            if args.tokenizers1:
                beside(both[:1], f"{name}, tokenizers 1.x", "student", input, "cold", python=args.tokenizers1)
    if "tweets" in groups:
        beside(both[:1], "tweets, {}", "student", "tweets", "sequence")
    if "student-float16" in groups:
        beside(both, "45,000 tweets, float16, {}", "student-float16", "tweets", "cold", "warm")
    if "english" in groups:
        beside(both, "STS-B sentences, {}", "student", "en", "single")
    if "sentence-transformers" in groups:
        beside(("sentence_transformers",), "tweets, {}, against StaticEmbedding", "student", "tweets", "warm")
        beside(("sentence_transformers",), "STS-B, {}, against StaticEmbedding", "student", "en", "single")
    for kind, peers in (("unigram", both), ("byte-level BPE", both[:1])):
        for code, language in LANGUAGES.items() if kind in groups else ():
            beside(peers, f"{language}, {kind}, {{}}", kind, code, "cold", "warm")
    return printed


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
        line([title, *cells, *(tables[cores][title][column] for cores in others for column in (2, 4))])


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with the other peers")
    parser.add_argument("--laghu", required=True, help="the Python of an environment with laghu[rust]")
    parser.add_argument("--tokenizers1", help="the Python of an environment with m2v-core and tokenizers 1.x")
    parser.add_argument("--data", type=Path, required=True, help="the folder of real text; see CONTRIBUTING.md")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cores", type=int, nargs="*", default=[2, 1])
    parser.add_argument("--only", nargs="*", choices=GROUPS, default=GROUPS, help="some groups of rows")
    parser.add_argument("--models", type=Path, help="a folder that keeps the models for the next run")
    args = parser.parse_args()
    kinds = ["student", *(kind for kind in MODELS[1:] if kind in args.only)]
    with made_models(args.data, kinds, args.models) as folder:
        files = inputs(args.data, folder)
        models = {kind: str(folder / kind) for kind in kinds}
        tables = {cores: table(args, files, models, cores) for cores in args.cores}
        if len(tables) > 1:
            together(tables)
        if "tweets" in args.only:
            print("\nload and encode the tweets, whole process")
            ours, theirs = (
                TWEETS.format(library, str(folder / "student"), files.texts["tweets"])
                for library in ("m2v_core", "model2vec")
            )
            compare([sys.executable, "-c", ours], [args.peer, "-c", theirs], runs=args.runs)


if __name__ == "__main__":
    main()
