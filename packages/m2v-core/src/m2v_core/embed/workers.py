"""Jobs shared between processes, each started anew: threads of a tokenizer or of Arrow do not survive a fork."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from m2v_core.errors import M2VError

#: Makes, in each process, the function that does a job; that calls its second argument with numbers for a progress bar.
Prepare = Callable[[], Callable[[Any, Callable[[int], object]], Any]]


def results(jobs: Iterable[Any], prepare: Prepare, workers: int, progress: Callable[[int], object]) -> Iterator[Any]:
    """The results of jobs, in the order in which they are done.

    Args:
        jobs: Arguments of the function that `prepare` makes.
        prepare: Picklable; called once in each process. With one worker it is called here.
        workers: Number of processes.
        progress: Called here with the numbers that jobs count.

    Raises:
        M2VError: A process ended before its job was done.
        Exception: What a job raised; the other processes are then stopped.
    """
    if workers == 1:
        work = prepare()
        for job in jobs:
            yield work(job, progress)
        return
    waiting = deque(jobs)
    with _processes(prepare, min(workers, len(waiting))) as processes:
        busy = {pipe for pipe in processes if _sent_next(pipe, waiting)}
        while busy:
            ready: list[Any] = wait(busy)
            for pipe in ready:
                try:
                    kind, value = pipe.recv()
                except (EOFError, ConnectionResetError):
                    processes[pipe].join()
                    raise M2VError(
                        f"A worker process ended in the middle of its work (exit code {processes[pipe].exitcode}; "
                        f"negative: the signal that ended it, -9 where memory ran out). Run again, with fewer workers "
                        f"if memory was short: what is finished is kept."
                    ) from None
                if kind == "count":
                    progress(value)
                elif kind == "failed":
                    raise value
                else:
                    if not _sent_next(pipe, waiting):
                        busy.remove(pipe)
                    yield value


def _sent_next(pipe: Connection, waiting: deque[Any]) -> bool:
    """Give a process the next job; False if there is none."""
    if not waiting:
        return False
    with suppress(BrokenPipeError, ConnectionResetError):  # it has ended, which its pipe will say
        pipe.send(waiting.popleft())
    return True


@contextmanager
def _processes(prepare: Prepare, count: int) -> Iterator[dict[Any, Any]]:
    """Processes by the pipe to each; they are stopped when the block ends, and end by themselves if this one does."""
    context = multiprocessing.get_context("spawn")
    processes: dict[Any, Any] = {}
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, prepare), daemon=True)
            process.start()
            theirs.close()  # so that the end of the process is the end of the pipe
            processes[ours] = process
        yield processes
    finally:
        for pipe, process in processes.items():
            pipe.close()
            process.terminate()
        for process in processes.values():
            process.join()


def _work(pipe: Connection, prepare: Prepare) -> None:
    """What a process does: jobs from the pipe, results into it, until there is nobody at the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process is interrupted, and stops the others
    try:
        work = prepare()
        while True:
            pipe.send(("done", work(pipe.recv(), lambda count: pipe.send(("count", count)))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except BaseException as error:  # noqa: BLE001 - whatever it is, the first process raises it
        if not isinstance(error, M2VError | OSError):
            error.add_note(f"in process {os.getpid()}:\n{traceback.format_exc()}")
        pipe.send(("failed", error))
