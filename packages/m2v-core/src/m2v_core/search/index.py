"""`Index`: texts that can be searched as soon as they are added."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m2v_core import checks
from m2v_core.blas import blas_threads
from m2v_core.data.sources import as_texts, plain
from m2v_core.errors import BadTextError, InvalidInputError
from m2v_core.model import StaticModel
from m2v_core.ragged import Ragged, concatenated
from m2v_core.search import ranking
from m2v_core.search.adapt import collection_weights, with_weights
from m2v_core.search.collection import Collection, Filter
from m2v_core.search.entries import MOST, Entries, Id
from m2v_core.search.inputs import (
    as_model,
    batches,
    default_ids,
    exactly,
    given_ids,
    is_one_vector,
    unit_vectors,
)
from m2v_core.search.lexical import Lexical
from m2v_core.search.precision import STORED, as_unit
from m2v_core.search.table import Table
from m2v_core.search.topk import NONE, Best
from m2v_core.tokenize.bad_texts import check_texts

#: What decides the order of hits.
MODES = ("dense", "lexical", "hybrid")


class Hit(NamedTuple):
    """An entry that a search found.

    Attributes:
        id: Its id.
        score: The cosine with the query; BM25 in lexical search; in hybrid search the sum of both, each in standard
            deviations above the mean of the candidates.
        metadata: Its metadata.
    """

    id: Id
    score: float
    metadata: Any


class Hits(NamedTuple):
    """The hits of one query [k], or of many [q, k], as arrays.

    Attributes:
        rows: int64, positions in `list(index)`, the best first; -1 where there are fewer hits.
        scores: float32 beside them; minus infinity where there are fewer hits.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class Index:
    """Texts, or vectors, that can be searched: exactly, and at once, since nothing is built.

    Many threads may search at the same time; nothing may be added or removed meanwhile.

    Args:
        model: The model that embeds texts and queries, with its prompts for them: a `StaticModel`, a folder, or
            `org/name`. Default: none, for vectors of your own.
        dtype: Numbers of the vectors: float32; float16; int8, with a scale for each vector; binary, which compares
            bits, and the int8 vectors of the nearest 100 * k (10,000 at most) once more.
        lexical: Whether to search by words too (BM25), for names and numbers, which a mean of token vectors loses.
            Needs `m2v-core[search]`.
        adapt: Whether tokens that are rare in these texts should count more: the vector of each token is multiplied
            by the square root of its inverse document frequency in the texts of the first `add`.

    Raises:
        InvalidInputError: An option is out of range.
        MissingPackageError: bm25s is not installed, which `lexical` needs.

    Example:
        >>> index = Index(tiny_model())
        >>> index.add(["good", "day", "good day"], metadata=["a", "b", "c"])
        [0, 1, 2]
        >>> [(hit.id, round(hit.score, 2), hit.metadata) for hit in index.search("day", k=2)]
        [(1, 1.0, 'b'), (2, 0.71, 'c')]
        >>> index.remove(1)
        >>> len(index), list(index)
        (2, [0, 2])
    """

    def __init__(
        self,
        model: StaticModel | str | os.PathLike[str] | None = None,
        *,
        dtype: str = "float32",
        lexical: bool = False,
        adapt: bool = False,
    ) -> None:
        checks.one_of("dtype", dtype, STORED)
        checks.flag("lexical", lexical)
        checks.flag("adapt", adapt)
        model = None if model is None else as_model(model)
        if model is None and adapt:
            raise InvalidInputError("adapt=True is for an index with a model, whose tokens it needs; found none.")
        table = None if model is None else Table(dtype, model.dim)
        words = Lexical() if lexical else None
        self._hold(model, Collection(table, Entries(), words), dtype, next_id=0, adapts=adapt)

    def _hold(
        self,
        model: StaticModel | None,
        rows: Collection,
        dtype: str,
        *,
        next_id: int,
        adapts: bool,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        self._model, self._rows, self._dtype, self._next_id, self._adapts = model, rows, dtype, next_id, adapts
        self._weights = weights
        self._embedder = model if model is None or weights is None else with_weights(model, weights)

    # --- entries ------------------------------------------------------------------------------------------------

    @property
    def model(self) -> StaticModel | None:
        """The model that was given."""
        return self._model

    @property
    def dim(self) -> int | None:
        """D, the number of dimensions; `None` before the first vector of an index without a model."""
        return None if self._rows.table is None else self._rows.table.dim

    @property
    def dtype(self) -> str:
        """Numbers of the vectors: float32, float16, int8 or binary."""
        return self._dtype

    def __len__(self) -> int:
        return int(self._rows.is_there.sum())

    def __iter__(self) -> Iterator[Id]:
        """The ids, in the order in which they were added."""
        rows = zip(self._rows.entries, self._rows.is_there.tolist(), strict=True)
        return (name for (name, _), is_there in rows if is_there)

    def __contains__(self, name: object) -> bool:
        return self._rows.entries.row(name) is not None

    def metadata(self, name: Id) -> Any:
        """The metadata of an id.

        Raises:
            InvalidInputError: There is no such id.
        """
        return self._rows.entries[self._rows.row(name)][1]

    def vectors(self) -> NDArray[np.float32]:
        """The vectors [n, D] of all entries, in the order of iteration, of unit length or of zeros; a copy."""
        table = self._rows.table
        return np.zeros((0, 0), np.float32) if table is None else table.take(np.flatnonzero(self._rows.is_there))

    def __repr__(self) -> str:
        lexical = ", lexical" if self._rows.lexical else ""
        return f"Index({len(self)} entries, dim={self.dim}, dtype={self.dtype}{lexical})"

    def add(
        self,
        texts: str | Iterable[str] | None = None,
        vectors: ArrayLike | None = None,
        ids: Iterable[Id] | None = None,
        metadata: Iterable[Any] | None = None,
    ) -> list[Id]:
        """Add texts, all or none: after an error the index is as before.

        A text without a token that the model knows, and a vector of zeros, is never a dense hit.

        Args:
            texts: Any iterable of texts, which are not kept; one text counts as a list of one.
            vectors: [n, D] vectors to use in place of the model's, of finite numbers and any length. Another model
                may have made them.
            ids: An id for each, a text or a whole number. Default: numbers that this index has not had, from 0 on.
            metadata: What hits bring back, something that JSON can hold for each. Default: `None`.

        Returns:
            The ids.

        Raises:
            InvalidInputError: Arguments do not fit each other or the index, an id is taken, or a text is none.

        Example:
            >>> index = Index(tiny_model())
            >>> index.add(["good"], vectors=[[3, 4]], ids=["a"])
            ['a']
            >>> index.vectors()
            array([[0.6, 0.8]], dtype=float32)
        """
        rows = None if vectors is None else unit_vectors(vectors, self.dim)
        if rows is None and texts is None:
            raise InvalidInputError("Expected texts or vectors to add; found neither.")
        if texts is None and self._rows.lexical is not None:
            raise InvalidInputError("A lexical index should get texts; found vectors alone. Give the texts too.")
        weights, embedder = self._weights, self._embedder
        if self._adapts and weights is None and embedder is not None and texts is not None and rows is None:
            texts = as_texts(texts)
            if texts:
                weights = collection_weights(Ragged(*embedder.token_ids(texts)), embedder.n_tokens)
                embedder = with_weights(embedder, weights)
        table, words = self._table_of(texts, rows, embedder)
        names = default_ids(self._next_id, len(table)) if ids is None else given_ids(ids, len(table))
        about = [None] * len(table) if metadata is None else exactly(metadata, len(table), "metadata")
        self._rows.append(names, about, table, words)
        largest = max((name for name in names if isinstance(name, int)), default=-1)
        self._next_id = max(self._next_id, min(largest, MOST - 1) + 1)
        self._weights, self._embedder = weights, embedder
        return names

    def remove(self, ids: Id | Iterable[Id]) -> None:
        """Remove entries by one id or many, all or none. Their vectors take memory until the index is saved and loaded.

        Raises:
            InvalidInputError: There is no such id.
        """
        named: Any = plain(ids)
        names = [named] if isinstance(named, str | int) else list(map(plain, checks.iterable("ids", named)))
        self._rows.remove(names)

    def _table_of(
        self, texts: str | Iterable[str] | None, rows: NDArray[np.float32] | None, embedder: StaticModel | None
    ) -> tuple[Table, Ragged]:
        """The vectors of texts, or those that were given, as a table; and the words of the texts, if they count."""
        if rows is not None:
            table = Table(self.dtype, rows.shape[1])
            table.append(rows)
        elif embedder is not None:
            table = Table(self.dtype, embedder.dim)
        else:
            raise InvalidInputError("This index has no model to embed texts; found texts alone. Give vectors too.")
        words, lexical, n_texts = [], self._rows.lexical, 0
        for batch in batches([texts] if isinstance(texts, str) else texts):
            if rows is None and embedder is not None:
                try:
                    table.append(as_unit(embedder.encode_document(batch)))
                except BadTextError as error:
                    raise error.moved(n_texts) from None
            else:
                check_texts(batch, n_texts)
            if lexical is not None:
                words.append(lexical.numbers(batch))
            n_texts += len(batch)
        if texts is not None and n_texts != len(table):
            raise InvalidInputError(f"Expected a vector for each text; found {n_texts} texts and {len(table)} vectors.")
        return table, concatenated(words, np.int32)

    # --- search -------------------------------------------------------------------------------------------------

    @overload
    def search(  # type: ignore[overload-overlap]
        self,
        query: str,
        k: int = ...,
        vectors: ArrayLike | None = ...,
        filter: Filter | None = ...,
        *,
        mode: str | None = ...,
        threads: int | None = ...,
    ) -> list[Hit]: ...

    @overload
    def search(
        self,
        query: Iterable[str],
        k: int = ...,
        vectors: ArrayLike | None = ...,
        filter: Filter | None = ...,
        *,
        mode: str | None = ...,
        threads: int | None = ...,
    ) -> list[list[Hit]]: ...

    @overload
    def search(
        self,
        query: None = ...,
        k: int = ...,
        vectors: ArrayLike | None = ...,
        filter: Filter | None = ...,
        *,
        mode: str | None = ...,
        threads: int | None = ...,
    ) -> list[Hit] | list[list[Hit]]: ...

    def search(
        self,
        query: str | Iterable[str] | None = None,
        k: int = 10,
        vectors: ArrayLike | None = None,
        filter: Filter | None = None,
        *,
        mode: str | None = None,
        threads: int | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """The k best entries for a query, or for each of many.

        Of entries with equal scores, the one that was added first comes first. A query without a token that the
        model knows has no dense hits; entries without a word of the query are no lexical hits.

        Args:
            query: A text, or any iterable of texts.
            k: Number of hits; there are fewer if fewer entries fit.
            vectors: [D] vector of a query, or [q, D] of many, to use in place of the model's.
            filter: Which entries may be hits: a mapping with a value, or a list of values, for keys of the metadata;
                or a function of id and metadata.
            mode: "dense" (cosines), "lexical" (BM25) or "hybrid" (both). Default: hybrid for a lexical index.
            threads: Number of threads; needs threadpoolctl, which comes with `m2v-core[search]`. Default: one for each
                CPU that this process may use (without threadpoolctl, a limit of its container does not count).

        Returns:
            The hits of one query, the best first; for many, a list of such lists.

        Raises:
            InvalidInputError: An option is out of range, the vectors have another width than the index, or the mode
                needs what the index or the call lacks.
            MissingPackageError: threadpoolctl is not installed, which `threads` needs.

        Example:
            >>> index = Index(tiny_model())
            >>> _ = index.add(["good", "day"], metadata=[{"page": 1}, {"page": 2}])
            >>> index.search("good day day", k=1)[0].id, index.search("day", filter={"page": 1})[0].id
            (1, 0)
            >>> [len(hits) for hits in index.search(["good", "never seen"])]
            [2, 0]
        """
        one, best = self._best(query, k, vectors, filter, mode, threads)
        found = [
            [Hit(name, score, about) for row, score in pairs for name, about in (self._rows.entries[row],)]
            for pairs in _pairs(best)
        ]
        return found[0] if one else found

    def search_arrays(
        self,
        query: str | Iterable[str] | None = None,
        k: int = 10,
        vectors: ArrayLike | None = None,
        filter: Filter | None = None,
        *,
        mode: str | None = None,
        threads: int | None = None,
    ) -> Hits:
        """The hits of `search` as arrays: positions in `list(index)` and in `vectors()`, and scores.

        Example:
            >>> index = Index(tiny_model())
            >>> _ = index.add(["good", "day"], ids=["a", "b"])
            >>> index.search_arrays(["day", ""], k=2)
            Hits(rows=array([[ 1,  0],
                   [-1, -1]]), scores=array([[  1.,   0.],
                   [-inf, -inf]], dtype=float32))
        """
        one, best = self._best(query, k, vectors, filter, mode, threads)
        rows, left = best.rows, self._rows.left()
        if left is not None:
            rows = np.where(rows == NONE, NONE, np.searchsorted(left, rows))
        return Hits(rows[0], best.scores[0]) if one else Hits(rows, best.scores)

    def _best(
        self,
        query: str | Iterable[str] | None,
        k: int,
        vectors: ArrayLike | None,
        filter: Filter | None,
        mode: str | None,
        threads: int | None,
    ) -> tuple[bool, Best]:
        """Whether there is one query, and the best rows."""
        checks.whole("k", k, 1)
        checks.one_of("mode", mode, MODES, or_none=True)
        if query is None and vectors is None:
            raise InvalidInputError("Expected a query, or vectors of queries; found neither.")
        lexical = self._rows.lexical is not None
        mode = mode or ("hybrid" if lexical and query is not None else "dense")
        if mode != "dense" and not (lexical and query is not None):
            raise InvalidInputError(
                f"mode={mode!r} needs {'the texts of queries' if lexical else 'an index made with lexical=True'}; "
                f"found {'vectors alone' if lexical else 'one without'}. Search with mode='dense'."
            )
        one = isinstance(query, str) if query is not None else is_one_vector(vectors)
        texts = None if query is None else as_texts(query)
        check_texts(texts or [])
        k, allowed = min(k, len(self._rows)), self._rows.allowed(filter)
        with blas_threads(threads):
            if mode == "lexical":
                return one, ranking.lexical(self._rows, texts or [], k, allowed)
            queries = self._query_vectors(texts, vectors, threads)
            if mode == "dense":
                return one, ranking.dense(self._rows, queries, k, allowed)
            return one, ranking.hybrid(self._rows, queries, texts or [], k, allowed)

    def _query_vectors(
        self, texts: list[str] | None, vectors: ArrayLike | None, threads: int | None
    ) -> NDArray[np.float32]:
        if vectors is None:
            if self._embedder is None:
                raise InvalidInputError(
                    "This index has no model to embed queries; found a text. Search by vectors=, or load the index "
                    "with Index.load(folder, model=...)."
                )
            vectors = self._embedder.encode_query(texts or [], threads=threads)
        checked = unit_vectors(vectors, self.dim)
        if texts is not None and len(texts) != len(checked):
            raise InvalidInputError(
                f"Expected a vector for each query; found {len(texts)} queries and {len(checked)} vectors."
            )
        return checked

    # --- files --------------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str], *, include_model: bool = True) -> None:
        """Save the index as a folder, in one step: a reader gets all of the old index or all of the new one.

        Files of others in the folder stay. Removed entries are not saved.

        Args:
            folder: The folder.
            include_model: Whether to save the model too, in the folder `model`.

        Raises:
            OSError: The folder cannot be written.

        Example:
            >>> import tempfile
            >>> index = Index(tiny_model())
            >>> _ = index.add(["good", "day"])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     index.save(folder)
            ...     Index.load(folder).search("day", k=1)
            [Hit(id=1, score=1.0, metadata=None)]
        """
        from m2v_core.search.saving import save

        save(
            folder,
            self._rows,
            dtype=self.dtype,
            next_id=self._next_id,
            model=self._model,
            include_model=include_model,
            adapts=self._adapts,
            token_weights=self._weights,
        )

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        model: StaticModel | str | os.PathLike[str] | None = None,
        *,
        memory_map: bool = True,
    ) -> Self:
        """Load an index from a folder.

        Args:
            folder: The folder.
            model: The model that embeds queries, or its folder or name. Default: the one in the folder, if there is
                one; without a model, queries are vectors.
            memory_map: Whether to leave vectors and metadata in their files, and read them when they are used. The
                files must then not be overwritten; a save by m2v replaces them instead.

        Raises:
            ModelNotFoundError: There is no index.
            ModelFormatError: A file is damaged.
            InvalidInputError: The index was made with another model.
            MissingPackageError: bm25s is not installed, which a lexical index needs.
        """
        from m2v_core.search.saving import load

        stored = load(folder, model, memory_map=memory_map)
        index = cls.__new__(cls)
        index._hold(
            stored.model,
            stored.rows,
            stored.dtype,
            next_id=stored.next_id,
            adapts=stored.adapts,
            weights=stored.token_weights,
        )
        return index


def _pairs(best: Best) -> Iterator[list[tuple[int, float]]]:
    """Rows and scores of the hits of each query."""
    for rows, scores in zip(best.rows, best.scores, strict=True):
        n = int((rows != NONE).sum())
        yield list(zip(rows[:n].tolist(), scores[:n].tolist(), strict=True))
