"""Imports of libraries that are optional."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from m2v_core.errors import MissingPackageError


@contextmanager
def needs(requirement: str) -> Iterator[None]:
    """Imports of another library; where it is missing, the error says what to install.

    Raises:
        MissingPackageError: A module is not installed.

    Example:
        >>> with needs("not-there"):
        ...     import not_there
        Traceback (most recent call last):
        ...
        m2v_core.errors.MissingPackageError: This needs not-there, which is not installed: pip install 'not-there'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"This needs {requirement}, which is not installed: pip install '{requirement}'"
        ) from error
