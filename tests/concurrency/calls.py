"""Calls of all kinds, and what they give when nothing else runs."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from conftest import make_model
from m2v_core import Layer, MLPHead, StaticModel, StaticModelPipeline, quantize_model
from m2v_core.search import Index

WORDS = ["good", "day", "bad", "sunny", "unable", "日本", "é", "x1", "un", "days!", "a", "\0", "🙂"]

Call = Callable[[], Any]


def texts(n: int, seed: int = 0) -> list[str]:
    choice = random.Random(seed)
    return [" ".join(choice.choices(WORDS, k=choice.randrange(12))) + str(choice.randrange(40)) for _ in range(n)]


def models() -> list[StaticModel]:
    """Models with caches that fill up, of several kinds of tokenizers and tables."""
    small = {"cache_bytes": 40_000}
    stored = quantize_model(make_model("unigram", dim=24), quantize_to="int8").stored
    return [
        StaticModel.from_stored(stored, None, **small),
        make_model("wordpiece", dim=32, normalize=True),
        make_model("byte_bpe", dim=16, max_length=5),
    ]


def calls() -> list[Call]:
    """Calls that change nothing but caches; each gives the same again and again."""
    pool, found = texts(400), list[Call]()
    for model in models():
        index = Index(model, lexical=True)
        index.add(pool[:200])
        layer = Layer(np.random.default_rng(1).normal(size=(3, model.dim)).astype(np.float32), np.zeros(3, np.float32))
        pipeline = StaticModelPipeline(model, MLPHead([layer], "softmax", ["a", "b", "c"]))
        for start in range(0, len(pool), 8):
            some, one = pool[start : start + 1 + start % 40], pool[start]
            found += [
                lambda model=model, one=one: model.encode(one),
                lambda model=model, some=some: model.encode(some),
                lambda model=model, some=some: model.encode(
                    some, precision="int8", ranges=[[-1] * model.dim, [1] * model.dim]
                ),
                lambda model=model, some=some: model.token_ids(some),
                lambda model=model, one=one: model.tokenize(one),
                lambda model=model, one=one: model.encode_as_sequence(one),
                lambda index=index, one=one: index.search(one, k=3, threads=1),
                lambda index=index, some=some: index.search_arrays(some[:3], k=5, mode="dense", threads=1),
                lambda pipeline=pipeline, some=some: pipeline.predict(some),
                lambda pipeline=pipeline, one=one: pipeline.predict_proba(one),
            ]
    return found


def bits(value: Any) -> Any:
    """A result in a form of which bits are compared."""
    if isinstance(value, np.ndarray):
        return value.tobytes(), value.shape, value.dtype.str
    if isinstance(value, tuple | list):
        return [bits(each) for each in value]
    return value


def expected_of(these: list[Call]) -> list[Any]:
    return [bits(call()) for call in these]


def in_threads(n_threads: int, n_calls: int) -> int:
    """The number of wrong results of so many calls in each of some threads; errors are raised."""
    expected = expected_of(calls())
    these, wrong, errors = calls(), [0] * n_threads, list[BaseException]()
    gate = threading.Barrier(n_threads)

    def work(number: int) -> None:
        choice = random.Random(number)
        gate.wait()
        try:
            for _ in range(n_calls):
                place = choice.randrange(len(these))
                wrong[number] += bits(these[place]()) != expected[place]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(wrong)


def of_process(model: StaticModel | str, seed: int) -> bytes:
    """What a process computes of a model that was sent to it, or of a folder."""
    loaded = StaticModel.from_pretrained(model) if isinstance(model, str) else model
    return loaded.encode(texts(60, seed)).tobytes()


def in_processes(method: str, folder: Path, n_jobs: int, processes: int = 2) -> int:
    """The number of wrong results of processes that are started by a method, while threads encode here."""
    model = make_model("wordpiece", dim=32)
    model.save_pretrained(folder)
    expected = [model.encode(texts(60, seed)).tobytes() for seed in range(n_jobs)]
    stop = threading.Event()

    def encode() -> None:
        while not stop.is_set():
            model.encode(texts(20, seed=random.randrange(10**6)))

    thread = threading.Thread(target=encode)
    thread.start()
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context(method)) as pool:
            sent = [model if seed % 2 else str(folder) for seed in range(n_jobs)]
            found = list(pool.map(of_process, sent, range(n_jobs)))
    finally:
        stop.set()
        thread.join()
    return sum(one != other for one, other in zip(found, expected, strict=True))


def in_coroutines(n_calls: int) -> int:
    """The number of wrong results of calls that coroutines wait for, in the threads of asyncio."""
    expected, these = expected_of(calls()), calls()
    places = [random.Random(0).randrange(len(these)) for _ in range(n_calls)]

    async def one(place: int, gate: asyncio.Semaphore) -> bool:
        async with gate:
            return bits(await asyncio.to_thread(these[place])) != expected[place]

    async def all_of_them() -> int:
        gate = asyncio.Semaphore(32)
        return sum(await asyncio.gather(*(one(place, gate) for place in places)))

    return asyncio.run(all_of_them())
