"""The body of a request, read within limits of size and time."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.requests import Request

from m2v_core.serve.config import ServeConfig
from m2v_core.serve.errors import RequestError, bad_request

#: A client that sends too much sees the answer only after it has sent all, so up to so many times the limit is read.
_READ_AWAY = 4

_CLOSE = {"Connection": "close"}


async def read_body(request: Request, limits: ServeConfig) -> bytes:
    """The body of a request; what it holds beyond the limit is never kept.

    Raises:
        RequestError: The body is not announced as JSON, is larger than `max_body` bytes (with or without a
            Content-Length), has a wrong Content-Length, or did not arrive in `body_seconds`.
        ClientDisconnect: The client went away.
    """
    headers = dict(request.scope["headers"])
    _check_type(headers.get(b"content-type", b""))
    declared = _declared(headers.get(b"content-length", b"0"))
    waits = headers.get(b"expect", b"").lower() == b"100-continue"
    if declared > limits.max_body and (waits or declared > limits.max_body * _READ_AWAY):
        raise _too_large(limits)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > limits.max_body:
                    parts.clear()
                    if size > limits.max_body * _READ_AWAY:
                        break
                elif part:
                    parts.append(part)
    except TimeoutError:
        raise RequestError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The body of the request should arrive in {limits.body_seconds:g} seconds; found {size} bytes until then.",
            code="request_timeout",
            headers=_CLOSE,
        ) from None
    if size > limits.max_body:
        raise _too_large(limits)
    return b"".join(parts)


def _check_type(header: bytes) -> None:
    """Only JSON is read; browsers send it to another site only if that site allows it."""
    kind = header.decode("latin-1").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The body should be JSON, with the header Content-Type: application/json; found {kind[:60]!r}.",
            code="unsupported_media_type",
        )


def _declared(header: bytes) -> int:
    if not (header.isdigit() and len(header) < 19):
        raise bad_request("The header Content-Length should be a number of bytes.", code="bad_content_length")
    return int(header)


def _too_large(limits: ServeConfig) -> RequestError:
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body of a request should have at most {limits.max_body} bytes; found more. Send several requests.",
        code="request_too_large",
        headers=_CLOSE,
    )
