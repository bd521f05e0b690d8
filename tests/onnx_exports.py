"""What tests of ONNX exports share: awkward and plain texts, models of each kind, and an export run by hand."""

from __future__ import annotations

import csv
import json
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from conftest import make_model
from m2v_core import Layer, MLPHead, StaticModel, StaticModelPipeline, quantize_model
from m2v_core.tokenize import backend

LANGUAGES = ("en", "de", "fr", "ja", "ru", "zh")

#: No tokens at all, none that is known, and what tokenizers treat in ways of their own.
AWKWARD = (
    "",
    " ",
    "\n\t",
    "🙂",
    "👩‍👩‍👧‍👦 🇪🇺 ✨good✨ day",
    "[UNK]",
    "[CLS] good day [SEP] [PAD]",
    "<unk> good <pad> day </s>",
    "<|m2v:filler|>",
    "xyzzy " * 40 + "good day",
    "good day " * 700,
    "good ✨ " * 700,
    "Good DAY!!! 3.14",
    "naïve café Straße",
    "日本語 のテキスト",
    "ёжик в тумане",
    "한국어 good",
    "a" * 300,
)


def texts_of(folder: Path, n: int = 300) -> list[str]:
    """Awkward texts, and as many of each language as make n."""
    each = -(-(n - len(AWKWARD)) // len(LANGUAGES))
    found = list(AWKWARD)
    for language in LANGUAGES:
        with (folder / f"stsb-{language}-dev.csv").open(encoding="utf-8", newline="") as file:
            found += [row[0] for row in islice(csv.reader(file), each)]
    return found[:n]


#: What a model's table may be like.
VARIANTS = ("float32", "float16", "float64", "int8", "weights", "clusters")


def variant(model: StaticModel, name: str) -> StaticModel:
    """A model in another dtype, with weights, or with weights and clusters."""
    if name not in ("weights", "clusters"):
        return quantize_model(model, quantize_to=name)
    weights = np.random.default_rng(1).uniform(0.1, 2, model.n_tokens)
    weighted = StaticModel(model.embedding, model.stored.tokenizer_json, model.config, weights=weights)
    if name == "weights":
        return weighted
    return quantize_model(weighted, vocabulary_quantization=max(model.n_tokens // 2, 2))


def pipeline(
    activation: str = "softmax", classes: Any = ("a", "b", "c"), widths: tuple[int, ...] = (8, 5, 3), **options: Any
) -> StaticModelPipeline:
    """A pipeline with random layers."""
    random = np.random.default_rng(0)
    layers = [
        Layer(random.normal(size=(out, width)).astype(np.float32), random.normal(size=out).astype(np.float32))
        for width, out in pairwise(widths)
    ]
    return StaticModelPipeline(make_model(normalize=True, **options), MLPHead(layers, activation, classes))


def padded(folder: Path, texts: list[str]) -> dict[str, np.ndarray]:
    """Inputs of texts by the tokenizer of an export, truncated and padded as its settings say."""
    tokenizer = backend.Backend((folder / "tokenizer.json").read_text(encoding="utf-8"), "tokenizer.json").tokenizer
    limit = json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"]
    pad = json.loads((folder / "config.json").read_text())["pad_token_id"]
    whole = {"padding": None, "truncation": None} if backend.IS_IMMUTABLE else {}
    rows = [list(encoding.ids)[:limit] for encoding in tokenizer.encode_batch(texts, **whole)]
    longest = max(map(len, rows), default=0)
    ids = np.array([row + [pad] * (longest - len(row)) for row in rows], np.int64).reshape(len(texts), longest)
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], np.int64).reshape(ids.shape)
    return {"input_ids": ids, "attention_mask": mask}


def run(folder: Path, texts: list[str], batch: int = 32) -> dict[str, np.ndarray]:
    """The outputs for texts, by onnxruntime; of tokens, their mean over the mask, as other programs compute it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "onnx/model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, len(texts), batch):
        inputs = padded(folder, texts[start : start + batch])
        for name, value in zip(names, session.run(names, inputs), strict=True):
            if name == "token_embeddings":
                mask = inputs["attention_mask"][..., None]
                value = (value * mask).sum(axis=1) / mask.sum(axis=1)  # noqa: PLW2901
            found[name].append(value)
    return {name: np.concatenate(values) for name, values in found.items()}
