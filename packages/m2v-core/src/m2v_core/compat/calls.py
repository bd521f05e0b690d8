"""Functions of ours that are called as those of model2vec are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from m2v_core.aliases import ALIASES, ARRAYS

R = TypeVar("R")

_dropped: set[tuple[str, str]] = set()  # what has been warned of


def tolerant(function: Callable[..., R]) -> Callable[..., R]:
    """A function that drops the keywords that it does not know, with one warning for each, instead of refusing them.

    Example:
        >>> def example_call(texts, *, batch_size=1):
        ...     return batch_size
        >>> tolerant(example_call)([], batch_size=2, prompt_name="query")
        2
    """

    @functools.wraps(function)
    def dropping(*args: Any, **keywords: Any) -> R:
        return function(*args, **_known(function, keywords) if keywords else {})

    return dropping


def positional(function: Callable[..., R]) -> Callable[..., R]:
    """A function whose keyword-only parameters may also be given by position, in their order.

    Example:
        >>> def example_call(texts, *, batch_size=1):
        ...     return batch_size
        >>> positional(example_call)([], 2)
        2
    """
    return ordered(function, *_parameters(function))


def ordered(function: Callable[..., R], *names: str) -> Callable[..., R]:
    """A function that takes these parameters by position or by name, and any other of its own by name.

    Example:
        >>> def example_call(texts, *, batch_size=1, threads=0):
        ...     return batch_size, threads
        >>> ordered(example_call, "texts", "threads", "batch_size")([], 2)
        (1, 2)
    """

    @functools.wraps(function)
    def naming(*args: Any, **keywords: Any) -> R:
        if len(args) > len(names):
            raise TypeError(f"{function.__name__}() takes {len(names)} positional arguments; found {len(args)}.")
        given = dict(zip(names, args, strict=False))
        twice = given.keys() & keywords.keys()
        if twice:
            raise TypeError(f"{function.__name__}() got more than one value for {', '.join(sorted(twice))}.")
        first = [given.pop(names[0])] if args else []  # it may be positional-only, like self
        return function(*first, **given, **keywords)

    return naming


def _known(function: Callable[..., Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that a function takes by their own or another name; a warning for each other one."""
    known = {*_parameters(function), *ALIASES, *(name for name, value in ARRAYS.items() if keywords.get(name) is value)}
    for name in keywords.keys() - known:
        if (function.__qualname__, name) not in _dropped:
            import logging  # few need it

            _dropped.add((function.__qualname__, name))
            logging.getLogger("m2v_core").warning("%s ignores %s=, as model2vec does", function.__qualname__, name)
    return {name: value for name, value in keywords.items() if name in known}


@functools.cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)
