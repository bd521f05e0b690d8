"""Finds the local folder of a model named by a folder or `org/name`, and publishes models, through entry points."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from m2v_core import checks
from m2v_core.errors import InvalidInputError, MissingPackageError, ModelNotFoundError

#: Entry-point group of functions that find `org/name`, with the signature of `resolve`.
RESOLVERS = "m2v.resolvers"

#: Entry-point group of functions that publish a model or a pipeline, with the signature of `publish`.
PUBLISHERS = "m2v.publishers"

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*[\w-]", re.ASCII)


def resolve(
    reference: str | os.PathLike[str],
    *,
    subfolder: str | None = None,
    token: str | None = None,
    revision: str | None = None,
    force_download: bool = True,
) -> Path:
    """The local folder of a model.

    A local folder has priority; else an installed resolver finds `org/name` (m2v-hub has one).

    Args:
        reference: A folder, or a repository id `org/name`.
        subfolder: Path of the model inside the folder or repository.
        token: Hub token for the resolver.
        revision: Branch, tag or commit of the repository.
        force_download: Whether to ask for the newest version; if False, a cached one is used as it is.

    Raises:
        ModelNotFoundError: There is no such folder or repository.
        MissingPackageError: `org/name` needs a resolver and none is installed.
        InvalidInputError: `subfolder` is not inside the folder.
    """
    checks.expect(isinstance(subfolder, str | None), "subfolder", "a path in the model, or None", subfolder)
    inner = PurePosixPath(subfolder or ".")
    if inner.is_absolute() or ".." in inner.parts or "\\" in str(inner):
        raise InvalidInputError(f"subfolder should be a path inside the model; found {checks.shown(subfolder)}.")
    folder = checks.path("the model", reference)
    if not folder.exists():
        name = os.fspath(reference)
        if not _REPO_ID.fullmatch(name):
            raise ModelNotFoundError(
                f"{name!r} is neither a folder on this machine (looked from {Path.cwd()}) nor a repository id "
                f"like 'org/name'. Check the spelling and the working directory."
            )
        folder = _ask_resolvers(
            name, subfolder=subfolder, token=token, revision=revision, force_download=force_download
        )
    if not (folder / inner).is_dir():
        raise ModelNotFoundError(f"{folder / inner} is not a folder; a model is a folder of files.")
    return folder / inner


def publish(model: object, repo_id: str, **options: Any) -> str:
    """Publish a `StaticModel` or a `StaticModelPipeline` with the installed publisher, and return its URL.

    Args:
        model: The model or pipeline.
        repo_id: Repository id, `org/name`.
        options: Options of the publisher; that of m2v-hub is `m2v_hub.push_to_hub`.

    Raises:
        MissingPackageError: No publisher is installed.
    """
    push = _first_of(PUBLISHERS)
    if push is None:
        raise MissingPackageError(
            f"Publishing {repo_id!r} on the Hugging Face Hub needs another package: pip install m2v-hub"
        )
    return str(push(model, repo_id, **options))


def _ask_resolvers(name: str, **options: str | bool | None) -> Path:
    ask = _first_of(RESOLVERS)
    if ask is None:
        raise MissingPackageError(
            f"There is no folder {name!r} here, and looking for it on the Hugging Face Hub needs another package: "
            f"pip install m2v-hub"
        )
    return Path(ask(name, **options))


def _first_of(group: str) -> Callable[..., Any] | None:
    """The function of a group's first entry point, in the order of names; `None` if there is none."""
    from importlib.metadata import entry_points  # slow to import, and few need it

    found = sorted(entry_points(group=group), key=lambda point: point.name)
    return found[0].load() if found else None
