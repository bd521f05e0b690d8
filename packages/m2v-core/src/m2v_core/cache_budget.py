"""The memory that a model may use for caches, and its parts."""

from __future__ import annotations

from typing import NamedTuple

#: Default of `cache_bytes`: about how many bytes the caches of a model may use.
DEFAULT_CACHE_BYTES = 28 * 2**20


class CacheBudget(NamedTuple):
    """Bytes for each cache of a model.

    Attributes:
        small_texts: Bytes for `m2v_core.tokenize.word_cache.SmallTextCache`.
        words: Bytes for `m2v_core.tokenize.word_cache.WordCache`.
        rows: Bytes for `m2v_core.encode.rows.Rows`.
    """

    small_texts: int
    words: int
    rows: int


def cache_budget(cache_bytes: int) -> CacheBudget:
    """Divide the bytes that a model may use between its caches.

    Example:
        >>> cache_budget(32)
        CacheBudget(small_texts=4, words=20, rows=8)
    """
    small_texts, rows = cache_bytes // 8, cache_bytes // 4
    return CacheBudget(small_texts, cache_bytes - small_texts - rows, rows)
