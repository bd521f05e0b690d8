"""The tokenizers library, imported when something first needs it: it takes time and memory."""

from __future__ import annotations

from types import ModuleType

from m2v_core.errors import MissingPackageError


def library() -> ModuleType:
    """The module `m2v_core.tokenize.backend`.

    Raises:
        MissingPackageError: The package tokenizers is not installed.
    """
    try:
        from m2v_core.tokenize import backend
    except ModuleNotFoundError as error:
        if error.name != "tokenizers":
            raise
        raise MissingPackageError(
            "This needs the package tokenizers, which is not installed: pip install tokenizers. Without it, m2v-core "
            "tokenises plain texts by WordPiece and Unigram models, and by those with a compiled vocabulary (m2v "
            "compile)."
        ) from None
    return backend
