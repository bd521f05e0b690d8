"""BM25 of words, by the library bm25s."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import MissingPackageError
from m2v_core.forking import is_held, renew_in_forks
from m2v_core.ragged import Ragged, concatenated
from m2v_core.search.words import words

#: BM25's saturation of a word's count, and how far a document's length counts: bm25s's own.
K1, B = 1.5, 0.75


class Scores(NamedTuple):
    """What each word adds to the score of each document that holds it, word by word.

    Attributes:
        values: [total] float32.
        documents: [total] int32, the documents.
        starts: [words + 1] int64; word w has `values[starts[w]:starts[w + 1]]`.
    """

    values: NDArray[np.float32]
    documents: NDArray[np.int32]
    starts: NDArray[np.int64]


class Lexical:
    """The words of documents, and BM25 of queries with them.

    Args:
        vocabulary: Words in the order of their numbers.
        documents: The numbers of the words of documents that exist already.
        scores: Their scores, if they are known. Default: computed at the first query.

    Raises:
        MissingPackageError: bm25s is not installed.
    """

    def __init__(
        self, vocabulary: Sequence[str] = (), documents: Ragged | None = None, scores: Scores | None = None
    ) -> None:
        needs_bm25s()
        self._numbers = {word: number for number, word in enumerate(vocabulary)}
        self._parts = [] if documents is None else [documents]
        self._scores = scores
        self._lock = threading.Lock()
        renew_in_forks(self)

    def after_fork(self) -> None:
        """In a child: a lock that another thread held; what it guards is replaced as a whole."""
        if is_held(self._lock):
            self._lock = threading.Lock()

    @property
    def vocabulary(self) -> Sequence[str]:
        """The words in the order of their numbers."""
        return list(self._numbers)

    def numbers(self, texts: Iterable[str]) -> Ragged:
        """The numbers of the words of texts; new words get new ones."""
        known = self._numbers
        return Ragged.of([[known.setdefault(word, len(known)) for word in words(text)] for text in texts], np.int32)

    def append(self, documents: Ragged) -> None:
        """Add documents by the numbers of their words; the scores are computed again at the next query."""
        self._parts.append(documents)
        self._scores = None

    def reset(self) -> None:
        """Have the scores computed again at the next query: documents were removed."""
        self._scores = None

    def documents(self, rows: NDArray[np.int64] | None = None) -> Ragged:
        """The numbers of the words of all documents, or of some."""
        if len(self._parts) != 1:
            self._parts = [concatenated(self._parts, np.int32)]
        return self._parts[0] if rows is None else self._parts[0].take(rows)

    def scores(self, rows: NDArray[np.int64] | None = None) -> Scores:
        """The scores of all documents, or of those that are left; computed if documents were added or removed."""
        with self._lock:
            if self._scores is None or len(self._scores.starts) != len(self._numbers) + 1:
                self._scores = _scores(self.documents(rows), len(self._numbers))
            return self._scores

    def query(self, text: str, rows: NDArray[np.int64] | None, n_rows: int) -> NDArray[np.float32]:
        """The scores [n_rows] of a query; 0 without a word in common, and for rows that are not left.

        Args:
            text: The query. A word that is repeated counts each time.
            rows: Rows of the documents that are left, in ascending order, or `None` for all.
            n_rows: Number of rows.
        """
        scores = self.scores(rows)
        numbers = [self._numbers.get(word, -1) for word in words(text)]
        known = [number for number in numbers if 0 <= number < len(scores.starts) - 1]
        spread = np.zeros(n_rows, np.float32)
        if known:
            library = _library()
            n = n_rows if rows is None else len(rows)
            arrays = {"data": scores.values, "indices": scores.documents, "indptr": scores.starts}
            library.scores, library.nonoccurrence_array = {**arrays, "num_docs": n}, None
            spread[slice(None) if rows is None else rows] = library.get_scores_from_ids(known)
        return spread


def needs_bm25s() -> None:
    """Raise `MissingPackageError` unless bm25s is installed."""
    from importlib.util import find_spec

    if find_spec("bm25s") is None:
        raise MissingPackageError(
            "Lexical search needs bm25s, which is not installed: pip install 'm2v-core[search]'. Or search by vectors "
            "alone, with lexical=False."
        )


def _library() -> Any:
    with _without_jax():
        import bm25s
    return bm25s.BM25(k1=K1, b=B, method="lucene")


@contextmanager
def _without_jax() -> Iterator[None]:
    """Keep bm25s from importing JAX, which it uses for a selection that nothing here needs.

    It does so where JAX is installed, and runs it, which takes seconds and most of the memory of a GPU.
    """
    if "bm25s" in sys.modules or "jax" in sys.modules:
        yield
        return
    sys.modules["jax"] = None  # type: ignore[assignment] # an import of it is an ImportError
    try:
        yield
    finally:
        del sys.modules["jax"]


class _Rows:
    """Rows of numbers as lists of Python's numbers, one at a time, which bm25s goes through."""

    def __init__(self, documents: Ragged) -> None:
        self._documents = documents

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[list[int]]:
        return (row.tolist() for row in self._documents)


def _scores(documents: Ragged, n_words: int) -> Scores:
    if not len(documents.values):
        return Scores(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(n_words + 1, np.int64))
    found = _library().build_index_from_ids(range(n_words), _Rows(documents), show_progress=False)
    return Scores(found["data"], found["indices"].astype(np.int32), found["indptr"].astype(np.int64))
