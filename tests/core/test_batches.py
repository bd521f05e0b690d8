from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest

from m2v_core import InvalidInputError
from m2v_core.encode import batches
from m2v_core.encode.batches import Batching, in_batches


def bad_text(texts: list[str]) -> InvalidInputError:
    return InvalidInputError(f"text {texts.index('bad')} is bad")


def spans(texts: list[str], **options: Any) -> list[slice]:
    known: dict[str, Any] = {"size": 4, "threads": 1, "threshold": 10}
    return in_batches(lambda span: span, texts, Batching(**known | options), bad_text)


@pytest.mark.parametrize("n_texts", [0, 1, 31, 32, 33, 1000])
@pytest.mark.parametrize("threads", [1, 2, None])
def test_spans_cover_the_texts_in_order(n_texts: int, threads: int | None) -> None:
    found = spans(["text"] * n_texts, threads=threads)
    assert [index for span in found for index in range(span.start, span.stop)] == list(range(n_texts))
    assert all(span.stop - span.start <= 33 for span in found)


def test_long_texts_make_small_batches(monkeypatch) -> None:
    monkeypatch.setattr(batches, "_CHARS", 100)
    found = spans(["x" * 60] * 10 + ["y"] * 30 + ["z" * 5000] * 2)
    assert all(span.stop - span.start <= 3 for span in found[:5])
    assert found[-1].stop == 42


def test_much_text_is_worked_on_by_threads() -> None:
    def threads(texts: list[str], **options: Any) -> int:
        known: dict[str, Any] = {"size": 1, "threads": 2, "threshold": 100}
        both = threading.Barrier(2)

        def job(span: slice) -> int:
            with suppress(threading.BrokenBarrierError):
                both.wait(0.3)  # passes if two threads are at work
            return threading.get_ident()

        return len(set(in_batches(job, texts, Batching(**known | options), bad_text)))

    def some(n_texts: int, size: int = 1) -> list[str]:
        return ["x" * size] * n_texts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_BATCHES", 20)
        assert threads(some(100)) == 1
        assert threads(some(101)) == 2
        assert threads(some(50, 400)) == 2
        assert threads(some(101), threads=1) == 1


@pytest.mark.parametrize("threads", [1, 2, None])
def test_an_error_names_the_first_bad_text(threads: int | None) -> None:
    def job(span: slice) -> None:
        if "bad" in texts[span]:
            raise InvalidInputError("text 0 of these")

    texts = ["x"] * 99
    texts[50] = texts[98] = "bad"
    with pytest.raises(InvalidInputError, match="text 50 is bad"):
        in_batches(job, texts, Batching(size=1, threads=threads, threshold=1), bad_text)


def test_any_other_error_reaches_the_caller_and_ends_the_work() -> None:
    seen: list[slice] = []

    def job(span: slice) -> None:
        seen.append(span)
        raise IndexError(f"at {span.start}")

    with pytest.raises(IndexError, match="at "):
        in_batches(job, ["x"] * 999, Batching(size=1, threshold=1), bad_text)
    assert len(seen) <= 32
