"""Processes that are forked while other threads work: what they must not inherit.

A child has the thread that forked, and the locks of all others as they were. A lock that another thread held stays
locked for ever, and what it guards may be half changed. (gunicorn's `preload_app` and, on Linux before Python 3.14,
`multiprocessing` fork by default.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, overload
from weakref import WeakSet

T = TypeVar("T")


class Forked(Protocol):
    """What has locks."""

    def after_fork(self) -> None:
        """In a child: replace each lock that is held, and what it guards."""


_forked: WeakSet[Forked] = WeakSet()
_process = os.getpid()


def renew_in_forks(thing: Forked) -> None:
    """Let `after_fork` of an object be called in each process that is forked from this one."""
    _forked.add(thing)


def is_held(lock: Any) -> bool:
    """Whether a lock is held, in a process whose only thread does not hold it.

    `lock.locked()` does not know of a thread that had the lock but not yet the interpreter.
    """
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False


def is_fork() -> bool:
    """Whether this process was forked from one that had this module, and so lacks the threads which that one had."""
    return os.getpid() != _process


def _after_fork() -> None:
    for thing in list(_forked):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class cached(Generic[T]):  # noqa: N801 - a decorator
    """`functools.cached_property` without its lock, which Python has until 3.12: two threads may compute a value twice.

    Example:
        >>> class Text:
        ...     @cached
        ...     def words(self):
        ...         print("split")
        ...         return "good day".split()
        >>> text = Text()
        >>> text.words, text.words
        split
        (['good', 'day'], ['good', 'day'])
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, thing: None, owner: type) -> cached[T]: ...

    @overload
    def __get__(self, thing: object, owner: type) -> T: ...

    def __get__(self, thing: object | None, owner: type) -> cached[T] | T:
        if thing is None:
            return self
        value = vars(thing)[self._name] = self._compute(thing)
        return value
