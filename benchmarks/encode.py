"""`encode` beside model2vec's and sentence-transformers', interleaved; then start-up and memory of whole processes.

Each library runs in a process of its own, with its defaults; they take turns on the same input. A table shows medians,
ranges, and the median of the ratios turn by turn.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from processes import compare
from texts import tweets

HERE = Path(__file__).parent
LANGUAGES = {"de": "German", "ru": "Russian", "ja": "Japanese", "zh": "Chinese"}


class Worker:
    """A process of `encode_worker.py`."""

    def __init__(self, python: str, library: str, cores: int) -> None:
        command = [python, str(HERE / "encode_worker.py"), library, str(cores)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def seconds(self, **job: str) -> float:
        """Seconds for a text."""
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


def row(name: str, ours: Worker, theirs: Worker, *, runs: int, **job: str) -> None:
    """Run both in turn and print a line of the table."""
    pairs = [(ours.seconds(**job), theirs.seconds(**job)) for _ in range(runs)]
    cells = []
    for side in (0, 1):
        values = [pair[side] * 1e6 for pair in pairs]
        cells.append(f"{median(values):8.1f} ({min(values):.1f} to {max(values):.1f})")
    ratio = median(theirs / ours for ours, theirs in pairs)
    print(f"{name:54}{cells[0]:>26}{cells[1]:>28}{ratio:>10.1f}x", flush=True)


def inputs(data: Path, folder: Path) -> dict[str, str]:
    """Files of texts by name."""
    lines = tweets(data)
    texts = {"tweets": lines, "joined": [" ".join(lines[i : i + 10]) for i in range(0, len(lines), 10)]}
    for language in ("en", *LANGUAGES):
        with (data / f"stsb-{language}-dev.csv").open(newline="") as file:
            texts[language] = [sentence for one in csv.reader(file) for sentence in one[:2]]
    for name, content in texts.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return {name: str(folder / f"{name}.json") for name in texts}


def table(args: argparse.Namespace, files: dict[str, str], models: dict[str, str], cores: int) -> None:
    """All rows, on so many cores. Each model has processes of its own: a heap full of others makes all slower."""
    print(f"\n{cores} core{'s' * (cores > 1)}; microseconds for a text: median (range)")
    print(f"{'':54}{'m2v':>26}{'peer':>28}{'peer / m2v':>11}")
    english, runs = models["student"], args.runs

    def beside(library: str, name: str, model: str, file: str, *hows: str, python: str = sys.executable) -> None:
        with worker(python, "m2v", cores) as ours, worker(args.peer, library, cores) as theirs:
            for how in hows:
                row(name.format(HOW[how]), ours, theirs, runs=runs, model=model, input=files[file], how=how)

    for name, file in (("45,000 tweets, {}", "tweets"), ("4,500 x ten tweets, {}", "joined")):
        beside("model2vec", name, english, file, "cold", "new", "warm")
        if args.tokenizers1:
            beside("model2vec", f"{name}, tokenizers 1.x", english, file, "cold", python=args.tokenizers1)
    beside("model2vec", "tweets, {}", english, "tweets", "sequence")
    beside("sentence_transformers", "tweets, {}, against StaticEmbedding", english, "tweets", "warm")
    beside("model2vec", "STS-B sentences, {}", english, "en", "single")
    beside("sentence_transformers", "STS-B, {}, against StaticEmbedding", english, "en", "single")
    for kind in ("unigram", "byte-level BPE"):
        for code, language in LANGUAGES.items():
            beside("model2vec", f"{language}, {kind}, {{}}", models[kind], code, "cold", "warm")


HOW = {
    "cold": "cold",
    "new": "second half after the first",
    "warm": "warm",
    "sequence": "warm, encode_as_sequence",
    "single": "one call each",
}
START = "from {} import StaticModel; StaticModel.from_pretrained({!r}).encode('a fine day')"
TWEETS = "import json; from {} import StaticModel; StaticModel.from_pretrained({!r}).encode(json.load(open({!r})))"


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with the peers")
    parser.add_argument("--tokenizers1", help="the Python of an environment with m2v-core and tokenizers 1.x")
    parser.add_argument("--data", type=Path, required=True, help="the folder of real text; see CONTRIBUTING.md")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cores", type=int, nargs="*", default=[2, 1])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m2v-bench-") as name:
        folder = Path(name)
        files = inputs(args.data, folder)
        subprocess.run([sys.executable, str(HERE / "encode_models.py"), str(args.data), name], check=True)
        models = {kind: str(folder / kind) for kind in ("student", "unigram", "byte-level BPE")}
        for cores in args.cores:
            table(args, files, models, cores)
        for title, code, given in (
            ("process start to the first vector", START, (models["student"],)),
            ("load and encode the tweets, whole process", TWEETS, (models["student"], files["tweets"])),
        ):
            print(f"\n{title}")
            ours, theirs = code.format("m2v_core", *given), code.format("model2vec", *given)
            compare([sys.executable, "-c", ours], [args.peer, "-c", theirs], runs=args.runs)


if __name__ == "__main__":
    main()
