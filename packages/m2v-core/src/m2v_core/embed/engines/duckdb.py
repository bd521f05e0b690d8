"""DuckDB: a function of SQL for the vectors of texts."""

from __future__ import annotations

import os
from typing import Any

from m2v_core.embed.arrow import fixed_size_list
from m2v_core.embed.batches import BatchEmbedder
from m2v_core.errors import InvalidInputError
from m2v_core.extras import needs
from m2v_core.model import StaticModel

with needs("duckdb"):
    import duckdb

#: Types of SQL by the dtype of vectors; there is none for float16.
_TYPES = {"float32": "FLOAT", "int8": "TINYINT", "uint8": "UTINYINT"}


def create_function(
    connection: duckdb.DuckDBPyConnection,
    model: StaticModel | str | os.PathLike[str],
    name: str = "embed",
    **options: Any,
) -> None:
    """Add a function of a text to a connection that returns its vector, `FLOAT[D]`; zeros for NULL.

    DuckDB hands over 2,048 rows at a time, and its threads take turns in Python.

    Args:
        connection: An open connection.
        model: A folder, `org/name`, or a model.
        name: Name of the function.
        options: See `BatchEmbedder`.

    Raises:
        InvalidInputError: An option is out of range; or the precision is float16, which DuckDB does not have.
        M2VError: The model cannot be loaded, or does not have what the options ask for.

    Example:
        >>> connection = duckdb.connect()
        >>> create_function(connection, tiny_model())
        >>> connection.sql("SELECT embed('good day')").fetchall()
        [((0.5, 0.5),)]
    """
    embedder = BatchEmbedder(model, **options)
    if embedder.dtype.name not in _TYPES:
        raise InvalidInputError(
            f"precision should be one that DuckDB has a type for; found {embedder.config.precision!r}. Use float32."
        )
    kind = connection.type(f"{_TYPES[embedder.dtype.name]}[{embedder.dim}]")

    def vectors(texts: Any) -> Any:
        return fixed_size_list(embedder.vectors(texts.to_pylist()))

    connection.create_function(name, vectors, ["VARCHAR"], kind, type="arrow", null_handling="special")
