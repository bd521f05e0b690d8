"""The resolver that m2v-core finds under the entry point `m2v.resolvers`."""

from __future__ import annotations

from pathlib import Path

from m2v_core.errors import ModelNotFoundError
from m2v_core.foreign import NESTED
from m2v_core.format import TENSOR_FILE, TOKENIZER_FILE
from m2v_hub.download import download


def resolve(
    name: str,
    *,
    subfolder: str | None = None,
    token: str | None = None,
    revision: str | None = None,
    force_download: bool = True,
) -> Path:
    """The local folder of the Hub repository `name`.

    Args:
        name: `org/name`.
        subfolder: The model's place inside the repository.
        token: A Hub token.
        revision: A branch, tag or commit.
        force_download: Ask the Hub for the newest state (unchanged files come from the cache, and so do all if the Hub
            cannot be reached). If False, a cached model is used without a request.

    Raises:
        ModelNotFoundError: See `m2v_hub.download`.
    """
    if not force_download:
        try:
            folder = download(name, revision=revision, subfolder=subfolder, local_files_only=True)
        except ModelNotFoundError:
            pass  # not cached yet
        else:
            if _holds_model(folder / (subfolder or ".")):
                return folder
    return download(name, revision=revision, subfolder=subfolder, token=token)


def _holds_model(folder: Path) -> bool:
    """Whether a cached folder has the files of a model, rather than those of another subfolder."""
    places = (folder, folder / NESTED)
    return any((place / TENSOR_FILE).is_file() and (place / TOKENIZER_FILE).is_file() for place in places)
