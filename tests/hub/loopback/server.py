"""The server: addresses, answers, and breaking them."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub.loopback.faults import Fault
from hub.loopback.reading import info, resolve, tree
from hub.loopback.storage import Hub, Repo
from hub.loopback.writing import batch, branch, commit, complete, create, preupload, upload, validate, verify
from hub.loopback.xet import token as xet_token


class Refusal(Exception):  # noqa: N818 # an answer, not an error of ours
    pass


REPO = r"(?P<repo>[^/]+/[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", rf"api/models/{REPO}(/revision/(?P<revision>[^/]+))?", info),
    ("GET", rf"api/models/{REPO}/tree/(?P<revision>[^/]+)(/(?P<path>.+))?", tree),
    ("GET", rf"api/models/{REPO}/xet-(?P<kind>read|write)-token/(?P<revision>.+)", xet_token),
    ("GET|HEAD", rf"{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    ("POST", rf"api/models/{REPO}/preupload/(?P<revision>[^/]+)", preupload),
    ("POST", rf"api/models/{REPO}/branch/(?P<name>[^/]+)", branch),
    ("POST", rf"api/models/{REPO}/commit/(?P<revision>[^/]+)", commit),
    ("POST", rf"{REPO}\.git/info/lfs/objects/batch", batch),
    ("POST", rf"{REPO}\.git/info/lfs/verify", verify),
    ("POST", "api/repos/create", create),
    ("POST", "api/validate-yaml", validate),
    # the store of large files: its addresses are signed, so there is no token
    ("GET|HEAD", rf"store/{REPO}/(?P<oid>\w+)", lambda call, oid: call.repo.lfs.get(oid) or call.refuse(404, "")),
    ("PUT", rf"store/{REPO}/(?P<oid>\w+)(/(?P<part>\d+))?", upload),
    ("POST", rf"store/{REPO}/(?P<oid>\w+)/complete", complete),
]
WRITES = (preupload, branch, commit, batch, verify)


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serve on a free port of 127.0.0.1 until the block ends."""

    class Handler(_Handler):
        served = hub

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    port = server.server_address[1]
    hub.url, hub.cdn = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request: socket.socket) -> None:
        """Close a connection; one that should break is not said goodbye to, so that the client sees a reset."""
        if struct.unpack("ii", request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))[0]:
            self.close_request(request)
        else:
            super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    """One request: `hub`, `repo`, `token`, `query` and `body` are for the functions of ROUTES."""

    protocol_version = "HTTP/1.1"
    served: Hub
    repo: Repo
    body: bytes

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 # http.server's names

    def log_message(self, format: str, *args: object) -> None:
        pass

    def json(self) -> Any:
        return json.loads(self.body)

    def answer(self, status: int, content: Any, **headers: str) -> None:
        """Decide on the answer: bytes, or anything else as JSON."""
        binary = isinstance(content, bytes)
        kind = "application/octet-stream" if binary else "application/json"
        data = content if binary else json.dumps(content).encode()
        self._answer = (status, data, {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}})

    def refuse(self, status: int, code: str, message: str = "", **headers: str) -> None:
        """Answer with an error, as the Hub does."""
        self.answer(status, {"error": message or code}, X_Error_Code=code, X_Error_Message=message or code, **headers)
        raise Refusal

    def _handle(self) -> None:
        self.hub = self.served
        url = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(url.query).items()}
        raw = url.path.strip("/")
        request = f"{self.command} {unquote(raw)}"
        self.body = self._read_body()
        self.hub.requests.append((self.command, unquote(raw)))
        authorization = self.headers.get("Authorization", "")
        if authorization:
            self.hub.authorized.append((self.headers.get("Host", ""), unquote(raw)))
        self.token = authorization.removeprefix("Bearer ")
        fault = self.hub.next_fault(request)
        if fault is not None:
            if fault.kind == "status":
                self.answer(fault.status, {"error": fault.message}, **fault.headers)
                return self._send(None)
            fault.action()
            time.sleep(fault.seconds)
            if fault.kind == "garble":
                self.body = self.body[:-1] + bytes([self.body[-1] ^ 1])
        with suppress(Refusal):
            self._route(raw)
        return self._send(fault)

    def _route(self, path: str) -> None:
        for methods, pattern, function in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in methods.split("|"):
                named = {name: value and unquote(value) for name, value in match.groupdict().items()}
                if (repo_id := named.pop("repo", None)) is not None:
                    self._find(repo_id, function)
                result = function(self, **named)
                if result is not None:
                    self.answer(200, result)
                return
        self.refuse(404, "", "no such address")

    def _find(self, repo_id: str, function: Callable[..., Any]) -> None:
        self.repo_id = repo_id
        known = {*self.hub.writers, *self.hub.readers, *(repo.token for repo in self.hub.repos.values())}
        if self.token and self.token not in known:
            self.refuse(401, "", "Invalid credentials in Authorization header")
        repo = self.hub.repos.get(repo_id)
        signed = self.path.startswith("/store/")
        if repo is None or (repo.token and self.token != repo.token and not signed):
            self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
        self.repo = repo
        if repo.gated and function is resolve:
            self.refuse(403, "GatedRepo", "Access is restricted")
        if function in WRITES and not self.may_write(repo_id.split("/", maxsplit=1)[0]):
            self.refuse(403, "", "Forbidden: you need write access")

    def may_write(self, organisation: str) -> bool:
        return self.hub.writers.get(self.token) == organisation

    def _send(self, fault: Fault | None) -> None:
        status, data, headers = self._answer
        kind = fault.kind if fault else ""
        if kind == "vanish":
            return self._reset()
        length = len(data)
        if kind == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if kind == "short":
            data = data[: length // 2]
            length = len(data)
        if (spread := self.headers.get("Range")) and status == 200 and self.command == "GET":
            first = int(spread.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {first}-{length - 1}/{length}"
            status, data = 206, data[first:]
            length = len(data)
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return None
        if kind in ("reset", "cut"):
            self.wfile.write(data[: length // 2])
            self.wfile.flush()
            time.sleep(0.05)  # let the client have these first
            self.close_connection = True
            return self._reset() if kind == "reset" else None
        self.wfile.write(data)
        return None

    def _reset(self) -> None:
        """Break the connection: what the client has not read is lost."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)
