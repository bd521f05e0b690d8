"""What a tiny runtime image does: load a model with m2v-core alone, and embed text.

It brings its own model, one that model2vec saved for the tests.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from m2v_core import StaticModel

MODEL = Path(__file__).parents[1] / "tests" / "golden" / "students" / "model2vec"

model = StaticModel.from_pretrained(MODEL)
vectors = model.encode(["good day", "bad, sunny days!", ""])
print(model, vectors.shape, vectors.dtype)
np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0], atol=1e-6)
heavy = {"jax", "flax", "huggingface_hub", "transformers", "sklearn", "torch"} & set(sys.modules)
if heavy:
    raise SystemExit(f"m2v-core should load none of these: {', '.join(sorted(heavy))}")
