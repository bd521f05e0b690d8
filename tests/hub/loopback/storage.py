"""Repositories: commits of files, branches and tags that name commits, and the store of large files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub.loopback.faults import Fault


@dataclass(frozen=True)
class File:
    """Attributes:
    data: The content; `None` for one that Xet keeps.
    large: Whether LFS (or Xet) keeps it, not git.
    """

    data: bytes | None
    large: bool = False
    size: int = -1
    sha256: str = ""
    xet_hash: str | None = None

    @classmethod
    def of(cls, path: str, data: bytes) -> File:
        return cls(data, is_large(path, len(data)), len(data), hashlib.sha256(data).hexdigest())

    @property
    def git_oid(self) -> str:
        """Git's id of the blob: the content's, or that of LFS's pointer."""
        data = self.data
        if self.large:
            data = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git_oid


def is_large(path: str, size: int) -> bool:
    return path.endswith((".safetensors", ".onnx", ".bin", ".npy")) or size > 10_000_000


@dataclass(frozen=True)
class Commit:
    files: Mapping[str, File]
    parent: str = ""
    title: str = "initial commit"

    @property
    def oid(self) -> str:
        content = "".join(f"{path}\0{file.etag}\0" for path, file in sorted(self.files.items()))
        text = f"{content}\0{self.parent}\0{self.title}"
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Repo:
    """Args:
    revisions: A branch or tag -> its files, by path.
    token: If set, whoever comes without it is told that there is no such repository.
    gated: Whether its terms must be accepted first.
    xet: Whether large files are announced as Xet's.
    """

    def __init__(
        self,
        revisions: Mapping[str, Mapping[str, bytes]] | None = None,
        *,
        token: str | None = None,
        gated: bool = False,
        xet: bool = False,
    ) -> None:
        self.token, self.gated, self.xet = token, gated, xet
        self.lock = threading.Lock()
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}
        self.lfs: dict[str, bytes] = {}
        for name, contents in (revisions or {"main": {}}).items():
            files = {path: File.of(path, data) for path, data in contents.items()}
            self.lfs |= {file.sha256: file.data for file in files.values() if file.large}
            self.refs[name] = self.add(Commit(files))

    def add(self, commit: Commit) -> str:
        self.commits[commit.oid] = commit
        return commit.oid

    def commit(self, revision: str) -> str | None:
        """The hash that a branch, tag or hash stands for."""
        return self.refs.get(revision) or (revision if revision in self.commits else None)

    def write(self, path: str, data: bytes, title: str) -> None:
        """A commit of one file on the main branch, as of somebody else."""
        head = self.commits[self.refs["main"]]
        self.refs["main"] = self.add(Commit({**head.files, path: File.of(path, data)}, head.oid, title))

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """The contents of a revision by path."""
        return {path: file.data for path, file in self.commits[self.refs[revision]].files.items()}

    def history(self, revision: str = "main") -> list[str]:
        """The titles of its commits, the newest first."""
        titles, oid = [], self.refs[revision]
        while oid:
            titles.append(self.commits[oid].title)
            oid = self.commits[oid].parent
        return titles


@dataclass
class Hub:
    """Attributes:
    url: Its address.
    cdn: Another address of it, where large files lie, as on the Hub.
    repos: By id, `org/name`.
    writers: Tokens that may write, and the organisations where.
    readers: Tokens that may only read.
    part_size: LFS files with more bytes are uploaded in parts of so many.
    page_size: Entries of a folder's listing in one answer.
    xet_store: A folder for hf_xet's `local://` storage.
    requests: What was asked of it so far: (method, path).
    authorized: Of these, those that came with a token.
    faults: What breaks, each for the first requests that it fits.
    injected: Faults that broke something.
    parts: Parts of files that are not complete, by file and number.
    """

    url: str = ""
    cdn: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    writers: dict[str, str] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    part_size: int | None = None
    page_size: int = 3
    xet_store: Path | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    authorized: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    injected: list[Fault] = field(default_factory=list)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, request: str) -> Fault | None:
        """The fault that breaks this request; it is used up by one."""
        with self.lock:
            fault = next((fault for fault in self.faults if fault.fits(request)), None)
            if fault is not None:
                fault.times -= 1
                self.injected.append(fault)
            return fault

    def asked(self, method: str, part: str) -> list[str]:
        """Paths of the requests with this method whose path holds `part`."""
        return [path for used, path in self.requests if used == method and part in path]
