"""A card's metadata: what the Hub shows, filters and links by."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from numbers import Real
from typing import Any

from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

from m2v_core.errors import InvalidInputError
from m2v_hub.card.facts import Facts
from m2v_hub.card.render import plain

#: What the Hub takes for a licence; the known ones are all of this form.
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True, kw_only=True)
class Result:
    """A measured result.

    Attributes:
        metric: What was measured, as the Hub calls it: "accuracy", "spearman_cosine".
        value: A finite number.
        dataset: What it was measured on: the Hub id of a data set, or a name.
        task: The Hub's name of the task; default: that of the model.
        config: Which part of the data set.
        split: Which split of it.
        revision: Which commit of it.

    Example:
        >>> Result(metric="accuracy", value=0.93, dataset="mteb/banking77", split="test").value
        0.93
    """

    metric: str
    value: float
    dataset: str
    task: str | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            text = getattr(self, field.name)
            if field.name != "value" and (text is not None or field.default is MISSING):
                named(f"{field.name} of a result", text)
        if type(self.value) is bool or not isinstance(self.value, Real | int) or not math.isfinite(self.value):
            raise InvalidInputError(f"The value of a result should be a finite number; found {self.value!r}.")
        if type(self.value) is not int:  # a number of numpy, say
            object.__setattr__(self, "value", float(self.value))


#: One result, or several; a mapping holds the fields of one, so that JSON will do.
Results = Result | Mapping[str, Any] | Iterable[Result | Mapping[str, Any]]


def as_results(metrics: Results | None) -> tuple[Result, ...]:
    """Results out of what a caller gave.

    Raises:
        InvalidInputError: One of them is no result.
    """
    listed = [metrics] if isinstance(metrics, Result | Mapping) else () if metrics is None else metrics
    results = []
    for item in listed:
        if isinstance(item, Mapping):
            try:
                item = Result(**item)  # noqa: PLW2901 # the same result, in another form
            except TypeError as error:
                known = ", ".join(field.name for field in fields(Result))
                raise InvalidInputError(f"A result has {known}, the first three always; found {error}.") from None
        if not isinstance(item, Result):
            raise InvalidInputError(f"metrics should be results (see m2v_hub.card.card.Result); found {item!r}.")
        results.append(item)
    return tuple(results)


def named(what: str, value: object) -> str:
    """`value`, if it is text of one line.

    Raises:
        InvalidInputError: It is none.
    """
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidInputError(f"{what} should be one line of text; found {value!r}.")
    return value


def names(what: str, values: str | Sequence[str] | None) -> tuple[str, ...]:
    """A name or several, as a tuple.

    Raises:
        InvalidInputError: One of them is none.
    """
    listed = [values] if isinstance(values, str) else () if values is None else values
    return tuple(named(what, value) for value in listed)


def pipeline_tag(facts: Facts) -> str | None:
    """The Hub's name for what a model does; `None` where it has none: a head that gives numbers."""
    if facts.head is not None:
        return None if facts.head.task == "numbers" else "text-classification"
    if facts.kind == "onnx" and facts.onnx is not None and facts.onnx.gives != "vectors":
        return "text-classification" if facts.onnx.gives == "probabilities" else None
    return "sentence-similarity" if facts.sentence_transformers else "feature-extraction"


def metadata_of(facts: Facts, results: Sequence[Result]) -> dict[str, Any]:
    """A card's metadata as plain values; what is not known is left out, the licence too.

    The Hub's `base_model_relation` is adapter, merge, quantized or finetune. A distillation is none of them.
    """
    task = pipeline_tag(facts)
    library = "model2vec" if facts.ours else "transformers.js" if facts.kind == "onnx" else "sentence-transformers"
    tags = ["m2v", library, "static-embeddings", "embeddings"]
    tags += ["sentence-transformers"] * facts.sentence_transformers
    tags += ["onnx", "transformers.js"] * (facts.onnx is not None)
    data: dict[str, Any] = {
        "language": [plain(code) for code in facts.language],
        **_license(facts.license),
        "library_name": library,
        "pipeline_tag": task,
        "tags": list(dict.fromkeys(tags)),
        "base_model": facts.base_model_id,
        "datasets": list(facts.datasets),
        "metrics": list(dict.fromkeys(result.metric for result in results)),
    }
    if results:
        data["model-index"] = eval_results_to_model_index(
            facts.name.rsplit("/", 1)[-1],
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
    """A licence by the Hub's identifier, which is lower case; any other as "other", with its name."""
    if license is None:
        return {}
    known = license.lower()
    if LICENSE.fullmatch(known):
        return {"license": known}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.+-]+", "-", known).strip("-") or "unnamed"}
