"""What a repository on the Hub holds: its files, with their sizes and checksums."""

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
        size: Bytes; `None` if the Hub does not say.
        sha256: Of the content, for large files (LFS, Xet).
        git_oid: Git's id of the content, for the others.
    """

    size: int | None = None
    sha256: str | None = None
    git_oid: str | None = None

    def is_same(self, path: Path) -> bool:
        """Whether a local file has the size and the checksum that the Hub tells."""
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
        commit: The hash of the commit; `None` if there is none yet.
        files: By path.
        private: Whether others cannot see it.
    """

    commit: str | None
    files: Mapping[str, RemoteFile]
    private: bool


def read_remote(client: Client) -> Remote:
    """What the Hub says of the client's repository, by one request."""
    info = client.api.model_info(
        client.repo_id, revision=client.revision, files_metadata=True, timeout=HF_HUB_ETAG_TIMEOUT
    )
    files = {
        file.rfilename: RemoteFile(file.size, file.lfs.sha256 if file.lfs else None, None if file.lfs else file.blob_id)
        for file in info.siblings or ()
    }
    return Remote(info.sha, files, bool(info.private))


def file_hash(path: Path, algorithm: str, prefix: bytes = b"") -> str:
    """The hexadecimal hash of `prefix` and a file's content; git's prefix of a file is "blob", its size and a zero."""
    digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
