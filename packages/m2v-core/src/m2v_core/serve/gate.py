"""What surrounds all routes: the key, the limit of requests at a time, counters, and errors that nobody foresaw."""

from __future__ import annotations

import hmac
import json
import logging
import traceback
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from m2v_core.serve.config import ServeConfig
from m2v_core.serve.errors import RequestError
from m2v_core.serve.metrics import Metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("m2v_core.serve")

#: Routes that need no key: they tell nothing of models, texts or traffic.
OPEN = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})

#: The status of a request whose client went away, in counters alone.
_GONE = 499


@dataclass
class State:
    """What a server is doing.

    Attributes:
        stopping: Whether it was told to stop.
        accepted: Number of requests so far.
        answered: Number of those whose answer was sent, or whose client went away before.
        in_progress: Number of those that are being worked on, or wait.
    """

    stopping: bool = False
    accepted: int = 0
    answered: int = 0
    in_progress: int = 0


def json_response(content: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    """A response in JSON; arrays of numpy become lists, and float32 the shortest number that is read as the same."""
    try:
        body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:  # metadata of an index with numbers of 65 bits, lone surrogates or 255 levels
        body = json.dumps(content, separators=(",", ":")).encode()
    return Response(body, status, headers, media_type="application/json")


def refusal(error: RequestError) -> Response:
    """The response to a request that is refused."""
    return json_response(error.content(), error.status, error.headers)


class Gate:
    """ASGI middleware around the routes.

    Neither a text nor the key is ever logged: not the query of an address, not a body, and of an unforeseen error its
    class and its place, but not its message.

    Args:
        app: The routes.
        state: Where requests are counted for the stop.
        metrics: Where they are counted for Prometheus.
        config: The limit of requests at a time, and whether to log a line for each.
        paths: Paths of the routes; all others are counted as one.
        key: The key that clients must send as a bearer token; `None` for none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        state: State,
        metrics: Metrics,
        config: ServeConfig,
        paths: Collection[str],
        key: str | None = None,
    ) -> None:
        self._app, self._state, self._metrics, self._config = app, state, metrics, config
        self._paths = frozenset(paths)
        self._key = None if key is None else _digest(key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 0
        path = scope["path"].removeprefix(scope.get("root_path", ""))  # as a part of another application

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._state.accepted += 1
        self._state.in_progress += 1
        try:
            self._check(scope, path)
            await self._app(scope, receive, counted)
        except RequestError as error:
            await refusal(error)(scope, receive, counted)
        except ClientDisconnect:
            status = _GONE
        except Exception as error:  # noqa: BLE001 - its message may hold a text, so nobody else may log it
            logger.error(
                "%s in %s %s:\n%s",
                type(error).__name__,
                scope["method"],
                self._route(path),
                "".join(traceback.format_tb(error.__traceback__)),
            )
            if not status:
                failed = RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log says where.")
                await refusal(failed)(scope, receive, counted)
        finally:
            seconds = perf_counter() - started
            self._state.answered += bool(status)
            self._state.in_progress -= 1
            self._metrics.request(self._route(path), status, seconds)
            if self._config.log_requests:
                logger.info("%s %s %d %.1f ms", scope["method"], self._route(path), status, seconds * 1e3)

    def _route(self, path: str) -> str:
        return path if path in self._paths else "other"

    def _check(self, scope: Scope, path: str) -> None:
        if path in OPEN:
            return
        if self._key is not None and not hmac.compare_digest(_digest(_bearer(scope)), self._key):
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                "The header Authorization should be Bearer KEY, with the server's key; found none, or another key.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if scope["method"] == "POST" and self._state.in_progress > self._config.max_requests:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"The server works on {self._config.max_requests} requests already. Try again later.",
                code="overloaded",
                headers={"Retry-After": "1"},
            )


def _bearer(scope: Scope) -> bytes:
    """The bearer token of a request, empty for none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = bytes(value).partition(b" ")
            return token.strip() if scheme.lower() == b"bearer" else b""
    return b""


def _digest(key: bytes) -> bytes:
    """A digest, so that the time of a comparison does not depend on the length of the key either."""
    return sha256(key).digest()
