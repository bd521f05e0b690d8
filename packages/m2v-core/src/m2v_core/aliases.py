"""Keywords of model2vec and sentence-transformers that are accepted as other names of our own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar

from m2v_core.checks import unexpected_keyword
from m2v_core.errors import InvalidInputError

P = ParamSpec("P")
R = TypeVar("R")

#: Name in another library -> our name. It is accepted by functions that have our keyword and not the other one.
ALIASES = {"normalize_embeddings": "normalize", "show_progressbar": "show_progress_bar", "model_name": "path"}

#: Keywords of functions that return arrays -> the only value that is accepted.
ARRAYS = {"convert_to_numpy": True, "convert_to_tensor": False}


def aliased(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that it also accepts the `ALIASES` of its keywords.

    Raises:
        TypeError: A keyword is given by both of its names, or is unknown; the error then names the nearest one.

    Example:
        >>> @aliased
        ... def example_call(*, normalize=False):
        ...     return normalize
        >>> example_call(normalize_embeddings=True)
        True
    """
    return _taking(function, {})


def aliased_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that returns arrays as `aliased` does, and accept `ARRAYS` too.

    Raises:
        InvalidInputError: A keyword of `ARRAYS` has another value.
    """
    return _taking(function, ARRAYS)


def renamed(keywords: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Keywords by our names, where those are `known`.

    Raises:
        TypeError: A keyword is given by both of its names.

    Example:
        >>> renamed({"show_progressbar": True, "other": 1}, {"show_progress_bar"})
        {'show_progress_bar': True, 'other': 1}
    """
    ours: dict[str, Any] = {}
    for name, value in keywords.items():
        target = ALIASES.get(name, name)
        if name in known or target not in known:
            target = name
        elif target in keywords:
            raise TypeError(f"{target}= and {name}= mean the same: expected one of them, found both.")
        ours[target] = value
    return ours


def _taking(function: Callable[P, R], fixed: Mapping[str, bool]) -> Callable[P, R]:
    @functools.cache
    def keywords_of() -> tuple[frozenset[str], bool]:
        """The names of the parameters, and whether any other keyword is taken; found when a call first asks for it."""
        parameters = inspect.signature(function).parameters
        return frozenset(parameters), any(each.kind is each.VAR_KEYWORD for each in parameters.values())

    @functools.wraps(function)
    def taking(*args: P.args, **keywords: P.kwargs) -> R:
        if not keywords:
            return function(*args, **keywords)
        known, open_ended = keywords_of()
        if known.issuperset(keywords):
            return function(*args, **keywords)
        left = dict(keywords)
        for name, right in fixed.items():
            if name in left and left.pop(name) is not right:
                raise InvalidInputError(
                    f"{name} should be {right}, as vectors are NumPy arrays; found {keywords[name]!r}. For a tensor "
                    f"pass them on: torch.from_numpy(model.encode(texts))."
                )
        options = renamed(left, known)
        for name in options:
            if name not in known and not open_ended:
                raise unexpected_keyword(function.__qualname__, name, inspect.signature(function).parameters)
        return function(*args, **options)

    return taking
