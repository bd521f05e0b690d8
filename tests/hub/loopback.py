"""A Hub on loopback: as much of the Hugging Face Hub as downloading asks for, over real HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repo:
    """Attributes:
    revisions: A branch, tag or commit -> its files, by path.
    token: If set, whoever comes without it is told that there is no such repository.
    gated: Whether its terms must be accepted first.
    """

    revisions: dict[str, dict[str, bytes]]
    token: str | None = None
    gated: bool = False

    def commit(self, revision: str) -> str:
        content = b"".join(path.encode() + data for path, data in sorted(self.revisions[revision].items()))
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()

    def files(self, revision: str) -> dict[str, bytes] | None:
        if revision in self.revisions:
            return self.revisions[revision]
        return next((files for name, files in self.revisions.items() if self.commit(name) == revision), None)

    def commit_of(self, files: dict[str, bytes]) -> str:
        return next(self.commit(name) for name, known in self.revisions.items() if known is files)


@dataclass
class Hub:
    """Attributes:
    url: Its address.
    repos: By id, `org/name`.
    requests: What was asked of it so far: (method, path).
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serve on a free port of 127.0.0.1 until the block ends."""

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Hub

    def do_GET(self) -> None:
        self._handle(body=True)

    def do_HEAD(self) -> None:
        self._handle(body=False)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _handle(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.served.requests.append((self.command, path))
        parts = path.split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            repo_id, kind, rest = "/".join(parts[2:4]), parts[4] if len(parts) > 4 else "revision", parts[5:]
        elif len(parts) >= 5 and parts[2] == "resolve":
            repo_id, kind, rest = "/".join(parts[:2]), "resolve", parts[3:]
        else:
            return self._answer(404, {"error": "no such address"}, body=body)
        repo = self.served.repos.get(repo_id)
        if repo is None or (repo.token and self.headers.get("Authorization") != f"Bearer {repo.token}"):
            return self._refuse(401, "RepoNotFound", body=body)
        if repo.gated and kind != "revision":
            return self._refuse(403, "GatedRepo", body=body)
        revision = rest[0] if rest else "main"
        files = repo.files(revision)
        if files is None:
            return self._refuse(404, "RevisionNotFound", body=body)
        commit = repo.commit_of(files)
        if kind == "resolve":
            return self._file(files, "/".join(rest[1:]), commit, body=body)
        if kind == "tree":
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324
                for name, data in sorted(files.items())
            ]
            return self._answer(200, tree, body=body)
        siblings = [{"rfilename": name} for name in sorted(files)]
        info = {"id": repo_id, "modelId": repo_id, "sha": commit, "siblings": siblings, "private": bool(repo.token)}
        return self._answer(200, info, body=body)

    def _file(self, files: dict[str, bytes], name: str, commit: str, *, body: bool) -> None:
        if name not in files:
            return self._refuse(404, "EntryNotFound", body=body, commit=commit)
        data = files[name]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        headers = {"ETag": etag, "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        return self._send(200, data, "application/octet-stream", headers, body=body)

    def _refuse(self, status: int, code: str, *, body: bool, commit: str | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": code}
        if commit:
            headers["X-Repo-Commit"] = commit
        self._send(status, json.dumps({"error": code}).encode(), "application/json", headers, body=body)

    def _answer(self, status: int, content: Any, *, body: bool) -> None:
        self._send(status, json.dumps(content).encode(), "application/json", {}, body=body)

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)
