"""Requests that come at the same time are computed together, as a batch, which costs far less than one after the other.

All of it runs in the event loop of the server but the work itself, for which there is one thread: more would wait for
the interpreter's lock, and the work of a large batch has threads of its own.
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
        wait: Seconds for which a request waits for others while the thread has nothing to do; 0 for those alone that
            have come already.
        small: Batches of so many characters are computed in the event loop itself.
        observe: Called with the number of texts of each batch.
    """

    def __init__(
        self, *, max_texts: int, wait: float = 0, small: int = 0, observe: Callable[[int], object] = lambda _: None
    ) -> None:
        self._max_texts, self._wait, self._small, self._observe = max_texts, wait, small, observe
        self._waiting: deque[_Job] = deque()
        self._n_texts = 0
        self._planned: asyncio.Handle | None = None
        self._busy = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="m2v-serve")

    async def __call__(self, task: Task, texts: list[str]) -> Result:
        """The result of `task(texts)`: its sequences, each with an element for each text."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(task, texts, done, sum(map(len, texts))))
        self._n_texts += len(texts)
        self._plan()
        return await done

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)

    def _plan(self) -> None:
        """Start a batch soon, unless one is running: that one starts the next."""
        if self._busy or not self._waiting:
            return
        enough = not self._wait or self._n_texts >= self._max_texts
        if self._planned is not None:
            if not enough or not isinstance(self._planned, asyncio.TimerHandle):
                return
            self._planned.cancel()
        loop = asyncio.get_running_loop()
        # Once around the event loop: what has arrived with this request is there by then.
        self._planned = loop.call_soon(self._start) if enough else loop.call_later(self._wait, self._start)

    def _start(self) -> None:
        self._planned = None
        jobs, size = self._taken()
        if not jobs:
            self._plan()
        elif size <= self._small:
            self._finish(jobs, _outcomes(jobs))
            self._plan()
        else:
            self._busy = True
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
            self._n_texts -= len(job.texts)
            if not job.done.cancelled():
                jobs.append(job)
                n_texts += len(job.texts)
                size += job.size
        if jobs:
            self._observe(n_texts)
        return jobs, size

    def _end(self, jobs: list[_Job], outcomes: list[Any]) -> None:
        self._busy = False
        self._finish(jobs, outcomes)
        self._plan()

    def _finish(self, jobs: list[_Job], outcomes: list[Any]) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.done.cancelled():
                continue
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)


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
