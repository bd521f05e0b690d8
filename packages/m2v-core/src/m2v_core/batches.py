"""The input of `encode` and its kin: checked, cut into batches, worked on in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from m2v_core.errors import InvalidInputError
from m2v_core.format import check_max_length

T = TypeVar("T")


def as_texts(sentences: Any) -> list[str]:
    """One text or many as a list; what is neither is an `InvalidInputError`."""
    if isinstance(sentences, str):
        return [sentences]
    if isinstance(sentences, bytes | Mapping) or not isinstance(sentences, Iterable):
        raise InvalidInputError(f"Expected a text (str) or an iterable of texts; found {type(sentences).__name__}.")
    return list(sentences)


def check_texts(texts: Sequence[Any]) -> None:
    """Raise `InvalidInputError` at the first element that is not a `str`."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInputError(f"Expected texts (str); found {type(text).__name__} at index {index}: {text!r}.")


def in_batches(
    job: Callable[[Sequence[str]], T],
    texts: list[str],
    *,
    batch_size: Any,
    max_length: int | None,
    threads: bool,
    progress: bool,
) -> Iterator[tuple[int, T]]:
    """Yield (index of the first text, job(batch)) for each batch, in order."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidInputError(f"batch_size should be a whole number of at least 1; found {batch_size!r}.")
    check_max_length(max_length)
    check_texts(texts)
    starts = range(0, len(texts), batch_size)
    batches = (texts[start : start + batch_size] for start in starts)
    results = _threaded(job, batches) if threads else map(job, batches)
    yield from zip(starts, _with_progress(results, len(starts)) if progress else results, strict=True)


def _threaded(job: Callable[[Sequence[str]], T], batches: Iterable[Sequence[str]]) -> Iterator[T]:
    from concurrent.futures import ThreadPoolExecutor  # few need it, and it is slow to import

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        yield from workers.map(job, batches)


def _with_progress(results: Iterable[T], total: int) -> Iterator[T]:
    from tqdm import tqdm  # costs as much as the rest of the import

    yield from tqdm(results, total=total, desc="Encoding", unit=" batches")
