"""Names of repositories, revisions, folders and files, checked before they become addresses and paths."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from m2v_core.errors import InvalidInputError

MAIN = "main"

#: A whole commit hash; what it names never changes.
COMMIT = re.compile(r"[0-9a-f]{40}")

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*[\w-]", re.ASCII)
_NO_REF = re.compile(r"[\s~^:?*\[\\]|\.\.")  # what git-check-ref-format(1) rules out


def checked_repo_id(repo_id: str) -> str:
    """`repo_id`, of the form `org/name`.

    Raises:
        InvalidInputError: It is of another form.
    """
    if not _REPO_ID.fullmatch(repo_id) or "--" in repo_id or ".." in repo_id:
        raise InvalidInputError(f"A repository id looks like 'org/name'; found {repo_id!r}.")
    return repo_id


def checked_revision(revision: str | None) -> str:
    """A branch, tag or commit that git allows; `main` for `None`.

    Example:
        >>> checked_revision(None), checked_revision("refs/pr/1")
        ('main', 'refs/pr/1')
    """
    if revision is None:
        return MAIN
    sound = revision.isprintable() and not _NO_REF.search(revision) and not revision.startswith("-")
    if not sound or any(part in ("", ".") for part in revision.split("/")):
        raise InvalidInputError(f"revision should be a branch, tag or commit; found {revision!r}.")
    return revision


def checked_subfolder(subfolder: str | None) -> str:
    """A path inside a repository without slashes around it; "" for `None`.

    Example:
        >>> checked_subfolder("small/int8/"), checked_subfolder(None)
        ('small/int8', '')
    """
    path = (subfolder or "").rstrip("/")
    if path and not is_inside(path):
        raise InvalidInputError(f"subfolder should be a path inside the repository; found {subfolder!r}.")
    return path


def is_inside(path: str) -> bool:
    r"""Whether the path of a file or folder stays inside its repository on every system, and can be shown.

    Example:
        >>> is_inside("onnx/model.onnx"), is_inside("a/../../b"), is_inside("C:/b"), is_inside("a\x1b[2J")
        (True, False, False, False)
    """
    parts = PurePosixPath(path).parts
    return (
        bool(parts)
        and path.isprintable()
        and not path.startswith("/")
        and not {"..", ".git"} & set(parts)
        and not set('\\:*?"<>|') & set(path)
    )


def joined(folder: str, name: str) -> str:
    """The path of `name` in `folder`, which is "" for the repository itself."""
    return f"{folder}/{name}" if folder else name
