"""Daft: a class UDF for the vectors of a column of texts."""

from __future__ import annotations

import os
from typing import Any

from m2v_core.embed.arrow import fixed_size_list
from m2v_core.embed.batches import BatchEmbedder
from m2v_core.extras import needs
from m2v_core.model import StaticModel

with needs("daft"):
    import daft


def embed_udf(
    model: StaticModel | str | os.PathLike[str],
    *,
    max_concurrency: int | None = None,
    use_process: bool | None = None,
    batch_size: int | None = 16_384,
    **options: Any,
) -> Any:
    """A function of a column of texts that returns their vectors, lists of fixed size; zeros for a null.

    Its type is none of `Embedding`, with which Daft 0.7 leaves a UDF in its own process, whatever `use_process` says; a
    cast makes it one.

    Args:
        model: A folder that each worker can read, `org/name`, or a model, which is sent to each.
        max_concurrency: Number of instances at a time. Default: Daft's choice.
        use_process: Whether each instance has a process of its own. Default: Daft's choice.
        batch_size: Rows of a batch.
        options: See `BatchEmbedder`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded, or does not have what the options ask for.

    Example:
        >>> frame = daft.from_pydict({"text": ["good day", None]})
        >>> embed = embed_udf(tiny_model())
        >>> frame.select(embed(frame["text"]).alias("v")).to_pydict()["v"]
        [[0.5, 0.5], [0.0, 0.0]]
    """
    embedder = BatchEmbedder(model, **options)
    number = daft.DataType.from_numpy_dtype(embedder.dtype)
    kind = daft.DataType.fixed_size_list(number, embedder.dim)

    @daft.cls(max_concurrency=max_concurrency, use_process=use_process)
    class Embed:
        def __init__(self, embedder: BatchEmbedder) -> None:
            self.embedder = embedder

        @daft.method.batch(return_dtype=kind, batch_size=batch_size)
        def __call__(self, texts: Any) -> Any:
            return fixed_size_list(self.embedder.vectors(texts.to_pylist()))

    return Embed(embedder)
