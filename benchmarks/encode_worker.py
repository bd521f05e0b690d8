"""One side of `encode.py`: loads a library once, then times what it is told on stdin, line by line.

A line is a JSON object: `model` (a folder), `input` (a file of texts, as a JSON array) and `how` (`cold`: a fresh
model's first pass; `warm`: a pass over texts that were embedded before; `new`: the second half of the texts after the
first half; `single`: one call for each text; `sequence`: token vectors). The answer is seconds for a text.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any


def loader(library: str) -> Any:
    """The function that loads a model."""
    if library == "m2v":
        from m2v_core import StaticModel

        return StaticModel.from_pretrained
    if library == "model2vec":
        from model2vec import StaticModel

        return StaticModel.from_pretrained
    from sentence_transformers import SentenceTransformer

    return lambda folder: SentenceTransformer(folder, device="cpu")


def main() -> None:
    """Answer until stdin ends."""
    library, cores = sys.argv[1], int(sys.argv[2])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    load = loader(library)
    warm_model = cache(load)
    warmed = set()

    @cache
    def texts_of(path: str) -> list[str]:
        return list(json.loads(Path(path).read_text()))

    for line in sys.stdin:
        job = json.loads(line)
        texts, how = texts_of(job["input"]), job["how"]
        if how in ("cold", "new"):
            model = load(job["model"])
            model.encode("good day")
        else:
            model = warm_model(job["model"])
        if how == "new":
            model.encode(texts[: len(texts) // 2])
            texts = texts[len(texts) // 2 :]
        elif how != "cold" and (job["model"], job["input"], how) not in warmed:
            warmed.add((job["model"], job["input"], how))
            for text in texts if how == "single" else [texts]:
                model.encode(text)
        started = time.perf_counter()
        if how == "single":
            for text in texts:
                model.encode(text)
        elif how == "sequence":
            model.encode_as_sequence(texts)
        else:
            model.encode(texts)
        print((time.perf_counter() - started) / len(texts), flush=True)


if __name__ == "__main__":
    main()
