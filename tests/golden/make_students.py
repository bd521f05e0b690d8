"""Write `students/<case>/`: tiny static models as model2vec and sentence-transformers save them, and their vectors.

Run it where both are installed, from anywhere:

    python tests/golden/make_students.py
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from model2vec import StaticModel, quantize_model
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
from tokenizer_files import unigram, wordpiece

try:
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
except ImportError:  # before version 6
    from sentence_transformers.models import Normalize, StaticEmbedding

HERE = Path(__file__).parent / "students"
TEXTS = ["good day", "Bad, sunny days!", "a", "good good good bad", "unable day."]


def table(tokenizer: Tokenizer) -> np.ndarray:
    """Random rows for a tokenizer."""
    return np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 6)).astype(np.float32)


def write(case: str, model: Any, vectors: np.ndarray) -> None:
    """Keep the vectors beside the model."""
    save_file({"vectors": np.ascontiguousarray(vectors, dtype=np.float32)}, HERE / case / "expected.safetensors")
    (HERE / case / "README.md").unlink(missing_ok=True)
    print(case, sorted(str(p.relative_to(HERE / case)) for p in (HERE / case).rglob("*") if p.is_file()))


def main() -> None:
    """Write all cases."""
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    (HERE / "texts.json").write_text(json.dumps(TEXTS))
    pieces, grams = Tokenizer.from_str(wordpiece()), Tokenizer.from_str(unigram())
    plain = StaticModel(table(pieces), pieces, normalize=True)
    clustered = quantize_model(plain, vocabulary_quantization=12)
    for case, model in {
        "model2vec": plain,
        "model2vec-float16": quantize_model(plain, quantize_to="float16"),
        "model2vec-int8": quantize_model(plain, quantize_to="int8"),
        "model2vec-clusters": clustered,
        "model2vec-clusters-int8": quantize_model(clustered, quantize_to="int8"),
        "model2vec-unigram": StaticModel(table(grams), grams, normalize=False, max_length=100),
    }.items():
        model.save_pretrained(HERE / case)
        write(case, model, model.encode(TEXTS))
    for case, modules in {
        "sentence-transformers": [StaticEmbedding(pieces, embedding_weights=table(pieces))],
        "sentence-transformers-normalized": [StaticEmbedding(pieces, embedding_weights=table(pieces)), Normalize()],
    }.items():
        transformer = SentenceTransformer(modules=modules, device="cpu")
        transformer.save_pretrained(str(HERE / case))
        write(case, transformer, transformer.encode(TEXTS))
    nested = HERE / "sentence-transformers-nested"
    shutil.copytree(HERE / "sentence-transformers", nested)
    inner = nested / "0_StaticEmbedding"
    inner.mkdir(exist_ok=True)
    for name in ("model.safetensors", "tokenizer.json"):
        if (nested / name).exists():
            (nested / name).rename(inner / name)
    modules = json.loads((nested / "modules.json").read_text())
    modules[0]["path"] = inner.name
    (nested / "modules.json").write_text(json.dumps(modules, indent=2))
    transformer = SentenceTransformer(str(nested), device="cpu")
    write("sentence-transformers-nested", transformer, transformer.encode(TEXTS))


if __name__ == "__main__":
    main()
