"""One `fit`, by m2v-train or model2vec, and how good the classifier is: run by `train.py`, which gives a JSON task."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

task = json.loads(sys.argv[1])
if task["peer"]:
    from model2vec import StaticModel
    from model2vec.train import StaticModelForClassification
else:
    from m2v_core import StaticModel
    from m2v_train import StaticModelForClassification


def split(n: int, seed: int) -> tuple[list[int], list[int]]:
    """Nine tenths to fit, with validation data of their own, and a tenth that `fit` never sees."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[n // 10 :]).tolist(), np.sort(order[: n // 10]).tolist()


def macro_f1(expected: list[str], found: list[str]) -> float:
    """The mean of the classes' F1 = 2 TP / (2 TP + FP + FN)."""
    right, either = defaultdict(int), defaultdict(int)
    for one, other in zip(expected, found, strict=True):
        right[one] += one == other
        either[one] += 1
        either[other] += 1
    return sum(2 * right[label] / either[label] for label in set(expected)) / len(set(expected))


with Path(task["data"]).open(encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
kept, held_out = split(len(rows), task["seed"])
texts, labels = [rows[i][0] for i in kept], [rows[i][1] for i in kept]
classifier = StaticModelForClassification.from_static_model(model=StaticModel.from_pretrained(task["model"]))
started = time.perf_counter()
classifier.fit(texts, labels, random_seed=task["seed"])
wall = time.perf_counter() - started
expected, found = [rows[i][1] for i in held_out], list(classifier.predict([rows[i][0] for i in held_out]))
accuracy = sum(one == other for one, other in zip(expected, found, strict=True)) / len(expected)
print(json.dumps({"wall": wall, "accuracy": accuracy, "macro F1": macro_f1(expected, found)}))
