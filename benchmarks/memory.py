"""Start-up and memory of whole processes that load a model and embed one text, for small and large vocabularies.

For each model, the libraries take turns. Seconds are from the start of the process to its first vector; RssAnon is the
private memory after it, and VmHWM the highest memory until then, files that are mapped included (Linux).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peers import plain_copy
from processes import FASTTEXT, fasttext, models
from records import Measured, add_json, ratio, write

HERE = Path(__file__).parent
REAL = "unigram-276k-real"
COMPILED = "m2v, compiled and mapped"
MODELS = ("student", REAL, "unigram-500k", "wordpiece-250k")
OWN = "models of their own"
M2V = "from m2v_core import StaticModel; model = StaticModel.from_pretrained({!r})"
M2V_MAPPED = "from m2v_core import StaticModel; model = StaticModel.from_pretrained({!r}, memory_map=True)"
MODEL2VEC = "from model2vec import StaticModel; model = StaticModel.from_pretrained({!r})"
LAGHU = "from laghu import load; model = load({!r}, fallback=False)"
#: Peers with models of their own: wordllama's ships with it, and fastText's is trained by `fasttext_model.py`.
BY_PEERS = f"import sys; sys.path.append({str(HERE)!r}); from peers import loader; model = loader({{!r}})({{!r}})"
TEACHER = BY_PEERS.format("teacher", "")
SENTENCE_TRANSFORMERS = BY_PEERS.format("sentence_transformers", "")
MEASURES = SECONDS, PRIVATE, PEAK = ("seconds to the first vector", "private memory, MB", "peak memory, MB")
MEASURE = """
import time
model.encode("a fine day")
seconds = time.monotonic()
with open("/proc/self/status") as status:
    values = dict(line.split(":", 1) for line in status)
print(seconds, *(values[name].split()[0] for name in ("RssAnon", "VmHWM")))
"""


@dataclass(frozen=True)
class Start:
    """Seconds to the first vector; private and highest memory in MB."""

    seconds: float
    private: float
    peak: float


def start(command: Sequence[str]) -> Start:
    """Run a process that ends with `MEASURE`. The monotonic clock is that of the system, the same for all processes."""
    started = time.monotonic()
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{process.stderr}")
    seconds, private, peak = map(float, process.stdout.split())
    return Start(seconds - started, private / 1e3, peak / 1e3)


def rows(sides: dict[str, list[str]], model: str, runs: int, warmups: int = 1) -> list[Measured]:
    """Run all sides in turn and print a line of the table for each: the ratios are its own values by ours."""
    turns = [{name: start(command) for name, command in sides.items()} for _ in range(warmups + runs)][warmups:]
    measured = {
        (name, measure): Measured(model, name, measure, tuple(getattr(turn[name], field) for turn in turns))
        for name in sides
        for measure, field in zip(MEASURES, ("seconds", "private", "peak"), strict=True)
    }
    for name in sides:
        cells = [model, name]
        for measure in MEASURES:
            one, digits = measured[name, measure], 2 if measure == SECONDS else 0
            values = one.values
            cells.append(f"{one.median:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})")
            for ours in ("m2v", COMPILED) if measure != PEAK else ():
                cells.append(f"{ratio(one, measured[ours, measure]):.2f}" if ours in sides else "")
        print("|", " | ".join(cells), "|", flush=True)
    return list(measured.values())


def compiled_copy(folder: str) -> str | None:
    """A copy of a model with a compiled vocabulary; None where m2v has no such command."""
    known = subprocess.run([sys.executable, "-m", "m2v_core", "compile", "--help"], check=False, capture_output=True)
    if known.returncode:
        return None
    copy = f"{folder}-compiled"
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    subprocess.run([sys.executable, "-m", "m2v_core", "compile", copy], check=True, stdout=subprocess.DEVNULL)
    return copy


def commands(args: argparse.Namespace, folder: str) -> dict[str, list[str]]:
    """The command of each side."""
    sides = {"m2v": (sys.executable, M2V, folder)}
    if compiled := compiled_copy(folder):
        sides[COMPILED] = (sys.executable, M2V_MAPPED, compiled)
    sides |= {"model2vec": (args.peer, MODEL2VEC, folder), "laghu": (args.laghu, LAGHU, plain_copy(folder))}
    found = {name: [python, "-c", load.format(path) + MEASURE] for name, (python, load, path) in sides.items()}
    return {name: command for name, command in found.items() if command[0]}


def by_peers(args: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """The commands of peers with models of their own, and of the teacher, as far as there are environments."""
    sides = {
        "wordllama": (args.others, BY_PEERS.format("wordllama", "")),
        "fastText (gensim)": (args.others, BY_PEERS.format("fasttext", str(folder / FASTTEXT))),
        "the teacher, by m2v-distill": (sys.executable, TEACHER),
        "the teacher, by sentence-transformers": (args.peer, SENTENCE_TRANSFORMERS),
    }
    return {name: [python, "-c", load + MEASURE] for name, (python, load) in sides.items() if python}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with model2vec")
    parser.add_argument("--laghu", help="the Python of an environment with laghu[rust]")
    parser.add_argument("--others", help="the Python of an environment with wordllama and gensim")
    parser.add_argument("--real", type=Path, help="the folder static_model/model of tokenlearn-static-model's wheel")
    parser.add_argument("--data", type=Path, required=True, help="the folder of real text; see CONTRIBUTING.md")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=(*MODELS, OWN), default=MODELS, help="some models")
    parser.add_argument("--models", type=Path, help="a folder that keeps the models for the next run")
    add_json(parser)
    args = parser.parse_args()
    kinds = [kind for kind in args.only if kind in MODELS and (kind != REAL or args.real)]
    with models(args.data, [kind for kind in kinds if kind != REAL], args.models) as folder:
        if OWN in args.only and args.others:
            fasttext(args.others, args.data, folder)
        if REAL in kinds:
            shutil.copytree(args.real, folder / REAL, dirs_exist_ok=True)
        print("\nprocess start to the first vector: median (range), and the median of the ratios to m2v's\n")
        ratios = "/ m2v | / compiled"
        print(f"| model | library | seconds | {ratios} | RssAnon, MB | {ratios} | VmHWM, MB |")
        print("|" + " --- |" * 9)
        sides = {kind: commands(args, str(folder / kind)) for kind in kinds}
        if OWN in args.only:
            sides[OWN] = by_peers(args, folder)
        found = [one for kind in sides for one in rows(sides[kind], kind, args.runs)]
        if REAL in args.only and REAL not in kinds:
            print(f"{REAL} is left out: it needs --real.")
        environments = {"model2vec": args.peer, "laghu": args.laghu, "others": args.others}
        write(args.json, "memory", found, pythons=environments, settings={"runs": args.runs})
        if kinds and COMPILED not in sides[kinds[0]]:
            print("Compiled vocabularies are left out: this m2v has no `m2v compile`.")


if __name__ == "__main__":
    main()
