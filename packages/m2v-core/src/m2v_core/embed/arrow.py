"""The parts of pyarrow that files need, in one place: without them the error names the extra."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import MissingPackageError

try:
    import pyarrow as pa
    from pyarrow import csv, json, parquet
except ModuleNotFoundError:
    raise MissingPackageError(
        "Embedding files needs pyarrow, which is not installed: pip install 'm2v-core[embed]'"
    ) from None

__all__ = ["csv", "fixed_size_list", "json", "os_file", "pa", "parquet", "vector_type"]


def os_file(path: Path) -> Any:
    """An open file of any name; of a `str` pyarrow takes only those that are UTF-8."""
    return pa.OSFile(os.fsencode(path))


def vector_type(dim: int, dtype: np.dtype[Any]) -> Any:
    """The Arrow type of vectors.

    Example:
        >>> vector_type(2, np.dtype("int8"))
        FixedSizeListType(fixed_size_list<item: int8>[2])
    """
    return pa.list_(pa.from_numpy_dtype(dtype), dim)


def fixed_size_list(vectors: NDArray[Any]) -> Any:
    """Vectors [n, D] as an Arrow array of fixed-size lists, without a copy.

    `pyarrow.array` would import pandas where it is installed, which takes a second.

    Example:
        >>> fixed_size_list(np.array([[1, 2], [3, 4]], np.int8)).to_pylist()
        [[1, 2], [3, 4]]
    """
    buffer = pa.py_buffer(np.ascontiguousarray(vectors))
    values = pa.Array.from_buffers(pa.from_numpy_dtype(vectors.dtype), vectors.size, [None, buffer])
    return pa.FixedSizeListArray.from_arrays(values, type=vector_type(vectors.shape[1], vectors.dtype))
