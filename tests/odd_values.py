"""Odd values for options: each is taken, or refused by an error of ours or an `OSError`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from m2v_core import M2VError

#: Values that some option takes, and that others must refuse.
ODD: dict[str, Any] = {
    "none": None,
    "a flag": True,
    "minus one": -1,
    "zero": 0,
    "three": 3,
    "2**40": 2**40,
    "2**70": 2**70,
    "5,000 digits": 10**5000,
    "a fraction": 1.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "an empty text": "",
    "a text": "x",
    "5,000 letters": "x" * 5000,
    "a zero character": "a\0b",
    "a lone surrogate": "a\ud800",
    "bytes": b"ab",
    "a list": [],
    "ragged lists": [[1, 2], [3]],
    "a mapping": {},
    "an object": object(),
    "an array": np.zeros((2, 3)),
    "an array of objects": np.array([None, 1], object),
    "a complex number": 1j,
    "a dtype": np.dtype("V3"),
    "a set": {1},
    "a number of numpy": np.int64(1),
    "a flag of numpy": np.bool_(True),
    "a text of numpy": np.str_("a"),
    "no time": np.datetime64("NaT", "s"),
    "a path outside": "../..",
    "a tuple": ("a", 1),
}

#: Options that are not tried: clusters need scikit-learn and seconds.
LEFT_OUT = {"self", "vocabulary_quantization"}


def options(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(function).parameters.values()
    return [option.name for option in found if option.kind not in kinds and option.name not in LEFT_OUT]


def outcomes(name: str, call: Callable[..., Any], function: Callable[..., Any]) -> tuple[int, int, list[str]]:
    """How many calls with one odd option were taken and refused, and those that raised another error.

    Args:
        name: Name of the function.
        call: A call that works.
        function: The function whose options it takes.
    """
    taken, refused, wrong = 0, 0, []
    for option in options(function):
        for kind, value in ODD.items():
            try:
                result = call(**{option: value})
                taken += 1 if not isinstance(result, Iterator) else len(list(result)) >= 0
            except (M2VError, OSError):
                refused += 1
            except Exception as error:
                wrong.append(f"{name}({option}={kind}): {error!r:.100}")
    return taken, refused, wrong


def taking(option: str) -> Callable[..., Any]:
    """A function with one option, for `outcomes` of a function that has too many."""
    namespace: dict[str, Any] = {}
    exec(f"def function({option}=None): ...", namespace)  # noqa: S102
    return namespace["function"]
