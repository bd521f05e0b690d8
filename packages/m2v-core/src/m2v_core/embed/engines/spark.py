"""Spark: a data frame with the vectors of a column of texts, and a function of SQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from m2v_core.embed.arrow import pa
from m2v_core.embed.batches import BatchEmbedder
from m2v_core.errors import InvalidInputError
from m2v_core.extras import needs
from m2v_core.model import StaticModel

with needs("pyspark"):
    from pyspark.sql import DataFrame
    from pyspark.sql.functions import pandas_udf
    from pyspark.sql.types import ArrayType, ByteType, DataType, FloatType, StructField, StructType

#: Types of Spark by the dtype of vectors; there is none for float16 and uint8.
_TYPES: dict[str, Callable[[], DataType]] = {"float32": FloatType, "int8": ByteType}


def with_vectors(frame: DataFrame, model: StaticModel | str | os.PathLike[str], **options: Any) -> DataFrame:
    """A data frame with a column of vectors, `array<float>`, by `mapInArrow`; zeros for a null.

    A process of Python loads the model of a folder once, and keeps it for the next task.

    Args:
        frame: A data frame with a column of texts.
        model: A folder that each worker can read, `org/name`, or a model, which is sent with each task.
        options: See `BatchEmbedder`.

    Raises:
        InvalidInputError: An option is out of range, a column is missing, or Spark has no such numbers.
        M2VError: The model cannot be loaded, or does not have what the options ask for.
    """
    embedder = BatchEmbedder(model, **options)
    embedder.check("The data frame", frame.columns)
    config = embedder.config
    kept = [frame.schema[name] for name in (frame.columns if config.keep is None else config.keep)]
    schema = StructType([*kept, StructField(config.vector_column, _array_type(embedder))])

    def embedded(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield pa.RecordBatch.from_arrays(_as_lists(embedder(batch)), names=schema.names)

    return frame.mapInArrow(embedded, schema)


def embed_udf(model: StaticModel | str | os.PathLike[str], **options: Any) -> Any:
    """A `pandas_udf` of a column of texts, for expressions and, by `spark.udf.register`, for SQL.

    It is slower than `with_vectors`: pandas has no column of vectors, but an object for each.

    Args:
        model: A folder that each worker can read, `org/name`, or a model, which is sent with each task.
        options: See `BatchEmbedder`.

    Raises:
        InvalidInputError: An option is out of range, or Spark has no such numbers.
        M2VError: The model cannot be loaded, or does not have what the options ask for.
    """
    embedder = BatchEmbedder(model, **options)

    def embed(parts: Iterator[Any]) -> Iterator[Any]:
        import pandas as pd  # pyspark needs it for this

        for texts in parts:
            yield pd.Series(list(embedder.vectors(texts.tolist())))

    embed.__annotations__ = {"parts": Iterator[_series()], "return": Iterator[_series()]}  # type: ignore[misc] # pyspark reads them
    return pandas_udf(embed, returnType=_array_type(embedder))


def _series() -> Any:
    import pandas as pd

    return pd.Series


def _array_type(embedder: BatchEmbedder) -> ArrayType:
    if embedder.dtype.name not in _TYPES:
        raise InvalidInputError(
            f"precision should be one that Spark has numbers for; found {embedder.config.precision!r}. Use float32."
        )
    return ArrayType(_TYPES[embedder.dtype.name](), containsNull=False)


def _as_lists(batch: Any) -> list[Any]:
    """The columns of a batch, with the vectors in the last one as lists, since Spark reads none of fixed size."""
    vectors = batch.column(batch.num_columns - 1)
    offsets = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.type.list_size
    values = pa.ListArray.from_buffers(
        pa.list_(vectors.type.value_type), len(vectors), [None, pa.py_buffer(offsets)], children=[vectors.values]
    )
    return [*batch.columns[:-1], values]
