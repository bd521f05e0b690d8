"""The resolver that m2v-core finds under the entry point `m2v.resolvers`."""

from __future__ import annotations

from pathlib import Path

from m2v_core.errors import ModelNotFoundError
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
            if (folder / (subfolder or ".")).is_dir():
                return folder
    return download(name, revision=revision, subfolder=subfolder, token=token)
