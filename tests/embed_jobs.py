"""A job for `m2v_core.embed.workers`, in a module that processes can import."""

from __future__ import annotations

import os
from collections.abc import Callable


def prepare() -> Callable[[int, Callable[[int], object]], int]:
    """A function that squares; -1 lets it fail, and another number below 0 is the signal that ends its process."""

    def work(number: int, progress: Callable[[int], object]) -> int:
        if number == -1:
            return 1 // 0
        if number < 0:
            os.kill(os.getpid(), -number)
        progress(number)
        return number * number

    return work
