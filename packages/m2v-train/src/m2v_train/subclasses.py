"""What a subclass of an estimator may bring: an `__init__` of its own, but none of model2vec's PyTorch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import update_wrapper
from typing import Any

from m2v_core.errors import InvalidInputError

_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

_MEAN = "A text's vector is the mean of its tokens' vectors. Set normalize, max_length and token_dropout."
_TABLE = "The table is that of the model. Set freeze and freeze_weights, or change the StaticModel to start from."
_CHOICE = "The best state is chosen by accuracy where there are classes, and by loss elsewhere."
#: What model2vec's estimators are extended by, and what there is instead.
_OVERRIDES = {
    "construct_head": "A head is linear layers with ReLU between them. Set n_layers and hidden_dim; or train another "
    "kind of head, with whichever library, on the vectors of to_static_model().encode(texts).",
    "construct_embeddings": _TABLE,
    "construct_weights": _TABLE,
    "_encode": _MEAN,
    "forward": _MEAN,
    "_create_datasets": "Pass validation data to fit, or set test_size.",
    "_to_targets": "Prepare the targets before fit, or override fit and call super().fit.",
    "val_metric": _CHOICE,
    "early_stopping_direction": _CHOICE,
}


def check_overrides(cls: type) -> None:
    """Raise `InvalidInputError` if a class overrides what would be of no account here."""
    for name, remedy in _OVERRIDES.items():
        if hasattr(cls, name):
            raise InvalidInputError(
                f"{cls.__name__} should not define {name}: model2vec's PyTorch modules are extended by it, but nothing "
                f"here asks for it. {remedy}"
            )


def give_signature(cls: Any, base: Any) -> None:
    """Give a subclass of `base` an `__init__` whose signature names all options: scikit-learn reads them from there.

    It does what the class's own does, or else what the inherited one does.
    """
    own = cls.__dict__.get("__init__")

    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807
        if own is None:
            super(cls, self).__init__(*args, **options)
        else:
            own(self, *args, **options)

    cls._own_init = own
    if own is not None:
        update_wrapper(__init__, own)
    first, *others = _inits(cls, base)
    listed = {p.name: p for p in first if p.kind not in _ANY}
    for parameter in (p for part in others for p in part if p.kind not in _ANY):
        listed.setdefault(parameter.name, parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = inspect.Signature([self, *listed.values()])  # type: ignore[attr-defined]
    cls.__init__ = __init__


def names_to_pass(cls: Any, base: Any) -> list[str]:
    """The parameters that an `__init__` names itself, and those without a default that it hands on."""
    first, *others = _inits(cls, base)
    needed = [p for part in others for p in part if p.default is p.empty]
    return list(dict.fromkeys(p.name for p in (*first, *needed) if p.kind not in _ANY))


def _inits(cls: Any, base: Any) -> Iterator[list[inspect.Parameter]]:
    """The parameters, but for `self`, of each `__init__` from a class to `base`, while these hand on any others."""
    for owner in cls.__mro__:
        if owner is base:
            model = inspect.Parameter("model", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
            options = cls.config_class.defaults().items()
            yield [model, *(inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in options)]
            return
        init = owner.__dict__.get("_own_init", owner.__dict__.get("__init__"))
        if init is None:
            continue
        own = list(inspect.signature(init).parameters.values())[1:]
        yield own
        if not any(p.kind in _ANY for p in own):
            return
