"""Requests that come at the same time are computed together, as a batch, which costs less than one after the other.

A batch takes what has come already, also while the batch before was computed, and waits for nothing: a timer of 1 or
2 ms made larger batches, and no request faster (docs/serving.md). Small batches are computed in the event loop, larger
ones by one thread. More threads would wait for the interpreter's lock, and a large batch has threads of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

#: Sequences with an element for each text, such as arrays.
Result: TypeAlias = tuple[Any, ...]


class Task(Hashable, Protocol):
    """What is to be computed of texts; equal tasks of several requests are computed together."""

    def __call__(self, texts: list[str]) -> Result:
        """Compute it."""
        ...


#: Characters of texts that are worked on together, so that no small request waits long for the batch before it.
_CHARS = 2**18


@dataclass(frozen=True, eq=False)
class _Job:
    task: Task
    texts: list[str]
    done: asyncio.Future[Result]
    size: int


class Batcher:
    """Computes tasks for the requests of one event loop.

    Args:
        max_texts: Most texts in a batch, unless a single request has more.
        small: Batches of so many characters are computed in the event loop itself.
        alone: Whether a request has no others to be computed with.
        observe: Called with the number of texts of each batch.
    """

    def __init__(
        self,
        *,
        max_texts: int,
        small: int = 0,
        alone: Callable[[], bool] = lambda: False,
        observe: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._max_texts, self._small, self._alone, self._observe = max_texts, small, alone, observe
        self._waiting: deque[_Job] = deque()
        self._busy = False  # or a batch is about to start
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="m2v-serve")

    async def __call__(self, task: Task, texts: list[str]) -> Result:
        """The result of `task(texts)`: its sequences, each with an element for each text."""
        size = sum(map(len, texts))
        if size <= self._small and self._alone():
            self._observe(len(texts))
            return task(texts)
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(task, texts, done, size))
        self._plan()
        return await done

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)

    def _plan(self) -> None:
        """Start a batch soon, unless one is running: that one starts the next."""
        if self._waiting and not self._busy:
            self._busy = True
            # Once around the event loop: what has arrived with this request is there by then.
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        jobs, size = self._taken()
        if size <= self._small:
            self._end(jobs, _outcomes(jobs))
        else:
            running = asyncio.get_running_loop().run_in_executor(self._thread, _outcomes, jobs)
            running.add_done_callback(lambda outcomes: self._end(jobs, outcomes.result()))

    def _taken(self) -> tuple[list[_Job], int]:
        """The requests of the next batch, and their characters; those whose client went away are left out."""
        jobs: list[_Job] = []
        n_texts = size = 0
        while self._waiting:
            job = self._waiting[0]
            if jobs and (n_texts + len(job.texts) > self._max_texts or size + job.size > _CHARS):
                break
            self._waiting.popleft()
            if not job.done.cancelled():
                jobs.append(job)
                n_texts += len(job.texts)
                size += job.size
        if jobs:
            self._observe(n_texts)
        return jobs, size

    def _end(self, jobs: list[_Job], outcomes: list[Result | Exception]) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.done.cancelled():
                continue
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)
        self._busy = False
        self._plan()


def _outcomes(jobs: list[_Job]) -> list[Result | Exception]:
    """The result or the error of each request."""
    groups: dict[Task, list[int]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault(job.task, []).append(number)
    outcomes: list[Any] = [None] * len(jobs)
    for task, numbers in groups.items():
        for number, outcome in zip(numbers, _computed(task, [jobs[number].texts for number in numbers]), strict=True):
            outcomes[number] = outcome
    return outcomes


def _computed(task: Task, requests: list[list[str]]) -> list[Result | Exception]:
    """The results of a task for the texts of several requests; each gets its own error if there is one."""
    try:
        parts = task([text for texts in requests for text in texts])
    except Exception as error:  # noqa: BLE001 - it belongs to the request
        return [error] if len(requests) == 1 else [_computed(task, [texts])[0] for texts in requests]
    results: list[Result | Exception] = []
    start = 0
    for texts in requests:
        stop = start + len(texts)
        results.append(tuple(part[start:stop] for part in parts))
        start = stop
    return results
