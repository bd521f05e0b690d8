"""The options of a model card, and the measured results that it may report."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Any

from m2v_core.checks import iterable, one_of, path, shown
from m2v_core.errors import InvalidInputError
from m2v_core.options import known_options, option
from m2v_hub.names import is_repo_id

#: The manners of a card.
STYLES = ("m2v", "sentence-transformers")


@dataclass(frozen=True, kw_only=True)
class Result:
    """A measured result of a model, as the Hub lists it.

    `huggingface_hub.EvalResult` is what a card writes, but it requires a task and checks no value.

    Attributes:
        metric: Name of the metric on the Hub, such as "accuracy" or "spearman_cosine".
        value: A finite number.
        dataset: Hub id or name of the data set that was measured on.
        task: Name of the task on the Hub. Default: the model's.
        config: Configuration (subset) of the data set.
        split: Split of the data set.
        revision: Commit of the data set.

    Example:
        >>> from m2v_hub import Result
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
                one_line(f"{field.name} of a result", text)
        if type(self.value) is bool or not isinstance(self.value, Real | int) or not math.isfinite(self.value):
            raise InvalidInputError(f"The value of a result should be a finite number; found {shown(self.value)}.")
        if type(self.value) is not int:  # such as a number of numpy
            object.__setattr__(self, "value", float(self.value))


#: One result or several; a mapping holds the fields of one, as JSON does.
Results = Result | Mapping[str, Any] | Iterable[Result | Mapping[str, Any]]


def as_results(metrics: Results | None) -> tuple[Result, ...]:
    """Results from any accepted form.

    Raises:
        InvalidInputError: An item is not a result.
    """
    listed = (
        [metrics] if isinstance(metrics, Result | Mapping) else () if metrics is None else iterable("metrics", metrics)
    )
    results = []
    for item in listed:
        if isinstance(item, Mapping):
            known = [field.name for field in fields(Result)]
            try:
                item = Result(**known_options("Result", item, known))  # noqa: PLW2901 # the same result, in another form
            except TypeError as error:
                raise InvalidInputError(
                    f"A result has the fields {', '.join(known)}, and the first three are required; found this: {error}"
                ) from None
        if not isinstance(item, Result):
            raise InvalidInputError(f"metrics should be results (see m2v_hub.Result); found {shown(item)}.")
        results.append(item)
    return tuple(results)


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """Options of a model card, for what the model's folder does not know.

    Attributes:
        license: Licence, by its identifier on the Hub. Default: the teacher's.
        language: Language code, or several. Default: the teacher's.
        datasets: Hub ids of data sets that the model was fitted to or trained on.
        metrics: Measured results: `Result`, a mapping with its fields, or several of them.
        base_model: Hub id of the teacher. Default: the id in the model's config, if it holds one.
        style: Manner of the card: "m2v", or "sentence-transformers" for a model that SentenceTransformer loads.
        template: File with a jinja2 template for m2v's part of the text. Default: the one for this kind of model.

    Raises:
        InvalidInputError: A value is of the wrong kind.
    """

    license: str | None = option(None, "licence, by its identifier on the Hub (default: the teacher's)", metavar="ID")
    language: str | Sequence[str] | None = option(
        None, "language code; may be repeated (default: the teacher's)", metavar="CODE", repeat=True
    )
    datasets: str | Sequence[str] | None = option(
        None,
        "Hub id of a data set that the model was fitted to or trained on; may be repeated",
        flag="--dataset",
        metavar="ID",
        repeat=True,
    )
    metrics: Results | None = option(
        None, "measured results: a list of {metric, value, dataset, ...}", metavar="FILE.json", parse=Path
    )
    base_model: str | None = option(
        None, "Hub id of the teacher (default: the id in the model's config, if it holds one)", metavar="ID"
    )
    style: str = option(
        "m2v", "manner of the card: m2v (default), or sentence-transformers for a model that it loads", choices=STYLES
    )
    template: str | os.PathLike[str] | None = option(
        None, "jinja2 template of your own for the text", metavar="FILE", parse=Path
    )

    def __post_init__(self) -> None:
        one_of("style", self.style, STYLES)
        if self.license is not None:
            object.__setattr__(self, "license", one_line("license", self.license))
        if self.template is not None:
            path("template", self.template)
        if self.base_model is not None and not is_repo_id(one_line("base_model", self.base_model)):
            raise InvalidInputError(
                f"base_model should be the id of a model on the Hub, such as 'org/name'; found {self.base_model!r}."
            )
        if self.base_model is not None:
            object.__setattr__(self, "base_model", str(self.base_model))
        if self.language is not None:
            object.__setattr__(self, "language", names("language", self.language))
        object.__setattr__(self, "datasets", names("datasets", self.datasets))
        object.__setattr__(self, "metrics", as_results(self.metrics))


def one_line(what: str, value: object) -> str:
    """`value`, if it is a non-empty line of printable text.

    Raises:
        InvalidInputError: It is not; `what` names it in the message.
    """
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidInputError(f"{what} should be one line of text; found {shown(value)}.")
    return str(value)  # PyYAML writes no text of numpy


def names(what: str, values: str | Sequence[str] | None) -> tuple[str, ...]:
    """One name, several or none, as a tuple.

    Raises:
        InvalidInputError: An item is not one line of text; `what` names the option in the message.
    """
    listed = [values] if isinstance(values, str) else () if values is None else iterable(what, values)
    return tuple(one_line(what, value) for value in listed)
