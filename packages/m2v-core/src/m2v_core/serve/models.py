"""The models that a server has, by the names under which clients ask for them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from m2v_core.checks import did_you_mean
from m2v_core.errors import InvalidInputError
from m2v_core.head import MLPHead
from m2v_core.model import StaticModel
from m2v_core.pipeline import StaticModelPipeline
from m2v_core.serve.errors import RequestError, bad_request


@dataclass(frozen=True, eq=False)
class Served:
    """A model with its name.

    Attributes:
        name: Name in requests and answers.
        model: The model.
        head: Its trained head, if it has one.
        created: Seconds since 1970 at which it was loaded.
    """

    name: str
    model: StaticModel
    head: MLPHead | None = None
    created: int = field(default_factory=lambda: int(time.time()))


class Models:
    """The models of a server, in order; the first one is for requests that name none.

    Args:
        models: Models and pipelines by name.

    Raises:
        InvalidInputError: There are none, or a name is empty.

    Example:
        >>> models = Models({"small": tiny_model()})
        >>> models.named(None).name
        'small'
    """

    def __init__(self, models: Mapping[str, StaticModel | StaticModelPipeline]) -> None:
        if not models or not all(name.strip() for name in models):
            raise InvalidInputError(f"Expected one or more models, each with a name; found {list(models)}.")
        self.all = tuple(
            Served(name, model.model, model.head) if isinstance(model, StaticModelPipeline) else Served(name, model)
            for name, model in models.items()
        )

    def named(self, name: str | None) -> Served:
        """The model of a request.

        Raises:
            RequestError: There is no model of this name.
        """
        if name is None:
            return self.all[0]
        found = next((served for served in self.all if served.name == name), None)
        if found is None:
            names = [served.name for served in self.all]
            raise RequestError(
                HTTPStatus.NOT_FOUND,
                f"There is no model {name[:100]!r} here.{did_you_mean(name[:100], names)} Served are: "
                f"{', '.join(names)}.",
                param="model",
                code="model_not_found",
            )
        return found

    def pipeline(self, name: str | None) -> tuple[Served, MLPHead]:
        """The pipeline of a request, by default the first one.

        Raises:
            RequestError: There is no model of this name, or it has no trained head.
        """
        found = self.named(name)
        if name is None:
            found = next((served for served in self.all if served.head is not None), found)
        if found.head is None:
            raise bad_request(
                f"Predictions need a model with a trained head; {found.name!r} has none. Train one (m2v train), and "
                f"serve its folder.",
                param="model",
                code="no_head",
            )
        return found, found.head
