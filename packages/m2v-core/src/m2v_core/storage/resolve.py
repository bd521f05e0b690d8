"""From what a user calls a model (a folder, or `org/name`) to a folder on this machine, and back to the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from m2v_core.errors import InvalidInputError, MissingPackageError, ModelNotFoundError

#: Packages that know where `org/name` lives register a function here, with the signature of the call below.
RESOLVERS = "m2v.resolvers"

#: Packages that know how to publish a model or a pipeline register a function here, with the signature of `publish`.
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

    A folder wins; else `org/name` is asked of the resolvers that are installed (m2v-hub brings one).

    Args:
        reference: A folder, or a repository id `org/name`.
        subfolder: A folder inside it.
        token: Passed on to the resolver.
        revision: A branch, tag or commit of the repository.
        force_download: Ask for the newest state; if False, what is cached will do.

    Raises:
        ModelNotFoundError: There is no such folder or repository.
        MissingPackageError: `org/name` needs a resolver and none is installed.
        InvalidInputError: `subfolder` leaves the folder.
    """
    inner = PurePosixPath(subfolder or ".")
    if inner.is_absolute() or ".." in inner.parts or "\\" in str(inner):
        raise InvalidInputError(f"subfolder should be a path inside the model; found {subfolder!r}.")
    folder = Path(reference)
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
    """Publish a `StaticModel` or a `StaticModelPipeline` by the publisher that is installed; says where it lies now.

    Args:
        model: The model or pipeline.
        repo_id: `org/name`.
        options: Those of the publisher; m2v-hub's is `m2v_hub.push_to_hub`.

    Raises:
        MissingPackageError: There is no publisher.
    """
    push = _first_of(PUBLISHERS)
    if push is None:
        raise MissingPackageError(
            f"To publish {repo_id!r} on the Hugging Face Hub another package is needed: pip install m2v-hub"
        )
    return str(push(model, repo_id, **options))


def _ask_resolvers(name: str, **options: str | bool | None) -> Path:
    ask = _first_of(RESOLVERS)
    if ask is None:
        raise MissingPackageError(
            f"There is no folder {name!r} here, and to look for it on the Hugging Face Hub another package is "
            f"needed: pip install m2v-hub"
        )
    return Path(ask(name, **options))


def _first_of(group: str) -> Callable[..., Any] | None:
    """What the first entry point of a group names, by name; `None` if there is none."""
    from importlib.metadata import entry_points  # a tenth of the time that importing m2v_core takes

    found = sorted(entry_points(group=group), key=lambda point: point.name)
    return found[0].load() if found else None
