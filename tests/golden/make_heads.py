"""Write `heads/<case>/`: tiny pipelines as model2vec saves them, and what it says of texts.

Run it where model2vec is installed, from anywhere:

    python tests/golden/make_heads.py
"""

from __future__ import annotations

import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from model2vec import StaticModel, quantize_model
from model2vec.inference import StaticModelPipeline
from model2vec.inference.mlp import Activation, Layer, MLPHead
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
from tokenizer_files import wordpiece

HERE = Path(__file__).parent / "heads"
TEXTS = ["good day", "Bad, sunny days!", "a", "good good good bad", "unable day."]
DIM = 6


def head(widths: list[int], activation: str, classes: list[object] | None = None) -> MLPHead:
    """Random layers."""
    generator = np.random.default_rng(4)
    layers = [
        Layer(generator.normal(size=(wide, narrow)).astype(np.float32), generator.normal(size=wide).astype(np.float32))
        for narrow, wide in pairwise(widths)
    ]
    return MLPHead(layers, Activation(activation), None if classes is None else np.asarray(classes))


def main() -> None:
    """Write all cases."""
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    tokenizer = Tokenizer.from_str(wordpiece())
    table = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), DIM)).astype(np.float32)
    plain = StaticModel(table, tokenizer, normalize=True)
    few = quantize_model(plain, vocabulary_quantization=12)
    for case, model, chosen in (
        ("softmax", plain, head([DIM, 4, 3], "softmax", ["calm", "schön", "日 本"])),
        ("softmax-numbers", few, head([DIM, 2], "softmax", [-1, 7])),
        ("sigmoid", plain, head([DIM, 5, 4, 3], "sigmoid", ["a", "b", "c"])),
        ("identity", plain, head([DIM, 2], "identity")),
        ("no-layers", plain, head([], "identity")),
    ):
        pipeline = StaticModelPipeline(model, chosen)
        pipeline.save_pretrained(str(HERE / case))
        labels = [label.tolist() for label in pipeline.predict(TEXTS)]
        outputs = labels if chosen.classes_ is None else pipeline.predict_proba(TEXTS).tolist()
        expected = {"texts": TEXTS, "labels": labels, "outputs": outputs}
        (HERE / case / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")
        (HERE / case / "README.md").unlink(missing_ok=True)
        print(case, labels, sorted(path.name for path in (HERE / case).iterdir()))


if __name__ == "__main__":
    main()
