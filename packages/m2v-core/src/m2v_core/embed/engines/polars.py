"""Polars: an expression for the vectors of a column of texts."""

from __future__ import annotations

import os
from typing import Any

from m2v_core.embed.batches import BatchEmbedder
from m2v_core.extras import needs
from m2v_core.model import StaticModel

with needs("polars"):
    import polars as pl


def embedded(
    texts: str | pl.Expr, model: StaticModel | str | os.PathLike[str], *, threads: int | None = None, **options: Any
) -> pl.Expr:
    """The vectors of texts, as a column of `Array`; zeros for a null.

    Args:
        texts: A column, or an expression of texts.
        model: A folder, `org/name`, or a model.
        threads: Threads for a batch. Default: one for each CPU that this process may use.
        options: See `BatchEmbedder`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded, or does not have what the options ask for.

    Example:
        >>> table = pl.DataFrame({"text": ["good day", "day", None]})
        >>> table.select(embedded("text", tiny_model())).to_series().to_list()
        [[0.5, 0.5], [0.0, 1.0], [0.0, 0.0]]
    """
    embedder = BatchEmbedder(model, threads=threads, **options)
    kind = pl.Array(pl.Series(embedder.vectors([""])[0]).dtype, embedder.dim)

    def vectors(column: pl.Series) -> pl.Series:
        return pl.Series(column.name, embedder.vectors(column.to_list()), dtype=kind)

    column = pl.col(texts) if isinstance(texts, str) else texts
    return column.map_batches(vectors, return_dtype=kind, is_elementwise=True).alias(embedder.config.vector_column)
