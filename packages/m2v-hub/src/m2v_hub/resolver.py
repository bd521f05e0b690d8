"""The resolver that m2v-core finds by the entry-point group `m2v.resolvers`."""

from __future__ import annotations

from pathlib import Path

from m2v_hub.cache import cached_model
from m2v_hub.fetch import download
from m2v_hub.names import checked_repo_id, checked_revision, checked_subfolder


def resolve(
    name: str,
    *,
    subfolder: str | None = None,
    token: str | None = None,
    revision: str | None = None,
    force_download: bool = True,
) -> Path:
    """Return a local folder with the files of the Hub repository `name`.

    Args:
        name: Repository id, `org/name`.
        subfolder: Path of the model inside the repository.
        token: Hub token.
        revision: Branch, tag or commit.
        force_download: Whether to ask the Hub for the newest state. Unchanged files come from the cache, and so do all
            files if the Hub cannot be reached. If False, a cached model is used without a request.

    Raises:
        M2VError: See `m2v_hub.download`.
    """
    if not force_download:
        cached = cached_model(
            checked_repo_id(name), checked_revision(revision), checked_subfolder(subfolder), cache_dir=None
        )
        if cached is not None:
            return cached
    return download(name, revision=revision, subfolder=subfolder, token=token)
