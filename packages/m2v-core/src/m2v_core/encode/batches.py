"""The input of `encode` and its kin: checked, cut into batches, worked on in order, by threads if it is long."""

from __future__ import annotations

import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.data.sources import rows_of
from m2v_core.errors import InvalidInputError
from m2v_core.progress import progress_bar
from m2v_core.tokenize.backend import bad_text

T = TypeVar("T")

#: Batches worked on at a time, as one: few large steps leave other threads more room than many small ones. With 8
#: instead of 3, two threads are a tenth faster, and hold 20 MB more.
_BATCHES = 3

#: Threads that do not yet stand in each other's way.
_SHARE_A_LOCK = 4

#: Characters of a text that counts as one of many; longer ones count for more.
_LONG = 100

#: Characters worked on at a time, so that long texts do not take memory by the thousand. A text is not cut.
_CHARS = 2**20


def as_texts(sentences: Any) -> list[str]:
    """One text or many as a list (see `m2v_core.data.sources.rows_of`); what is neither is an `InvalidInputError`."""
    if isinstance(sentences, str):
        return [sentences]
    if isinstance(sentences, bytes | Mapping) or not isinstance(sentences, Iterable):
        raise InvalidInputError(f"Expected a text (str) or an iterable of texts; found {type(sentences).__name__}.")
    return rows_of(sentences, "The input")


def in_batches(
    job: Callable[[slice], T],
    texts: list[str],
    *,
    batch_size: int,
    max_length: int | None,
    threads: bool,
    threshold: int,
    progress: bool,
    bad_text: Callable[[list[str]], InvalidInputError] = bad_text,
) -> list[T]:
    """`job(span)` for spans that cover `texts`, in order.

    With `threads`, several are at work if there are more than `threshold` texts, or as much text as so many of
    `_LONG` characters.

    Raises:
        InvalidInputError: An option is out of range, or a job found a bad text; the error is that of `bad_text`, which
            names the first one.
    """
    checks.whole("batch_size", batch_size, 1)
    checks.whole("max_length", max_length, 1, or_none=True)
    try:
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    except TypeError:
        raise bad_text(texts) from None
    many = len(texts) > threshold or int(sizes.sum()) > threshold * _LONG
    spans, workers = _spans(sizes, batch_size * _BATCHES, _most_threads() if threads and many else 1)
    with progress_bar("Encoding", unit="texts", total=len(texts), show=True) if progress else nullcontext() as bar:
        try:
            return _results(job, spans, workers, bar.update if bar else None)
        except InvalidInputError:  # which knows only its span
            raise bad_text(texts) from None


def _spans(sizes: NDArray[np.int64], max_texts: int, most_workers: int) -> tuple[list[slice], int]:
    """Spans of about the same size, of at most about `max_texts` texts and `_CHARS` characters, and who works on them.

    Small spans would cost more than another worker brings.
    """
    ends = np.cumsum(sizes / _CHARS + 1 / max_texts)
    count = math.ceil(ends[-1]) if len(ends) else 1
    workers = min(most_workers, count)
    count = -(-count // workers) * workers
    bounds = np.searchsorted(ends, ends[-1] * np.arange(1, count) / count).tolist() if count > 1 else []
    return [slice(start, stop) for start, stop in pairwise([0, *bounds, len(sizes)]) if start < stop], workers


def _most_threads() -> int:
    """The cores that this process may use, but no more threads than can share the interpreter's lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return min(cores, _SHARE_A_LOCK) if has_lock else cores


def _results(
    job: Callable[[slice], T], spans: list[slice], workers: int, done: Callable[[int], object] | None
) -> list[T]:
    """`job(span)` for each span, by the calling thread and others; `done` hears how many texts a span had."""
    results: list[Any] = [None] * len(spans)
    waiting = deque(enumerate(spans))

    def work() -> None:
        while True:
            try:
                place, span = waiting.popleft()
            except IndexError:
                return
            try:
                results[place] = job(span)
            except BaseException:
                waiting.clear()  # the others stop too
                raise
            if done:
                done(span.stop - span.start)

    helpers = min(workers, len(spans)) - 1
    if helpers < 1:
        work()
        return results
    from concurrent.futures import ThreadPoolExecutor  # few need it, and it is slow to import

    with ThreadPoolExecutor(helpers) as pool:
        others = [pool.submit(work) for _ in range(helpers)]
        work()
        for other in others:
            other.result()
    return results
