"""The files of a repository on the Hub, with their sizes and checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT

from m2v_hub.client import Client


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        size: Size in bytes; `None` if the Hub does not tell.
        sha256: Checksum of a large file (LFS, Xet).
        git_oid: Git's object id of any other file.
    """

    size: int | None = None
    sha256: str | None = None
    git_oid: str | None = None

    def is_same(self, path: Path) -> bool:
        """Whether a local file has the size and the checksum of this file."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return False
        if self.sha256 is not None:
            return file_hash(path, "sha256") == self.sha256
        return self.git_oid is None or file_hash(path, "sha1", b"blob %d\0" % size) == self.git_oid


@dataclass(frozen=True)
class Remote:
    """A repository at a commit.

    Attributes:
        commit: Hash of the commit; `None` if there is no commit yet.
        files: Files by their paths.
        private: Whether the repository is private.
    """

    commit: str | None
    files: Mapping[str, RemoteFile]
    private: bool


def read_remote(client: Client) -> Remote:
    """Ask the Hub for the files of the client's repository, by one request."""
    info = client.api.model_info(
        client.repo_id, revision=client.revision, files_metadata=True, timeout=HF_HUB_ETAG_TIMEOUT
    )
    files = {
        file.rfilename: RemoteFile(file.size, file.lfs.sha256 if file.lfs else None, None if file.lfs else file.blob_id)
        for file in info.siblings or ()
    }
    return Remote(info.sha, files, bool(info.private))


def file_hash(path: Path, algorithm: str, prefix: bytes = b"") -> str:
    """The hexadecimal hash of `prefix` and a file's content; git prefixes "blob", the size and a zero byte."""
    digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
