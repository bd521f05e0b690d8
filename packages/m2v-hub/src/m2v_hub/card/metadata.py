"""The metadata of a card, by which the Hub displays, filters and links a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

from m2v_hub.card.info import ModelInfo
from m2v_hub.card.options import Result
from m2v_hub.card.render import plain

#: Form of the Hub's licence identifiers.
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def pipeline_tag(info: ModelInfo) -> str | None:
    """The Hub's name for the task of a model; `None` for a head that predicts numbers, which has none."""
    if info.head is not None:
        return None if info.head.task == "numbers" else "text-classification"
    if info.kind == "onnx" and info.onnx is not None and info.onnx.gives != "vectors":
        return "text-classification" if info.onnx.gives == "probabilities" else None
    return "sentence-similarity" if info.sentence_transformers else "feature-extraction"


def metadata_of(info: ModelInfo, results: Sequence[Result], style: str = "m2v") -> dict[str, Any]:
    """The metadata of a card as plain values; unknown keys are omitted, also the licence.

    The style decides which library the Hub shows. The Hub's `base_model_relation` is adapter, merge, quantized or
    finetune. A distillation is none of them.
    """
    task = pipeline_tag(info)
    library = "model2vec" if info.ours else "transformers.js" if info.kind == "onnx" else "sentence-transformers"
    if style == "sentence-transformers":
        library, kinds = style, [style, "feature-extraction", "sentence-similarity", *["model2vec"] * info.ours]
    else:
        kinds = [library]
    tags = ["m2v", *kinds, "static-embeddings", "embeddings"]
    tags += ["sentence-transformers"] * info.sentence_transformers
    tags += ["onnx", "transformers.js"] * (info.onnx is not None)
    data: dict[str, Any] = {
        "language": [plain(code) for code in info.config.language or ()],
        **_license(info.config.license),
        "library_name": library,
        "pipeline_tag": task,
        "tags": list(dict.fromkeys(tags)),
        "base_model": info.config.base_model,
        "datasets": list(info.datasets),
        "metrics": list(dict.fromkeys(result.metric for result in results)),
    }
    if results:
        data["model-index"] = eval_results_to_model_index(
            info.name.rsplit("/", 1)[-1],
            [
                EvalResult(
                    task_type=result.task or task or "feature-extraction",
                    dataset_type=result.dataset,
                    dataset_name=result.dataset,
                    dataset_config=result.config,
                    dataset_split=result.split,
                    dataset_revision=result.revision,
                    metric_type=result.metric,
                    metric_value=result.value,
                )
                for result in results
            ],
        )
    return {key: value for key, value in data.items() if value not in (None, [])}


def _license(license: str | None) -> dict[str, str]:
    """A licence by the Hub's identifier, which is lower case; any other licence as "other", with its name."""
    if license is None:
        return {}
    identifier = license.lower()
    if LICENSE.fullmatch(identifier):
        return {"license": identifier}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.+-]+", "-", identifier).strip("-") or "unnamed"}
