"""Model folders of each kind, their cards, and the code in them."""

from __future__ import annotations

import json
import runpy
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt

from conftest import GOLDEN, make_model
from m2v_core import Config, Layer, MLPHead, StaticModel, StaticModelPipeline, quantize_model
from m2v_core.results import save_results
from m2v_core.sentence_transformers import save_sentence_transformers
from m2v_hub.staging import load, parsed_variants

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])

CONFIG = Config(
    normalize=True,
    base_model="org/teacher",
    language=("en", "de"),
    license="apache-2.0",
    pooling="mean",
    apply_pca=8,
    sif_coefficient=1e-4,
    distillation="composed",
    base_model_revision="0123456789abcdef0123456789abcdef01234567",
    distillation_settings={"rounds": 6, "seed": 0, "precision": "float32", "token_remove_pattern": None},
    package_versions={"m2v-distill": "0.1.0", "jax": "0.9.0"},
)
RESULTS = [
    {"metric": "accuracy", "value": 0.9375, "dataset": "mteb/banking77", "split": "test"},
    {"metric": "spearman_cosine", "value": 0.78125, "dataset": "mteb/stsbenchmark-sts", "task": "sentence-similarity"},
]


def model_of(config: Config, *, zero_unk: bool = True) -> StaticModel:
    """A model with this config; with a zero row for the unknown token sentence-transformers agrees with it."""
    model = make_model(config=config)
    table = model.embedding.copy()
    if zero_unk:
        table[model.unk_token_id] = 0
    return StaticModel(table, model.stored.tokenizer_json, config)


def add_head(
    folder: Path, widths: tuple[int, ...] = (8, 5, 3), activation: str = "softmax", classes: object = ("a", "b", "c")
) -> None:
    """Make a model a pipeline, with a head of random layers."""
    random = np.random.default_rng(0)
    layers = [Layer(random.normal(size=(out, width)), random.normal(size=out)) for width, out in pairwise(widths)]
    StaticModelPipeline(StaticModel.from_pretrained(folder), MLPHead(layers, activation, classes)).save_pretrained(
        folder
    )


def set_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def write_case(case: str, folder: Path) -> dict[str, Any]:
    """A folder of some kind; returns options for its card."""
    if case == "variants" or case.startswith("style-"):
        return write_variants(folder) if case == "variants" else write_styled(case, folder)
    match case:
        case "token":
            model_of(replace(CONFIG, distillation="token")).save_pretrained(folder)
            return {"license": "cc-by-4.0", "language": "fr"}
        case "composed":
            model_of(CONFIG).save_pretrained(folder)
            return {"metrics": RESULTS}
        case "corpus":
            model_of(replace(CONFIG, distillation="corpus")).save_pretrained(folder)
            return {"datasets": ["org/texts", "org/more"]}
        case "unknown":
            model_of(Config(max_length=None), zero_unk=False).save_pretrained(folder)
            return {}
        case "clusters":
            quantize_model(model_of(CONFIG), vocabulary_quantization=12, quantize_to="int8").save_pretrained(folder)
            return {}
        case "classes":
            model_of(CONFIG).save_pretrained(folder)
            add_head(folder)
            return {"metrics": RESULTS[0]}
        case "labels":
            model_of(CONFIG).save_pretrained(folder)
            add_head(folder, activation="sigmoid", classes=(1, 2, 3))
            return {}
        case "numbers":
            model_of(CONFIG).save_pretrained(folder)
            add_head(folder, (8, 2), activation="identity", classes=None)
            return {}
        case "onnx-vectors" | "onnx-probabilities":
            shutil.copytree(GOLDEN / "onnx" / case.removeprefix("onnx-"), folder)
            return {"metrics": RESULTS[:1]} if case == "onnx-vectors" else {}
        case "sentence-transformers":
            shutil.copytree(GOLDEN / "students" / "sentence-transformers-normalized", folder)
            return {}
        case "with-onnx":
            shutil.copytree(GOLDEN / "students" / "model2vec", folder)
            (folder / "onnx").mkdir()
            shutil.copy(GOLDEN / "onnx/vectors/model.onnx", folder / "onnx")
            shutil.copy(GOLDEN / "onnx/vectors/tokenizer_config.json", folder)
            return {}
    raise KeyError(case)


def write_variants(folder: Path) -> dict[str, Any]:
    """A model with two smaller ones in subfolders, and results that a command left."""
    model_of(replace(CONFIG, license=None)).save_pretrained(folder)
    for name in ("4d", "int8"):
        load(folder, **parsed_variants([name])[name]).save_pretrained(folder / name)
    own = [
        {"metric": "mse", "value": 0.25, "dataset": "own.csv", "split": "validation"},
        RESULTS[0] | {"value": 0},
    ]
    save_results(folder, own, speed={"texts_per_second": 123456, "machine": "a processor", "dataset": "own.csv"})
    return {"license": "mit", "metrics": RESULTS[0], "datasets": ["org/texts"]}


def write_styled(case: str, folder: Path) -> dict[str, Any]:
    """A folder that sentence-transformers loads: a plain save, and the two exports."""
    if case == "style-plain":
        model_of(CONFIG).save_pretrained(folder)
        return {"style": "sentence-transformers", "metrics": RESULTS}
    if case == "style-export":
        model = quantize_model(model_of(replace(CONFIG, max_length=None)), quantize_to="int8")
        model.prompts, model.similarity_fn_name = {"query": "good "}, "dot"
        save_sentence_transformers(model, folder)
        return {"style": "sentence-transformers", "license": "mit"}
    model = quantize_model(model_of(CONFIG), vocabulary_quantization=12, quantize_to="float16")
    save_sentence_transformers(model, folder, compact=True)
    return {"style": "sentence-transformers"}


CASES = (
    "token",
    "composed",
    "corpus",
    "unknown",
    "clusters",
    "classes",
    "labels",
    "numbers",
    "onnx-vectors",
    "onnx-probabilities",
    "sentence-transformers",
    "style-plain",
    "style-export",
    "style-compact",
    "with-onnx",
    "variants",
)


def blocks(card: str) -> list[tuple[str, str]]:
    """Language and code of each fence in a card."""
    return [(token.info, token.content) for token in MARKDOWN.parse(card) if token.type in ("fence", "code_block")]


def run_python(code: str, folder: Path) -> dict[str, Any]:
    """Run a block of a card; returns its variables."""
    script = folder / "block.py"
    script.write_text(code, encoding="utf-8")
    return runpy.run_path(str(script))
