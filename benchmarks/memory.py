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
from statistics import median

from peers import plain_copy
from processes import models

REAL = "unigram-276k-real"
MODELS = ("student", REAL, "unigram-500k", "wordpiece-250k")
M2V = "from m2v_core import StaticModel; model = StaticModel.from_pretrained({!r})"
M2V_MAPPED = "from m2v_core import StaticModel; model = StaticModel.from_pretrained({!r}, memory_map=True)"
MODEL2VEC = "from model2vec import StaticModel; model = StaticModel.from_pretrained({!r})"
LAGHU = "from laghu import load; model = load({!r}, fallback=False)"
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


def rows(sides: dict[str, list[str]], model: str, runs: int, warmups: int = 1) -> None:
    """Run all sides in turn and print a line of the table for each: the ratios are its own values by ours."""
    turns = [{name: start(command) for name, command in sides.items()} for _ in range(warmups + runs)][warmups:]
    for name in sides:
        cells = [model, name]
        for measure in ("seconds", "private", "peak"):
            values = [getattr(turn[name], measure) for turn in turns]
            digits = 2 if measure == "seconds" else 0
            cells.append(f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})")
            for ours in ("m2v", "m2v, compiled"):
                if ours in sides and measure != "peak":
                    ratio = median(getattr(turn[name], measure) / getattr(turn[ours], measure) for turn in turns)
                    cells.append(f"{ratio:.2f}")
                elif measure != "peak":
                    cells.append("")
        print("|", " | ".join(cells), "|", flush=True)


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
        sides["m2v, compiled"] = (sys.executable, M2V_MAPPED, compiled)
    sides |= {"model2vec": (args.peer, MODEL2VEC, folder), "laghu": (args.laghu, LAGHU, plain_copy(folder))}
    return {name: [python, "-c", load.format(path) + MEASURE] for name, (python, load, path) in sides.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with model2vec")
    parser.add_argument("--laghu", required=True, help="the Python of an environment with laghu[rust]")
    parser.add_argument("--real", type=Path, help="the folder static_model/model of tokenlearn-static-model's wheel")
    parser.add_argument("--data", type=Path, required=True, help="the folder of real text; see CONTRIBUTING.md")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=MODELS, default=MODELS, help="some models")
    parser.add_argument("--models", type=Path, help="a folder that keeps the models for the next run")
    args = parser.parse_args()
    kinds = [kind for kind in args.only if kind != REAL or args.real]
    with models(args.data, [kind for kind in kinds if kind != REAL], args.models) as folder:
        if REAL in kinds:
            shutil.copytree(args.real, folder / REAL, dirs_exist_ok=True)
        print("\nprocess start to the first vector: median (range), and the median of the ratios to m2v's\n")
        ratios = "/ m2v | / compiled"
        print(f"| model | library | seconds | {ratios} | RssAnon, MB | {ratios} | VmHWM, MB |")
        print("|" + " --- |" * 9)
        sides = {kind: commands(args, str(folder / kind)) for kind in kinds}
        for kind in kinds:
            rows(sides[kind], kind, args.runs)
        for kind in args.only:
            if kind not in kinds:
                print(f"{kind} is left out: it needs --real.")
        if kinds and "m2v, compiled" not in sides[kinds[0]]:
            print("Compiled vocabularies are left out: this m2v has no `m2v compile`.")


if __name__ == "__main__":
    main()
