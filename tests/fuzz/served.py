"""Requests that a stranger sends to `m2v serve`: heads and bodies, damaged, for the application in this process."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from conftest import make_model
from m2v_core import InvalidInputError

KEY = "sk-0123456789"
HEAD, BODY = "head.http", "body.json"

#: Seconds of a clock after which an answer counts as missing.
LONGEST = 10.0

_TEXTS = ["good day", "", "a bad sunny day, unable!", "日本 é"]
_BODIES: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": _TEXTS, "model": "org/plain", "encoding_format": "float", "dimensions": 3},
    "/embed": {"inputs": _TEXTS, "normalize": True, "truncate": False, "prompt_name": "query", "dimensions": 2},
    "/predict": {"inputs": [[text] for text in _TEXTS], "raw_scores": False, "truncate": True, "model": "head"},
    "/search": {"query": _TEXTS, "k": 3, "mode": "hybrid", "filter": {"page": [1, "x"]}},
}
_PAGES = ("/v1/models/org/plain", "/metrics")

_APPS: list[Any] = []


def make_requests(root: Path) -> None:
    """A folder for each request: what stands before the body, and the body."""
    for path in (*_BODIES, *_PAGES):
        folder = root / path.strip("/").replace("/", "-")
        folder.mkdir(parents=True)
        body = json.dumps(_BODIES[path]).encode() if path in _BODIES else b""
        lines = [
            f"{'POST' if body else 'GET'} {path} HTTP/1.1",
            "Host: localhost:8000",
            f"Authorization: Bearer {KEY}",
            "Content-Type: application/json; charset=utf-8",
            f"Content-Length: {len(body)}",
            "User-Agent: tests",
        ]
        (folder / HEAD).write_text("\r\n".join(lines))
        (folder / BODY).write_bytes(body)


def use_request(folder: Path, rng: random.Random) -> None:
    """Send a request; a refusal is an `InvalidInputError`, any other status of a fault an AssertionError."""
    scope = scope_of(_content(folder / HEAD))
    body = _content(folder / BODY)
    status, headers, answer = asyncio.run(_answer(scope, body, rng))
    assert status < 500, f"status {status}"
    kind = headers.get(b"content-type", b"").decode()
    if scope["method"] == "HEAD":
        return
    found = json.loads(answer) if kind == "application/json" else None
    if status >= 400:
        assert set(found["error"]) == {"message", "type", "param", "code"}
        raise InvalidInputError(f"status {status}")
    if scope["path"] in _BODIES and scope["path"] != "/search":
        assert b"null" not in answer, "numbers that are not finite"


def scope_of(head: bytes) -> dict[str, Any]:
    """The scope of ASGI for what stands before a body; more leniently than any server would make it."""
    first, *lines = head.split(b"\r\n")
    method, _, rest = first.partition(b" ")
    path, _, query = rest.rpartition(b" ")[0].partition(b"?")
    pairs = (line.partition(b":") for line in lines)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method.decode("latin-1"),
        "scheme": "http",
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.strip().lower(), value.strip()) for name, colon, value in pairs if colon],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 8_000),
    }


def _content(path: Path) -> bytes:
    """The bytes of a file that may be missing, or be none any more."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def _answer(scope: dict[str, Any], body: bytes, rng: random.Random) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of an answer; the body of the request comes in parts, or the client goes away."""
    gone, size = rng.random() < 0.05, max(rng.choice([1, 7, 1_000, 1 << 20]), len(body) // 500)
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    end = {"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False}
    sent: list[dict[str, Any]] = []
    waiting = iter([*messages, end])

    async def receive() -> dict[str, Any]:
        return next(waiting, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    with _logged() as records:
        try:
            await asyncio.wait_for(_app()(scope, receive, send), LONGEST)
        except TimeoutError:
            raise AssertionError("the answer does not come") from None
    assert not records, [record.getMessage() for record in records]
    starts = [message for message in sent if message["type"] == "http.response.start"]
    if gone and not starts:
        return 200, {}, b"[]"
    assert len(starts) == 1, sent
    assert sent[0] is starts[0]
    assert not sent[-1].get("more_body")
    answer = b"".join(message.get("body", b"") for message in sent[1:])
    return starts[0]["status"], dict(starts[0]["headers"]), answer


def _app() -> Any:
    """The application; it is made once."""
    if not _APPS:
        from m2v_core import Layer, MLPHead, StaticModelPipeline
        from m2v_core.search import Index
        from m2v_core.serve import ServeConfig, create_app

        model = make_model(dim=8, max_length=40)
        model.prompts = {"query": "sunny "}
        layer = Layer(np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32), np.zeros(3, np.float32))
        head = StaticModelPipeline(model, MLPHead([layer], "softmax", ["a", "b", "é"]))
        index = Index(model, lexical=True)
        index.add(["good day", "bad", "sunny"], metadata=[{"page": 1}, {"page": "x"}, None])
        limits = ServeConfig(max_texts=50, max_chars=4_000, max_body=30_000, body_seconds=5.0)
        _APPS.append(create_app({"org/plain": model, "head": head}, limits, index=index, api_key=KEY))
    return _APPS[0]


@contextmanager
def _logged() -> Iterator[list[logging.LogRecord]]:
    """What the server logs as an error meanwhile."""
    records, handler, logger = list[logging.LogRecord](), logging.Handler(logging.ERROR), logging.getLogger("m2v_core")
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
