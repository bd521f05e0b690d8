"""The threads of numpy's BLAS, which computes products of matrices.

BLAS starts as many threads as there are CPUs that the process may be scheduled on. It knows no quota of a container,
and has one setting for the whole process. The library threadpoolctl changes the setting.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from m2v_core.extras import needs
from m2v_core.forking import is_held, renew_in_forks
from m2v_core.threads import available_cpus, thread_count

#: Threads that any BLAS has at the most, and a number that its functions take.
_MOST = 1024


@contextmanager
def blas_threads(threads: int | None) -> Iterator[None]:
    """Let products of matrices take this many threads, and restore the setting of before.

    Where several calls do so at the same time, each changes the setting for all, and the last to end restores it.

    Args:
        threads: A number of threads, or `None` for no more than the CPUs that the process could use when this was first
            called. Without threadpoolctl `None` changes nothing.

    Raises:
        InvalidInputError: `threads` is not a whole number of at least 1.
        MissingPackageError: threadpoolctl is not installed, which a number of threads needs.

    Example:
        >>> import numpy as np
        >>> with blas_threads(1):
        ...     np.ones((2, 3)) @ np.ones(3)
        array([3., 3.])
    """
    if threads is None and (threads := _usual()) is None:
        yield
        return
    count = min(thread_count(threads), _MOST)
    with needs("threadpoolctl"):
        library = _library()
    _limit.start(library, count)
    try:
        yield
    finally:
        _limit.end(library)


@cache
def _usual() -> int | None:
    """The number of threads for `threads=None`; `None` where BLAS starts no more than that by itself."""
    try:
        library = _library()
    except ModuleNotFoundError:
        return None
    count = available_cpus()
    return count if any(number > count for number in _numbers(library)) else None


@cache
def _library() -> Any:
    """The controller of the BLAS libraries that numpy has loaded."""
    import numpy as np  # noqa: F401 - which loads them
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _numbers(library: Any) -> list[int]:
    """The number of threads of each BLAS library."""
    return [one.num_threads for one in library.lib_controllers]


class _Limit:
    """The setting that calls change, and how many calls do so now."""

    def __init__(self) -> None:
        self._lock, self._calls = threading.Lock(), 0
        self._before: list[int] = []
        renew_in_forks(self)

    def after_fork(self) -> None:
        """The calls of other threads are not in this process; their setting is."""
        if is_held(self._lock):
            self._lock = threading.Lock()
        if self._calls and _library.cache_info().currsize:
            _set(_library(), self._before)
        self._calls = 0

    def start(self, library: Any, count: int) -> None:
        """Change the setting."""
        with self._lock:
            if self._calls == 0:
                self._before = _numbers(library)
            self._calls += 1
            _set(library, [count] * len(library.lib_controllers))

    def end(self, library: Any) -> None:
        """Restore the setting after the last call."""
        with self._lock:
            self._calls -= 1
            if self._calls == 0:
                _set(library, self._before)


def _set(library: Any, counts: list[int]) -> None:
    for one, count in zip(library.lib_controllers, counts, strict=True):
        one.set_num_threads(count)


_limit = _Limit()
