"""Embed texts by a library of another environment: `encode_peer.py LIBRARY MODEL TEXTS.json VECTORS.npy`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from peers import loader

if __name__ == "__main__":
    library, model, texts, vectors = sys.argv[1:]
    found = loader(library)(model).encode(json.loads(Path(texts).read_text(encoding="utf-8")))
    np.save(vectors, np.asarray(found, np.float32))
