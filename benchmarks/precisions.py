"""What `precision=` and `truncate_dim=` of `encode` cost: rank correlation x 100 on STS-B, and bytes a vector.

python benchmarks/precisions.py MODEL --data DATA

The ranges of int8 and uint8 are those of the sentences of the training split: one for all dimensions, as `calibrate`
makes it, or the least and the greatest value of each, as sentence-transformers does.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from records import Measured, add_json, write
from scipy.stats import spearmanr

from m2v_core import StaticModel
from m2v_core.encode.output import ranges_of
from m2v_core.similarity import similarity_pairwise

#: Precision, whether each dimension has a range of its own, and how vectors are compared.
ROWS = (
    ("float32", False, "cosine"),
    ("float16", False, "cosine"),
    ("int8", False, "cosine"),
    ("int8", False, "dot"),
    ("uint8", False, "euclidean"),
    ("int8", True, "cosine"),
    ("int8", True, "dot"),
    ("ubinary", False, "Hamming"),
)


def pairs_of(file: Path) -> tuple[list[str], list[str], list[float]]:
    """The first and the second sentences of a split of STS-B, and their scores."""
    with file.open(encoding="utf-8", newline="") as lines:
        first, second, scores = zip(*csv.reader(lines), strict=True)
    return list(first), list(second), [float(score) for score in scores]


def compared(first: NDArray[np.generic], second: NDArray[np.generic], how: str) -> NDArray[np.float32]:
    """The similarity of rows, by the name of its measure."""
    if how == "Hamming":
        bits = np.unpackbits(first.view(np.uint8) ^ second.view(np.uint8), axis=1)
        return -bits.sum(axis=1).astype(np.float32)
    return np.asarray(similarity_pairwise(first, second, how))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the files of STS-B")
    add_json(parser)
    options = parser.parse_args()
    found = []
    model = StaticModel.from_pretrained(options.model)
    first, second, gold = pairs_of(options.data / "stsb-en-dev.csv")
    known, others, _ = pairs_of(options.data / "stsb-en-train.csv")
    print("| dimensions | precision | bytes | compared by | STS-B |\n| --- | --- | --- | --- | --- |")
    for dim in [dim for dim in (model.dim, 128, 64) if dim <= model.dim]:
        whole = model.encode(known + others, truncate_dim=dim)
        for precision, own, how in ROWS:
            ranges = np.stack([whole.min(axis=0), whole.max(axis=0)]) if own else ranges_of([whole], dim)
            kept = {"truncate_dim": dim, "precision": precision, "ranges": ranges if "int8" in precision else None}
            left, right = (model.encode(texts, **kept) for texts in (first, second))
            score = spearmanr(compared(left, right, how), gold).statistic * 100
            name = f"{precision}, a range for each dimension" if own else precision
            print(f"| {dim} | {name} | {left[0].nbytes} | {how} | {score:.1f} |")
            found.append(Measured(f"{dim} dimensions, {name}", how, "Spearman x 100", (float(score),)))
    write(options.json, "precisions", found)


if __name__ == "__main__":
    main()
