from __future__ import annotations

import threading

import pytest

from m2v_core import InvalidInputError, batches
from m2v_core.batches import in_batches


def spans(texts: list[str], **options: object) -> list[slice]:
    known = {"batch_size": 4, "max_length": None, "threads": False, "threshold": 10, "progress": False}
    return list(in_batches(lambda span: span, texts, **{**known, **options}))  # type: ignore[arg-type]


@pytest.mark.parametrize("n_texts", [0, 1, 31, 32, 33, 1000])
@pytest.mark.parametrize("threads", [False, True])
def test_spans_cover_the_texts_in_order(n_texts: int, threads: bool) -> None:
    found = spans(["text"] * n_texts, threads=threads)
    assert [index for span in found for index in range(span.start, span.stop)] == list(range(n_texts))
    assert all(span.stop - span.start <= 33 for span in found)


def test_long_texts_make_small_batches(monkeypatch) -> None:
    monkeypatch.setattr(batches, "_CHARS", 100)
    found = spans(["x" * 60] * 10 + ["y"] * 30 + ["z" * 5000] * 2)
    assert all(span.stop - span.start <= 3 for span in found[:5])
    assert found[-1].stop == 42


def test_much_text_is_worked_on_by_threads() -> None:
    def workers(texts: list[str], **options: object) -> set[str]:
        known = {"batch_size": 1, "max_length": None, "threads": True, "threshold": 100, "progress": False}
        names = in_batches(lambda _: threading.current_thread().name, texts, **{**known, **options})  # type: ignore[arg-type]
        return {name.split("-")[0] for name in names}

    assert workers(["text"] * 100) == {"MainThread"}
    assert workers(["text"] * 101) == {"ThreadPoolExecutor"}
    assert workers(["text" * 100] * 50) == {"ThreadPoolExecutor"}
    assert workers(["text"] * 101, threads=False) == {"MainThread"}


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def job(span: slice) -> None:
        raise InvalidInputError(f"at {span.start}")

    with pytest.raises(InvalidInputError, match="at 0"):
        list(in_batches(job, ["x"] * 99, batch_size=1, max_length=None, threads=True, threshold=1, progress=False))
