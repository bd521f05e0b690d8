"""Work on many texts: in spans of a few batches, in order, by several threads if there is much text."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.progress import progress_bar

T = TypeVar("T")

#: Batches worked on at a time, as one: few large steps leave other threads more room than many small ones. With 8
#: instead of 3, two threads are a tenth faster, and hold 20 MB more.
_BATCHES = 3

#: Threads that do not yet wait much for the interpreter's lock.
_SHARE_A_LOCK = 4

#: Characters of a text that counts as one of many; longer ones count for more.
_LONG = 100

#: Characters worked on at a time, which limits the memory that many long texts take. A text is not split.
_CHARS = 2**20


class Batching(NamedTuple):
    """Settings for the work on many texts.

    Attributes:
        size: Texts in a batch.
        threads: Number of threads that share the work if there are many texts; `None` for the number of CPUs.
        threshold: Number of texts that are many; a long text counts for more, one for each 100 characters.
        progress: Whether to show progress on stderr.
    """

    size: int = 1024
    threads: int | None = None
    threshold: int = 10_000
    progress: bool = False


def check_batching(batching: Batching) -> None:
    """Raise `InvalidInputError` if a setting is out of range."""
    checks.whole("batch_size", batching.size, 1)
    checks.whole("threads", batching.threads, 1, or_none=True)
    limit = batching.threshold
    checks.expect(isinstance(limit, int | float), "multiprocessing_threshold", "a number", limit)
    checks.truth("show_progress_bar", batching.progress)


def in_batches(
    job: Callable[[slice], T],
    texts: list[str],
    batching: Batching,
    bad_text: Callable[[list[str]], InvalidInputError],
) -> list[T]:
    """The results of `job(span)` for spans that cover `texts`, in order.

    Args:
        job: A function of a slice of the texts; threads may call it at the same time.
        texts: All texts.
        batching: Size of the spans, and who works on them.
        bad_text: The error for texts of which one is bad, which names the first one.

    Raises:
        InvalidInputError: The batch size is out of range; or an element is not a text, or a job refused its texts,
            and then the error is that of `bad_text` for all texts.
    """
    check_batching(batching)
    try:
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    except TypeError:
        raise bad_text(texts) from None
    many = len(texts) > batching.threshold or int(sizes.sum()) > batching.threshold * _LONG
    spans, workers = _spans(sizes, batching.size * _BATCHES, _most_threads(batching.threads) if many else 1)
    bar = progress_bar("Encoding", unit="texts", total=len(texts), show=True) if batching.progress else nullcontext()
    with bar as shown:
        try:
            return _results(job, spans, workers, shown.update if shown else None)
        except InvalidInputError:  # it knows only its own span
            raise bad_text(texts) from None


def _spans(sizes: NDArray[np.int64], max_texts: int, most_workers: int) -> tuple[list[slice], int]:
    """Spans of about the same size, and the number of workers for them.

    A span has at most about `max_texts` texts and `_CHARS` characters. Small spans would cost more than another worker
    saves.
    """
    if not len(sizes):
        return [], 1
    if int(sizes.sum()) / _CHARS + len(sizes) / max_texts <= 1:
        return [slice(0, len(sizes))], 1
    ends = np.cumsum(sizes / _CHARS + 1 / max_texts)
    count = math.ceil(ends[-1])
    workers = min(most_workers, count)
    count = -(-count // workers) * workers
    bounds = np.searchsorted(ends, ends[-1] * np.arange(1, count) / count).tolist()
    return [slice(start, stop) for start, stop in pairwise([0, *bounds, len(sizes)]) if start < stop], workers


def _most_threads(threads: int | None) -> int:
    """The threads that were asked for; else one for each CPU, but no more than can share the interpreter's lock."""
    from m2v_core.threads import thread_count  # only many texts need it

    cpus = thread_count(threads)
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return min(cpus, _SHARE_A_LOCK) if has_lock and threads is None else cpus


def _results(
    job: Callable[[slice], T], spans: list[slice], workers: int, count: Callable[[int], object] | None
) -> list[T]:
    """The results of `job` for each span, by the calling thread and others; `count` gets the texts of each span."""
    results: list[Any] = [None] * len(spans)
    waiting = deque(enumerate(spans))

    def work() -> None:
        while True:
            try:
                number, span = waiting.popleft()
            except IndexError:
                return
            try:
                results[number] = job(span)
            except BaseException:
                waiting.clear()  # the others stop too
                raise
            if count:
                count(span.stop - span.start)

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
