"""Requests that come together are computed together, and each gets its own result or error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from m2v_core.serve.batcher import Batcher


@dataclass(frozen=True)
class Shout:
    """Upper case and length of each text; "bad" is an error. It notes the batches, and who computed them."""

    name: str = ""
    batches: list[list[str]] = field(default_factory=list, compare=False)
    threads: list[str] = field(default_factory=list, compare=False)
    gate: threading.Event | None = field(default=None, compare=False)

    def __call__(self, texts: list[str]) -> tuple[list[str], list[int]]:
        self.batches.append(texts)
        self.threads.append(threading.current_thread().name)
        if self.gate is not None:
            assert self.gate.wait(10)
        if "bad" in texts:
            raise ValueError(f"bad text {texts.index('bad')}")
        return [self.name + text.upper() for text in texts], list(map(len, texts))


def run(work: Callable[[Batcher], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        batcher = Batcher(**{"max_texts": 1000, **options})
        try:
            return await asyncio.wait_for(work(batcher), 20)
        finally:
            batcher.close()

    return asyncio.run(main())


@pytest.mark.parametrize("small", [0, 10_000])
def test_what_comes_together_is_one_batch(small: int) -> None:
    task, sizes = Shout(), list[int]()
    requests = [[f"text {number}", "x" * number] for number in range(50)]

    async def work(batcher: Batcher) -> Any:
        return await asyncio.gather(*(batcher(task, texts) for texts in requests))

    results = run(work, small=small, observe=sizes.append)
    assert results == [([text.upper() for text in texts], list(map(len, texts))) for texts in requests]
    assert sizes == [100]
    assert len(task.batches) == 1
    assert ("m2v-serve" in task.threads[0]) == (small == 0)


def test_what_comes_while_the_thread_works_is_the_next_batch() -> None:
    task, sizes = Shout(gate=threading.Event()), list[int]()

    async def work(batcher: Batcher) -> Any:
        first = asyncio.create_task(batcher(task, ["a"]))
        while not task.batches:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(batcher(task, [str(number)])) for number in range(20)]
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert task.gate is not None
        task.gate.set()
        return await asyncio.gather(first, *others)

    results = run(work, observe=sizes.append)
    assert [result[0] for result in results] == [["A"], *([str(number)] for number in range(20))]
    assert sizes == [1, 20]


def test_batches_have_a_limit_but_requests_are_not_split() -> None:
    task, sizes = Shout(), list[int]()
    lengths = [3, 3, 3, 25, 1, 9, 1]

    async def work(batcher: Batcher) -> Any:
        return await asyncio.gather(*(batcher(task, ["ab"] * length) for length in lengths))

    results = run(work, max_texts=10, observe=sizes.append)
    assert [len(texts) for texts, _ in results] == lengths
    assert sizes == [9, 25, 10, 1]


def test_long_texts_fill_a_batch_too() -> None:
    sizes = list[int]()

    async def work(batcher: Batcher) -> Any:
        return await asyncio.gather(*(batcher(Shout(), ["a" * 100_000]) for _ in range(5)))

    run(work, observe=sizes.append)
    assert sizes == [2, 2, 1]


def test_equal_tasks_are_computed_together_and_others_apart() -> None:
    one, same, other = Shout("a"), Shout("a"), Shout("b")

    async def work(batcher: Batcher) -> Any:
        return await asyncio.gather(batcher(one, ["x"]), batcher(other, ["y"]), batcher(same, ["z"]))

    assert [texts for texts, _ in run(work)] == [["aX"], ["bY"], ["aZ"]]
    assert (one.batches, other.batches, same.batches) == ([["x", "z"]], [["y"]], [])


def test_an_error_is_that_of_its_request_alone() -> None:
    async def work(batcher: Batcher) -> Any:
        requests = (["a"], ["b", "bad"], ["c"])
        return await asyncio.gather(*(batcher(Shout(), texts) for texts in requests), return_exceptions=True)

    first, second, third = run(work)
    assert (first, third) == ((["A"], [1]), (["C"], [1]))
    assert isinstance(second, ValueError)
    assert str(second) == "bad text 1"


def test_a_request_whose_client_left_is_not_computed() -> None:
    task = Shout()

    async def work(batcher: Batcher) -> Any:
        left = asyncio.create_task(batcher(task, ["left"]))
        stays = asyncio.create_task(batcher(task, ["stays"]))
        await asyncio.sleep(0)  # both have asked
        left.cancel()
        result = await stays
        with pytest.raises(asyncio.CancelledError):
            await left
        return result, await batcher(task, ["next"])

    assert run(work) == ((["STAYS"], [5]), (["NEXT"], [4]))
    assert task.batches == [["stays"], ["next"]]


def test_a_small_request_alone_is_computed_at_once() -> None:
    task, sizes = Shout(), list[int]()

    async def work(batcher: Batcher) -> Any:
        with pytest.raises(StopIteration) as done:  # it waits for nothing
            batcher(task, ["a"]).__await__().send(None)
        with pytest.raises(ValueError, match="bad text 0"):
            await batcher(task, ["bad"])
        return done.value.value, await batcher(task, ["a" * 11])

    assert run(work, small=10, alone=lambda: True, observe=sizes.append) == ((["A"], [1]), (["A" * 11], [11]))
    assert sizes == [1, 1, 1]
    assert "m2v-serve" in task.threads[2]
