"""The threads of numpy's BLAS in searches, and in processes that are forked meanwhile."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from forks import fork
from m2v_core import InvalidInputError, MissingPackageError, StaticModel, blas
from m2v_core.blas import blas_threads
from m2v_core.cli.main import main
from m2v_core.search import Index, duplicates
from m2v_core.search.table import Table
from m2v_core.threads import available_cpus

BLAS = ThreadpoolController().select(user_api="blas")


def threads_now() -> set[int]:
    return {one.num_threads for one in BLAS.lib_controllers}


@pytest.fixture(autouse=True)
def two_threads():
    if not BLAS.lib_controllers:
        pytest.skip("this numpy has a BLAS without a setting of threads")
    blas._usual.cache_clear()
    with BLAS.limit(limits=2):
        yield
        assert threads_now() == {2}
    blas._usual.cache_clear()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The threads at each product."""
    found = []

    def watched(self: Table, *arguments: object) -> object:
        found.append(threads_now())
        return candidates(self, *arguments)

    candidates = Table._candidates
    monkeypatch.setattr(Table, "_candidates", watched)
    return found


def test_a_search_has_the_threads_that_were_asked_for(model: StaticModel, seen: list[set[int]]) -> None:
    index = Index(model)
    index.add(["good", "day"])
    for threads in (1, 3, 2):
        index.search("day", threads=threads)
        index.search_arrays(["day"], threads=threads)
    assert seen == [{1}, {1}, {3}, {3}, {2}, {2}]


def test_a_quota_counts(model: StaticModel, seen: list[set[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(model)
    index.add(["good", "day"])
    monkeypatch.setattr(blas, "available_cpus", lambda: 1)
    index.search("day")
    assert seen == [{1}]


def test_what_the_user_has_set_stays(model: StaticModel, seen: list[set[int]]) -> None:
    """`OPENBLAS_NUM_THREADS=1` on a machine with more CPUs."""
    index = Index(model)
    index.add(["good", "day"])
    with BLAS.limit(limits=1):
        index.search("day")
    assert seen == [{1}]


def test_hits_do_not_depend_on_threads() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 64))
    index = Index()
    index.add(vectors=rows)
    one, many = (index.search_arrays(vectors=rows[:20], threads=threads) for threads in (1, 2))
    assert np.array_equal(one.rows, many.rows)
    assert np.array_equal(one.scores, many.scores)
    some = np.concatenate((rows[:3000], rows[:100]))
    assert len(duplicates(vectors=some, threads=1).kept) == len(duplicates(vectors=some, threads=2).kept) == 3000


def test_calls_at_the_same_time_leave_the_setting_as_it_was() -> None:
    inside, go = threading.Barrier(9), threading.Event()

    def call(threads: int) -> None:
        with blas_threads(threads):
            inside.wait(10)
            go.wait(10)

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call, 1 + number % 4) for number in range(8)]
        inside.wait(10)
        assert threads_now() <= {1, 2, 3, 4}
        go.set()
        for done in calls:
            done.result()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_the_setting_of_before() -> None:
    inside, go = threading.Event(), threading.Event()

    def call() -> None:
        with blas_threads(1):
            inside.set()
            go.wait(30)

    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(10)
    if not (child := fork()):
        before = threads_now()
        with blas_threads(3):
            here = threads_now()
        os._exit(0 if (before, here, threads_now()) == ({2}, {3}, {2}) else 1)
    _, status = os.waitpid(child, 0)
    go.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


def test_without_threadpoolctl(model: StaticModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    blas._library.cache_clear()
    try:
        index = Index(model)
        index.add(["good", "day"])
        assert index.search("day", k=1)[0].id == 1
        with pytest.raises(MissingPackageError, match="pip install 'threadpoolctl'"):
            index.search("day", threads=1)
        model.save_pretrained(tmp_path / "m")
        (tmp_path / "a.txt").write_text("good day")
        words = ["search", "day", str(tmp_path / "a.txt"), "--model", str(tmp_path / "m"), "--mode", "dense"]
        assert main([*words, "--threads", "1"]) == 1
        assert "threadpoolctl" in capsys.readouterr().err
    finally:
        blas._library.cache_clear()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_threads_is_an_error(wrong, model: StaticModel) -> None:
    index = Index(model)
    index.add(["good", "day"])
    for call in (
        lambda: index.search("day", threads=wrong),
        lambda: duplicates(["a"], model=model, threads=wrong),
        lambda: duplicates(vectors=[[1.0]], threads=wrong),
    ):
        with pytest.raises(InvalidInputError, match="threads should be a whole number, 1 or more"):
            call()


def test_the_default_is_no_more_than_the_cpus() -> None:
    with BLAS.limit(limits=available_cpus() + 1):
        blas._usual.cache_clear()
        with blas_threads(None):
            assert threads_now() == {available_cpus()}
        blas._usual.cache_clear()
