"""The resolver that m2v-core finds under the entry point `m2v.resolvers`."""

from __future__ import annotations

from pathlib import Path

from m2v_hub.cache import cached_model
from m2v_hub.download import download
from m2v_hub.names import checked_repo_id, checked_revision, checked_subfolder


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
        ModelNotFoundError: See `m2v_hub.download`, and for other errors too.
    """
    if not force_download:
        cached = cached_model(
            checked_repo_id(name), checked_revision(revision), checked_subfolder(subfolder), cache_dir=None
        )
        if cached is not None:
            return cached
    return download(name, revision=revision, subfolder=subfolder, token=token)
