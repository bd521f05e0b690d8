"""Write `onnx/<case>/`: tiny exports as model2vec makes them, and what they give for two texts.

Run it where model2vec[onnx] is installed, from anywhere:

    python tests/golden/make_onnx.py
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from model2vec import StaticModel
from model2vec.inference import StaticModelPipeline
from model2vec.inference.mlp import Activation, Layer, MLPHead
from model2vec.onnx import export_model_to_onnx
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
from tokenizer_files import wordpiece

HERE = Path(__file__).parent / "onnx"
TEXTS = ["Good day, sunny!", "a bad day"]
UNREAD = ("README.md", "special_tokens_map.json")


def without_notes(path: Path) -> None:
    """Take out what the exporter notes of the machine that it ran on."""
    model = onnx.load(path)
    for noted in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del noted.metadata_props[:]
    del model.graph.value_info[:]
    onnx.save(model, path)


def main() -> None:
    """Write all cases."""
    shutil.rmtree(HERE, ignore_errors=True)
    tokenizer, random = Tokenizer.from_str(wordpiece()), np.random.default_rng(0)
    table = random.normal(size=(tokenizer.get_vocab_size(), 6)).astype(np.float32)
    model = StaticModel(table, tokenizer, normalize=True)
    layer = Layer(random.normal(size=(3, 6)).astype(np.float32), random.normal(size=3).astype(np.float32))
    pipeline = StaticModelPipeline(model, MLPHead([layer], Activation.SOFTMAX, np.array(["a", "b", "c"])))
    for case, exported, outputs in (
        ("vectors", model, model.encode(TEXTS)),
        ("probabilities", pipeline, pipeline.predict_proba(TEXTS)),
    ):
        export_model_to_onnx(exported, HERE / case)
        without_notes(HERE / case / "model.onnx")
        for name in UNREAD:
            (HERE / case / name).unlink()
        expected = {"texts": TEXTS, "outputs": np.asarray(outputs, float).round(6).tolist()}
        (HERE / case / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
