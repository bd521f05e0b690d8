"""The path from texts to vectors: tokenise, look up the rows of the tokens, average.

Texts are worked on in spans of a few batches, by several threads where there are many.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.encode import pool
from m2v_core.encode.batches import Batching, check_batching, in_batches
from m2v_core.encode.rows import Rows
from m2v_core.errors import BadTextError
from m2v_core.ragged import Ragged, concatenated
from m2v_core.tokenize.tokens import TextTokenizer

if TYPE_CHECKING:
    from m2v_core.encode.output import Output


@dataclass(frozen=True)
class Encoder:
    """A tokenizer and the rows of its tokens; it may be shared between threads.

    In all methods `max_length` is the number of tokens at which a text is truncated (`None` for no limit),
    `normalize` scales vectors to unit length, and `output` is the form into which they are brought after that.

    Attributes:
        tokenizer: Texts to token ids.
        rows: Token ids to rows.
    """

    tokenizer: TextTokenizer
    rows: Rows

    def vector(self, text: str, max_length: int | None, normalize: bool) -> NDArray[np.float32]:
        """The vector [D] of one text."""
        checks.whole("max_length", max_length, 1, or_none=True)
        return self._one(text, max_length, normalize)[0]

    def _one(self, text: str, max_length: int | None, normalize: bool) -> tuple[NDArray[np.float32], int]:
        """The vector [D] of one text, and the number of its tokens."""
        ids = self.tokenizer.one(text, max_length)
        if len(ids) > pool.MANY:
            rows, positions = self.rows.of(ids)
            tokens = Ragged(positions, np.array([0, len(ids)]))
            return pool.embed(rows, tokens, normalize=normalize)[0], len(ids)
        return pool.embed_one(self.rows.take(ids), normalize=normalize), len(ids)

    def vectors(
        self,
        texts: list[str],
        max_length: int | None,
        normalize: bool,
        batching: Batching,
        output: Output | None = None,
        counts: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """The vectors [n, D] of texts, or [n, width] of `output`; `counts` [n] gets the tokens of each text."""
        checks.whole("max_length", max_length, 1, or_none=True)
        width, dtype = (self.rows.dim, np.float32) if output is None else (output.width, output.dtype)
        vectors: NDArray[Any] = np.empty((len(texts), width), dtype)

        def embed(span: slice) -> None:
            ids = self.tokenizer(texts[span], max_length)
            rows, positions = self.rows.of(ids.values)
            tokens = Ragged(positions, ids.offsets)
            if counts is not None:
                counts[span] = ids.lengths
            if output is None:
                pool.embed(rows, tokens, normalize=normalize, out=vectors[span])
            else:
                vectors[span] = output(pool.embed(rows, tokens, normalize=normalize))

        if len(texts) == 1 and output is None and isinstance(texts[0], str):  # a quarter of the time of a batch
            check_batching(batching)
            vectors[0], n_tokens = self._one(texts[0], max_length, normalize)
            if counts is not None:
                counts[0] = n_tokens
            return vectors
        in_batches(embed, texts, batching, self.tokenizer.bad_text)
        return vectors

    def stream(
        self,
        texts: Iterable[str],
        n_texts: int,
        max_length: int | None,
        normalize: bool,
        batching: Batching,
        output: Output | None = None,
    ) -> Iterator[NDArray[Any]]:
        """The vectors of texts as they come, an array for each `n_texts` texts."""
        remaining, n_before = iter(texts), 0
        while batch := list(islice(remaining, min(n_texts, sys.maxsize))):
            try:
                vectors = self.vectors(batch, max_length, normalize, batching, output)
            except BadTextError as error:
                raise error.moved(n_before) from None
            yield vectors
            n_before += len(batch)

    def sequences(self, texts: list[str], max_length: int | None, batching: Batching) -> list[NDArray[np.float32]]:
        """The vectors of each text's tokens, [tokens, D]."""
        checks.whole("max_length", max_length, 1, or_none=True)

        def embed(span: slice) -> list[NDArray[np.float32]]:
            ids = self.tokenizer(texts[span], max_length)
            rows, positions = self.rows.of(ids.values)
            return pool.sequences(rows, Ragged(positions, ids.offsets))

        return list(chain.from_iterable(in_batches(embed, texts, batching, self.tokenizer.bad_text)))

    def token_ids(self, texts: list[str], max_length: int | None, batching: Batching) -> Ragged:
        """The token ids of each text, without the unknown token."""
        checks.whole("max_length", max_length, 1, or_none=True)

        def tokenize(span: slice) -> Ragged:
            return self.tokenizer(texts[span], max_length)

        return concatenated(in_batches(tokenize, texts, batching, self.tokenizer.bad_text))
