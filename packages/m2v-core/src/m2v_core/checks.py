"""Checks of single values, with one wording: what the value should be, and what was found."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from m2v_core.errors import InvalidInputError

T = TypeVar("T")

#: Larger numbers are not shown: Python refuses to write them from 4,300 digits on.
_BITS = 1000


def whole(name: str, value: object, least: int = 0, most: int | None = None, *, or_none: bool = False) -> None:
    """Raise `InvalidInputError` unless the value is a whole number from `least` to `most`; a bool is not accepted.

    Example:
        >>> whole("batch_size", 0, 1)
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: batch_size should be a whole number, 1 or more; found 0.
    """
    if value is None and or_none:
        return
    if type(value) is not int or value < least or (most is not None and value > most):
        size = f"{least} or more" if most is None else f"from {least} to {most}"
        raise _wrong(name, f"a whole number, {size}" + (", or None" if or_none else ""), value)


def number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    or_none: bool = False,
) -> None:
    """Raise `InvalidInputError` unless the value is a finite int or float between the bounds; a bool is not accepted.

    Example:
        >>> number("threshold", 2, least=0, most=1)
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: threshold should be a number, 0 or more, at most 1; found 2.
    """
    if value is None and or_none:
        return
    fits = isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    if not (fits and above < value < below and least <= value <= most):  # type: ignore[operator] # a number by now
        bounds = ((least, "{} or more"), (above, "above {}"), (most, "at most {}"), (below, "below {}"))
        said = [text.format(bound) for bound, text in bounds if math.isfinite(bound)]
        raise _wrong(name, ", ".join(["a number", *said]) + (", or None" if or_none else ""), value)


def one_of(name: str, value: T, choices: Iterable[object], *, or_none: bool = False) -> None:
    """Raise `InvalidInputError`, with the nearest choice, unless the value is one of the choices.

    Example:
        >>> one_of("method", "tokn", ("composed", "token"))
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: method should be one of composed, token; found 'tokn'. Did you mean 'token'?
    """
    known = list(choices)
    if (_is_hashable(value) and value in known) or (value is None and or_none):
        return
    hint = did_you_mean(value, known)
    names = ", ".join(map(str, known)) + (", or None" if or_none else "")
    raise InvalidInputError(f"{name} should be one of {names}; found {shown(value)}.{hint}")


def flag(name: str, value: object, *, or_none: bool = False) -> None:
    """Raise `InvalidInputError` unless the value is True or False.

    Example:
        >>> flag("normalize", True)
    """
    fits = isinstance(value, bool) or (value is None and or_none)
    expect(fits, name, "True, False or None" if or_none else "True or False", value)


def truth(name: str, value: object) -> bool:
    """Whether a value counts as true; an array has no truth.

    Raises:
        InvalidInputError: It has none.

    Example:
        >>> truth("normalize", 1)
        True
    """
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 - whatever an object of another library raises
        raise _wrong(name, "True or False", value) from None


def iterable(name: str, value: Iterable[T]) -> Iterable[T]:
    """The value itself, if one can iterate over it.

    Raises:
        InvalidInputError: One cannot.

    Example:
        >>> iterable("ids", [1])
        [1]
    """
    try:
        iter(value)
    except TypeError:
        raise _wrong(name, "a list or another iterable", value) from None
    return value


def path(name: str, value: Any) -> Path:
    r"""The path of a file or a folder.

    Raises:
        InvalidInputError: The value is no path, or holds what no path holds.

    Example:
        >>> path("folder", "a\0b")
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: folder should be a path; found 'a\x00b'.
    """
    try:
        found = Path(value)
        if b"\0" in os.fsencode(found):
            raise ValueError
    except (TypeError, ValueError):  # UnicodeEncodeError is one
        raise _wrong(name, "a path", value) from None
    return found


def shown(value: object) -> str:
    """A value as errors show it: as Python writes it, but short, and also if Python refuses.

    Example:
        >>> shown("a"), shown(10**5000)
        ("'a'", 'a whole number of 16610 bits')
    """
    if isinstance(value, int) and value.bit_length() > _BITS:
        return f"a whole number of {value.bit_length()} bits"
    try:
        return f"{value!r:.200}"
    except Exception:  # noqa: BLE001 - whatever the object of a stranger raises
        return type(value).__name__


def expect(holds: bool, name: str, expected: str, value: object) -> None:
    """Raise `InvalidInputError`, with the expected and the found value, unless a condition holds.

    Example:
        >>> expect(1 < 2, "rounds", "more than one", 1)
    """
    if not holds:
        raise _wrong(name, expected, value)


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """A sentence that names the known name nearest to an unknown one; an empty text if none is near.

    Example:
        >>> did_you_mean("pca_dim", ["pca_dims", "seed"])
        " Did you mean 'pca_dims'?"
    """
    import difflib  # errors alone need it

    near = difflib.get_close_matches(shown(name).strip("'"), map(str, known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def unexpected_keyword(function: str, name: str, known: Iterable[str]) -> TypeError:
    """The error of a keyword that a function does not take; it names the nearest that it takes, or all.

    Example:
        >>> unexpected_keyword("distill", "pca_dim", ["pca_dims", "seed"])
        TypeError("distill() got an unexpected keyword argument 'pca_dim'. Did you mean 'pca_dims'?")
        >>> unexpected_keyword("distill", "zebra", ["pca_dims", "seed"])
        TypeError("distill() got an unexpected keyword argument 'zebra'. Known ones: pca_dims, seed.")
    """
    names = [each for each in known if each not in ("self", "cls")]
    hint = did_you_mean(name, names) or f" Known ones: {', '.join(names)}."
    return TypeError(f"{function}() got an unexpected keyword argument {name!r}.{hint}")


def lone_surrogate(text: str) -> int | None:
    r"""Position of the first lone surrogate of a text, which no encoding can spell; `None` if there is none.

    Example:
        >>> lone_surrogate("good \ud83d day")
        5
    """
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def _is_hashable(value: object) -> bool:
    """Whether a value may be compared with names: an array has no truth."""
    return isinstance(value, Hashable)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int beyond the range of float
        return False


def _wrong(name: str, expected: str, value: object) -> InvalidInputError:
    return InvalidInputError(f"{name} should be {expected}; found {shown(value)}.")
