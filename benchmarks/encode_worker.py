"""One side of `encode.py`: loads a library once, then times what it is told on stdin, line by line.

A line is a JSON object: `model` (a folder), `input` (a file of texts, as a JSON array), `how`, and for some `before`
(another such file). The answer is seconds for a text.

In a fresh model, which has embedded one text of two words:

- `cold`: the first pass.
- `new`: the second half of the texts, after the first half.
- `fresh`: one call for each text.
- `known`: one call for each text, after one batch of the texts of `before`.
- `unseen`: one call for each text, after one call for each text of `before`.

In a model that has embedded the same texts in the same way:

- `warm`: a pass.
- `single`: one call for each text.
- `sequence`: a pass for token vectors.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from peers import loader

EACH = ("fresh", "known", "unseen", "single")


@cache
def texts_of(path: str) -> list[str]:
    """The texts of a file."""
    return list(json.loads(Path(path).read_text(encoding="utf-8")))


def embed(model: Any, texts: list[str], how: str) -> None:
    """What is timed."""
    if how in EACH:
        for text in texts:
            model.encode(text)
    elif how == "sequence":
        model.encode_as_sequence(texts)
    else:
        model.encode(texts)


def fresh_model(model: Any, job: dict[str, str]) -> list[str]:
    """Prepare a fresh model for a job; returns the texts to time."""
    texts, how = texts_of(job["input"]), job["how"]
    model.encode("good day")
    if how == "new":
        model.encode(texts[: len(texts) // 2])
        return texts[len(texts) // 2 :]
    if "before" in job:
        embed(model, texts_of(job["before"]), how if how == "unseen" else "cold")
    return texts


def main() -> None:
    """Answer until stdin ends."""
    library, cores = sys.argv[1], int(sys.argv[2])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    load = loader(library)
    warm_model = cache(load)

    @cache
    def warmed(folder: str, path: str, how: str) -> Any:
        model = warm_model(folder)
        embed(model, texts_of(path), how if how in EACH else "warm")
        return model

    for line in sys.stdin:
        job = json.loads(line)
        how = job["how"]
        if how in ("warm", "single", "sequence"):
            model, texts = warmed(job["model"], job["input"], how), texts_of(job["input"])
        else:
            model = load(job["model"])
            texts = fresh_model(model, job)
        started = time.perf_counter()
        embed(model, texts, how)
        print((time.perf_counter() - started) / len(texts), flush=True)


if __name__ == "__main__":
    main()
