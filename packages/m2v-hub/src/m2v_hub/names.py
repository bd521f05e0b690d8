"""Checks of repository ids, revisions, subfolders and paths, before they become URLs and file paths."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from m2v_core.checks import expect
from m2v_core.errors import InvalidInputError

MAIN = "main"

#: A whole commit hash, which names the same content forever.
COMMIT = re.compile(r"[0-9a-f]{40}")

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*[\w-]", re.ASCII)
_ANY_REPO_ID = re.compile(r"(?:\b[\w.-]+\b/)?\b[\w.-]{1,96}\b", re.ASCII)  # as in huggingface_hub's validate_repo_id
_NOT_IN_REF = re.compile(r"[\s~^:?*\[\\]|\.\.")  # as in git-check-ref-format(1)


def is_repo_id(name: str) -> bool:
    """Whether the Hub accepts a name as a repository id, with an organisation or (for canonical models) without.

    Example:
        >>> from m2v_hub.names import is_repo_id
        >>> is_repo_id("org/name"), is_repo_id("bert-base-uncased"), is_repo_id("../name")
        (True, True, False)
    """
    valid = _ANY_REPO_ID.fullmatch(name) and not name.endswith(".git")
    return bool(valid) and "--" not in name and ".." not in name


def checked_repo_id(repo_id: str) -> str:
    """Return `repo_id` if it has the form `org/name`.

    Raises:
        InvalidInputError: It has another form.
    """
    expect(isinstance(repo_id, str), "repo_id", "a repository id like 'org/name'", repo_id)
    if not _REPO_ID.fullmatch(repo_id) or "--" in repo_id or ".." in repo_id:
        raise InvalidInputError(f"A repository id looks like 'org/name'; found {repo_id!r}.")
    return repo_id


def checked_revision(revision: str | None) -> str:
    """Return a branch, tag or commit if git allows its name, and `main` for `None`.

    Raises:
        InvalidInputError: Git does not allow it.

    Example:
        >>> from m2v_hub.names import checked_revision
        >>> checked_revision(None), checked_revision("refs/pr/1")
        ('main', 'refs/pr/1')
    """
    if revision is None:
        return MAIN
    expect(isinstance(revision, str), "revision", "a branch, tag or commit", revision)
    is_valid = revision.isprintable() and not _NOT_IN_REF.search(revision) and not revision.startswith("-")
    if not is_valid or any(part in ("", ".") for part in revision.split("/")):
        raise InvalidInputError(f"revision should be a branch, tag or commit; found {revision!r}.")
    return revision


def checked_subfolder(subfolder: str | None) -> str:
    """Return a path inside a repository without slashes around it, and "" for `None`.

    Raises:
        InvalidInputError: It may leave the repository.

    Example:
        >>> from m2v_hub.names import checked_subfolder
        >>> checked_subfolder("small/int8/"), checked_subfolder(None)
        ('small/int8', '')
    """
    expect(isinstance(subfolder, str | None), "subfolder", "a path inside the repository, or None", subfolder)
    path = (subfolder or "").rstrip("/")
    if path and not is_inside(path):
        raise InvalidInputError(f"subfolder should be a path inside the repository; found {subfolder!r}.")
    return path


def is_inside(path: str) -> bool:
    r"""Whether a path stays inside its repository on every operating system, and is printable.

    Example:
        >>> from m2v_hub.names import is_inside
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


def path_in(folder: str, name: str) -> str:
    """The path of `name` in `folder`; `folder` is "" for the top level of the repository."""
    return f"{folder}/{name}" if folder else name
