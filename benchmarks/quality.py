"""How good are encoders? A table of tasks: text similarity, classification, nearest neighbours.

An ENCODER is [NAME=][KIND:]FOLDER[?KEY=VALUE&...]:

  FOLDER           a static model, of m2v, model2vec or sentence-transformers; also org/name on the Hub
  wordllama:ITS    wordllama's own model; fasttext:FILE one of fasttext_model.py; ?python=PATH has the library
  teacher:FOLDER   a sentence transformer, run by m2v-distill; teacher:minilm is all-MiniLM-L6-v2 as a package
  distill:FOLDER   a static model, distilled from that teacher on the spot
  ?KEY=VALUE       keywords of StaticModel.from_pretrained, Teacher.from_pretrained or distill
  NAME=            what the table calls it

For instance:

  python benchmarks/quality.py                                  # all-MiniLM-L6-v2 and its students
  python benchmarks/quality.py teacher:minilm mine=out/student 'mine in int8=out/student?quantize_to=int8'
  python benchmarks/quality.py 'distill:minilm?pca_dims=64' --plot out/plot
  python benchmarks/quality.py out/student --pairs wordsim.tsv --labelled tickets.csv

Tasks of the mean:

  STS-B en         stsb-en-dev.csv: Spearman's correlation x 100 of cosines with people's scores
  Banking77        banking_train.csv: accuracy of a logistic regression on held-out fifths
  Banking77 1-NN   the same texts: accuracy of the nearest neighbour
  Emotion          te_emotion_train_*, te_emotion_val_*: macro F1 of a logistic regression
  Offensive        te_offensive_train_*: the same
  (file's name)    each file of --pairs, like STS-B, and of --labelled, like Banking77

Tasks of other categories of MTEB, and of --languages, in columns that the mean leaves out:

  STS-B pairs         the same file: average precision x 100, pairs above 4 against those below 2
  Banking77 clusters  the same texts: v-measure x 100 of 77 groups by k-means
  STS-B de, ...       stsb-de-dev.csv, ... of --languages: as STS-B
  (collection's name) each collection of --search: nDCG@10 x 100

With --retrieval, the first encoder is a teacher and the second a plain student of it, and the table is that of search
by a student that is fitted to the collection; further encoders are students in the space of the teacher, which are
asked as they are. With --agreement, a student is fitted to samples of a large collection. For instance:

  python benchmarks/quality.py teacher:minilm distill:minilm 'distill:minilm?space=teacher' --retrieval cranfield
  python benchmarks/quality.py teacher:minilm --agreement tweets.txt --samples 1000 4000 16000

Vectors are scaled to unit length. Folds and samples follow from the seed alone: they are the same for each encoder.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from quality_categories import Retrieval
from quality_encoders import Encode, Spec, texts_per_second, unit
from quality_files import dev_tasks, label_task, pair_task
from quality_plot import Dot, check_matplotlib, draw
from quality_tasks import PARTS, Score, Task, difference, mean_difference
from records import Measured, add_json, write
from search_collections import DATA, opened
from texts import tweets

from m2v_core.errors import InvalidInputError, M2VError

DEFAULT_ENCODERS = ("teacher:minilm", "distill:minilm", "token by token=distill:minilm?method=token")
SPEED_TEXTS = 5000
MEAN = "mean"


@dataclass(frozen=True)
class Row:
    """What was found of an encoder: a score for each task by name, their mean, and texts per second if wanted."""

    name: str
    scores: dict[str, Score]
    mean: float | None
    texts_per_second: float | None


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables; write what was asked for."""
    args = parser().parse_args(argv)
    try:
        report(args)
    except M2VError as error:
        raise SystemExit(f"error: {error}") from error


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = made.add_argument
    option("encoders", nargs="*", metavar="ENCODER", help=f"see above; default: {' '.join(DEFAULT_ENCODERS)}")
    option("--data", type=Path, default=DATA, help="the folder of real text, see CONTRIBUTING.md; default: %(default)s")
    option("--languages", default="", metavar="de,fr", help="STS-B in these too, in columns that the mean leaves out")
    option("--pairs", type=Path, nargs="+", action="extend", default=[], metavar="FILE",
           help="CSV or TSV files of text, text, number; a line that starts with # is a comment")  # fmt: skip
    option("--labelled", type=Path, nargs="+", action="extend", default=[], metavar="FILE",
           help="CSV or TSV files with columns text and label, or else the first two columns")  # fmt: skip
    option("--search", nargs="+", action="extend", default=[], metavar="FOLDER",
           help="collections, as of --retrieval; those to choose settings by, or else only at the end")  # fmt: skip
    option("--folds", type=int, choices=range(1, PARTS + 1), default=3, help="held-out fifths; default: 3")
    option("--seed", type=int, default=0, help="of folds and samples; default: 0")
    option("--speed", action="store_true", help=f"measure texts per second too, on {SPEED_TEXTS} texts seen before")
    option("--plot", type=Path, metavar="STEM", help="draw quality against speed: STEM.png and STEM.svg (matplotlib)")
    option("--retrieval", metavar="FOLDER", nargs="+", default=[],
           help="collections: folders in the layout of BEIR, cranfield, titles or docstrings")  # fmt: skip
    option("--agreement", type=Path, metavar="FILE", help="a large collection: a text a line; 1000 are queries")
    option("--samples", type=int, nargs="+", default=[1000, 4000, 16_000], metavar="N", help="sizes of --agreement")
    option("--draws", type=int, default=2, metavar="N", help="of --retrieval: random parts to fit to; default: 2")
    add_json(made)
    return made


def report(args: argparse.Namespace) -> None:
    """All that `main` does with a good command line."""
    specs = [Spec.parse(text) for text in args.encoders or DEFAULT_ENCODERS]
    if args.retrieval or args.agreement:
        report_search(args, specs)
        return
    _unique("encoders", [spec.name for spec in specs], "call one of them NAME=...")
    tasks, skipped = find_tasks(args)
    print("".join(f"{line}\n" for line in skipped), end="")
    if not tasks:
        raise InvalidInputError("nothing to measure: name a folder by --data, or files by --pairs or --labelled.")
    if args.plot:
        check_matplotlib()
        if not any(task.counts for task in tasks):
            raise InvalidInputError("--plot: no task counts in the mean; --languages alone do not.")
    sample = speed_texts(args.data, tasks) if args.speed or args.plot else ()
    rows = []
    for place, spec in enumerate(specs):
        print(f"[{place + 1}/{len(specs)}] {spec.name}", file=sys.stderr, flush=True)
        rows.append(measure(spec.name, spec.load(), tasks, sample))
    print(f"\n{score_table(rows, tasks)}")
    if len(rows) > 1 and args.folds > 1:
        print(f"\nAbove {rows[0].name}, ± standard error:\n\n{difference_table(rows, tasks)}")
    write(args.json, "quality", measured_of(rows, tasks), pythons=pythons_of(specs), settings=settings_of(args, specs))
    if args.plot:
        dots = [Dot(row.name, row.texts_per_second or 0, row.mean or 0) for row in rows]
        png, svg = draw(dots, args.plot, n_tasks=sum(task.counts for task in tasks))
        print(f"\nplots: {png}, {svg}")


def report_search(args: argparse.Namespace, specs: Sequence[Spec]) -> None:
    """The tables of --retrieval and --agreement."""
    from quality_retrieval import agreement_table, retrieval_table

    needed = 2 if args.retrieval else 1
    if len(specs) < needed or specs[0].kind != "teacher":
        raise InvalidInputError(
            "--retrieval needs two encoders, teacher:... and a plain student of it; --agreement one."
        )
    teacher, found = specs[0].teacher(), []
    students = [(spec.name, spec.student()) for spec in specs[1:]] if args.retrieval else []
    for name in args.retrieval:
        print(f"\n{name}")
        found += retrieval_table(
            teacher,
            students[0][1],
            opened(name),
            case=Path(name).name,
            draws=args.draws,
            others=dict(students[1:]),
        )
    write(args.json, "retrieval", found, settings={"encoders": [spec.name for spec in specs], "draws": args.draws})
    if args.agreement:
        texts = [text for text in args.agreement.read_text(encoding="utf-8").split("\n") if text.strip()]
        print(f"\n{agreement_table(teacher, list(dict.fromkeys(texts)), args.samples)}")


def find_tasks(args: argparse.Namespace) -> tuple[list[Task], list[str]]:
    """The tasks, those of the mean first, and a line for each that is skipped."""
    languages = [code.strip() for code in args.languages.split(",") if code.strip()]
    tasks, skipped = dev_tasks(args.data, languages, folds=args.folds, seed=args.seed)
    tasks += [pair_task(file, seed=args.seed) for file in args.pairs]
    tasks += [label_task(file, folds=args.folds, seed=args.seed) for file in args.labelled]
    tasks += [Retrieval(Path(name).name, opened(name)) for name in args.search]
    _unique("tasks", [task.name for task in tasks], "rename a file")
    return sorted(tasks, key=lambda task: not task.counts), skipped


def speed_texts(data: Path, tasks: Sequence[Task]) -> tuple[str, ...]:
    """Tweets, or else the texts of the tasks."""
    if (data / "te_emoji_train_text.txt").is_file():
        return tuple(tweets(data)[:SPEED_TEXTS])
    return tuple(islice(chain.from_iterable(task.texts for task in tasks), SPEED_TEXTS))


def measure(name: str, encode: Encode, tasks: Sequence[Task], sample: Sequence[str] = ()) -> Row:
    """All scores of an encoder; each set of texts is embedded once, whatever the number of tasks and folds."""
    embed = cache(lambda texts: unit(encode(texts)))
    scores = {task.name: task.score(embed) for task in tasks}
    counted = [scores[task.name].value for task in tasks if task.counts]
    mean = sum(counted) / len(counted) if counted else None
    return Row(name, scores, mean, texts_per_second(encode, sample) if sample else None)


def score_table(rows: Sequence[Row], tasks: Sequence[Task]) -> str:
    """A row for each encoder: the tasks of the mean, the mean, then what it leaves out."""
    speed = rows[0].texts_per_second is not None
    lines = [["encoder", *_columns(tasks), *(["texts/s"] if speed else [])]]
    for row in rows:
        cells = {name: f"{score.value:.1f}" for name, score in row.scores.items()}
        cells["mean"] = "" if row.mean is None else f"{row.mean:.1f}"
        last = [f"{row.texts_per_second:,.0f}"] if row.texts_per_second is not None else []
        lines.append([row.name, *(cells[name] for name in _columns(tasks)), *last])
    return _markdown(lines)


def difference_table(rows: Sequence[Row], tasks: Sequence[Task]) -> str:
    """How much each encoder is above the first, task by task."""
    lines = [["encoder", *_columns(tasks)]]
    for row in rows[1:]:
        found = {task.name: difference(row.scores[task.name], rows[0].scores[task.name]) for task in tasks}
        counted = [found[task.name] for task in tasks if task.counts]
        if counted:
            found["mean"] = mean_difference(counted)
        lines.append([row.name, *(_difference_cell(*found[name]) for name in _columns(tasks))])
    return _markdown(lines)


def measured_of(rows: Sequence[Row], tasks: Sequence[Task]) -> list[Measured]:
    """All numbers: a value for each fold, or else one; means, and how sure their differences to the first row are."""
    found = []
    counted = [task.name for task in tasks if task.counts]
    for row in rows:
        for task in tasks:
            score = row.scores[task.name]
            values = score.samples if 1 < score.averaged <= PARTS else (score.value,)
            found.append(Measured(task.name, row.name, task.measure, values))
        if row.mean is not None:
            found.append(Measured(MEAN, row.name, f"mean of {len(counted)} tasks", (row.mean,)))
        errors = [difference(row.scores[name], rows[0].scores[name]) for name in counted]
        if row is not rows[0] and errors and (error := mean_difference(errors)[1]) is not None:
            found.append(Measured(MEAN, row.name, f"standard error of the difference to {rows[0].name}", (error,)))
        if row.texts_per_second is not None:
            found.append(Measured("tweets seen before", row.name, "texts a second", (row.texts_per_second,)))
    return found


def settings_of(args: argparse.Namespace, specs: Sequence[Spec]) -> dict[str, Any]:
    """What the numbers depend on."""
    kinds = {spec.name: {"kind": spec.kind, **spec.options} for spec in specs}
    for options in kinds.values():
        options.pop("python", None)
        options.pop("corpus", None)
    return {"folds": args.folds, "seed": args.seed, "encoders": kinds}


def pythons_of(specs: Sequence[Spec]) -> dict[str, str]:
    """The environments of peers."""
    return {spec.kind: spec.options["python"] for spec in specs if "python" in spec.options}


def _columns(tasks: Sequence[Task]) -> list[str]:
    counted = [task.name for task in tasks if task.counts]
    return [*counted, *(["mean"] if counted else []), *(task.name for task in tasks if not task.counts)]


def _difference_cell(value: float, error: float | None) -> str:
    return f"{value:+.1f}" if error is None else f"{value:+.1f} ± {error:.1f}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as a table; the first line is its head, the first column its names."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |" for line in lines
    )


def _unique(what: str, names: Sequence[str], remedy: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidInputError(f"two {what} are called {', '.join(twice)}: {remedy}.")


if __name__ == "__main__":
    main()
