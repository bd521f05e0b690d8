"""Processes that are forked while other threads encode, as by gunicorn's preload and by multiprocessing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from conftest import make_model
from forks import fork
from m2v_core import StaticModel, quantize_model
from m2v_core.tokenize.backend import IS_IMMUTABLE, Backend

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

TEXTS = ["good day", "bad, sunny days!", "unable", "a b c", *(f"w{number} good" for number in range(30))]


def outcome_of_child(work: Callable[[], bool]) -> str:
    child = fork()
    if not child:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return ("right", "wrong", "failed")[os.waitstatus_to_exitcode(status)]
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def locks_of(model: StaticModel) -> dict[str, threading.Lock]:
    tokenizer, rows = model._tokenizer, model._encoder.rows
    return {
        "the library": tokenizer._loading,
        "new pieces": tokenizer._adding,
        "pieces of batches": tokenizer._words._lock,
        "pieces of small texts": tokenizer._small_texts._lock,
        "rows": rows._lock,
    }


def as_expected(model: StaticModel, expected: np.ndarray) -> bool:
    """Whether a model gives these vectors, for many texts, for few, and with the tokenizers library."""
    one, some = model.encode(TEXTS[0]), model.encode(TEXTS[:3])
    return (
        np.array_equal(model.encode(TEXTS), expected)
        and np.array_equal(one, expected[0])
        and np.array_equal(some, expected[:3])
        and (IS_IMMUTABLE or model.tokenizer is not None)  # tokenizers 1.0.0rc3 hangs when a fork loads a tokenizer
        and len(model.tokens) == model.n_tokens
    )


@pytest.mark.parametrize("name", ["the library", "new pieces", "pieces of batches", "pieces of small texts", "rows"])
@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe"])
def test_a_lock_that_another_thread_holds(kind: str, name: str) -> None:
    model = quantize_model(make_model(kind), quantize_to="int8")
    expected = model.encode(TEXTS)
    with locks_of(model)[name]:  # a child has no other threads, whoever holds it
        assert outcome_of_child(lambda: as_expected(model, expected)) == "right"
    assert as_expected(model, expected)


def test_caches_stay_where_nobody_changes_them() -> None:
    model = make_model()
    expected = model.encode(TEXTS)
    known = model._tokenizer._words.n_entries
    assert known
    assert outcome_of_child(lambda: model._tokenizer._words.n_entries == known) == "right"
    assert outcome_of_child(lambda: as_expected(model, expected)) == "right"


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe"])
def test_threads_that_encode(kind: str) -> None:
    model, numbers, stop = quantize_model(make_model(kind), quantize_to="int8"), iter(range(10**9)), threading.Event()
    expected = model.encode(TEXTS)

    def work(n_texts: int) -> None:
        while not stop.is_set():
            model.encode([f"day{next(numbers)} good" for _ in range(n_texts)])

    threads = [threading.Thread(target=work, args=(n_texts,)) for n_texts in (3, 3, 60)]
    for thread in threads:
        thread.start()
    outcomes = []
    for _ in range(12):
        time.sleep(0.005)
        outcomes.append(outcome_of_child(lambda: as_expected(model, expected)))
    stop.set()
    for thread in threads:
        thread.join()
    assert outcomes == ["right"] * 12


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe"])
def test_the_library_is_told_to_use_threads(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable it uses them in forks too, which have none, and would wait for ever."""
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    backend = Backend(make_model(kind).stored.tokenizer_json, "its tokenizer")
    expected = backend.ids_of_texts(TEXTS)
    assert outcome_of_child(lambda: np.array_equal(backend.ids_of_texts(TEXTS).values, expected.values)) == "right"
