"""The ASGI application: routes, and what surrounds them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from m2v_core.errors import InvalidInputError
from m2v_core.model import StaticModel
from m2v_core.pipeline import StaticModelPipeline
from m2v_core.serve.batcher import Batcher
from m2v_core.serve.config import ServeConfig
from m2v_core.serve.errors import RequestError
from m2v_core.serve.gate import Gate, State, json_response, refusal
from m2v_core.serve.metrics import Metrics
from m2v_core.serve.models import Models
from m2v_core.serve.openapi import OPERATIONS, SEARCHING, document, page
from m2v_core.serve.routes import Routes

if TYPE_CHECKING:
    from m2v_core.search import Index

#: Batches of so many characters are computed in the event loop: a thread would cost more than it saves.
SMALL_BATCH = 4096

_PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"}


def create_app(
    models: Mapping[str, StaticModel | StaticModelPipeline],
    config: ServeConfig | None = None,
    *,
    index: Index | None = None,
    api_key: str | None = None,
) -> Starlette:
    """An ASGI application that serves models, for any ASGI server, or as a part of another application.

    Its `app.state.serve` holds a `State`: what is being worked on, and whether the server stops.

    Args:
        models: Models and pipelines, by the names under which clients ask for them. The first one is for requests that
            name none.
        config: Limits of requests; those of the socket are for the command. Default: `ServeConfig()`.
        index: An index of `m2v_core.search`, with a model, for `POST /search`. Nothing may be added to it meanwhile.
        api_key: The key that clients must send, as `Authorization: Bearer KEY`. Default: no key.

    Raises:
        InvalidInputError: There is no model, the index has none, or the key cannot be sent in a header.

    Example:
        >>> from starlette.testclient import TestClient
        >>> client = TestClient(create_app({"tiny": tiny_model()}))
        >>> client.post("/embed", json={"inputs": "good day", "normalize": False}).json()
        [[0.5, 0.5]]
    """
    config = config or ServeConfig()
    if api_key is not None:
        check_key(api_key)
    if index is not None and index.model is None:
        raise InvalidInputError("Expected an index with a model, which embeds queries; found one without.")
    state = State()
    metrics = Metrics(lambda: state.in_progress)
    batcher = Batcher(
        max_texts=config.max_batch,
        small=SMALL_BATCH,
        alone=lambda: state.in_progress == 1,
        observe=metrics.batch,
    )
    searcher = Batcher(max_texts=config.max_batch)
    routes = Routes(
        Models(models), index, config, batcher=batcher, searcher=searcher, metrics=metrics, state=state
    ).all()
    operations = OPERATIONS if index is None else {**OPERATIONS, **SEARCHING}
    content, html = document(operations, key=api_key is not None), page(operations, key=api_key is not None)

    async def openapi(_: Request) -> Response:
        return json_response(content)

    async def docs(_: Request) -> Response:
        return HTMLResponse(html, headers=_PAGE_HEADERS)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        batcher.close()
        searcher.close()

    routes += [Route("/openapi.json", openapi), Route("/docs", docs)]
    gate = Middleware(
        Gate,
        state=state,
        metrics=metrics,
        config=config,
        paths=[route.path for route in routes],
        key=api_key,
    )
    handlers: dict[Any, Any] = {HTTPException: _no_route}
    app = Starlette(routes=routes, middleware=[gate], exception_handlers=handlers, lifespan=lifespan)
    app.state.serve = state
    return app


def check_key(key: str, name: str = "api_key") -> None:
    """Raise `InvalidInputError` unless a key can be sent in a header; the message does not show it."""
    if not key or not all("!" <= sign <= "~" for sign in key):
        found = "an empty one" if not key else "other characters, or spaces"
        raise InvalidInputError(f"{name} should be a key of visible ASCII characters; found {found}.")


async def _no_route(_: Request, error: Exception) -> Response:
    """The response for an unknown path, or another method than that of the path."""
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls it for this class
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another")
        message = f"This path is for the method {allowed}."
    else:
        message = "There is no such path; GET /docs lists them."
    headers = dict(error.headers or {})
    return refusal(RequestError(HTTPStatus(error.status_code), message, code="not_found", headers=headers))
