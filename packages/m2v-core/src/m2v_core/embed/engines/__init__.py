"""The same vectors inside other engines, a module for each, which needs its library and which nothing imports here.

Ray Data, and whatever else runs a function on batches, needs none: `m2v_core.embed.BatchEmbedder` is that function. All
modules take a model, or a folder that each worker can read, and the options of `EmbedConfig` that decide the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from m2v_core.errors import MissingPackageError


@contextmanager
def needs(package: str) -> Iterator[None]:
    """Imports of an engine; where it is missing, the error says what to install.

    Raises:
        MissingPackageError: A module is not installed.

    Example:
        >>> with needs("not-there"):
        ...     import not_there
        Traceback (most recent call last):
        ...
        m2v_core.errors.MissingPackageError: This needs not-there, which is not installed: pip install not-there
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"This needs {package}, which is not installed: pip install {package}") from error
