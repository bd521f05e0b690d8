"""The OpenAPI document of the server, made of the fields that requests are checked by, and a page that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from m2v_core.__about__ import __version__
from m2v_core.serve.fields import Field
from m2v_core.serve.gate import OPEN
from m2v_core.serve.requests import EMBED, EMBEDDINGS, PREDICT, SEARCH


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A route in the document.

    Attributes:
        summary: What it does.
        answer: What the body of its answer is.
        fields: Fields of its body; `None` for a route without one.
        media_type: Content-Type of its answer.
    """

    summary: str
    answer: str
    fields: Mapping[str, Field] | None = None
    media_type: str = "application/json"


#: The routes by path, in the order of the page. Those with fields are POST, the others GET.
OPERATIONS: Mapping[str, Operation] = {
    "/v1/embeddings": Operation(
        summary="Embed texts (OpenAI)",
        answer='{"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [...]}, ...], "model": '
        'NAME, "usage": {"prompt_tokens": N, "total_tokens": N}}',
        fields=EMBEDDINGS,
    ),
    "/v1/models": Operation(
        summary="The models (OpenAI)",
        answer='{"object": "list", "data": [{"id": NAME, "object": "model", "created": SECONDS, "owned_by": "m2v"}, '
        "...]}",
    ),
    "/v1/models/{name}": Operation(
        summary="One model (OpenAI)",
        answer='{"id": NAME, "object": "model", "created": SECONDS, "owned_by": "m2v"}',
    ),
    "/embed": Operation(
        summary="Embed texts (text-embeddings-inference)", answer="[[...], ...], a vector for each text", fields=EMBED
    ),
    "/predict": Operation(
        summary="Predict labels (text-embeddings-inference)",
        answer='[{"score": P, "label": NAME}, ...] with the best label first, for one text; a list of such lists for a '
        "list of texts",
        fields=PREDICT,
    ),
    "/info": Operation(
        summary="The first model, and limits (text-embeddings-inference)",
        answer='{"model_id": NAME, "model_dtype": DTYPE, "model_type": {...}, "max_input_length": N, ...}',
    ),
    "/healthz": Operation(summary="Whether the process answers", answer='{"status": "ok"}'),
    "/readyz": Operation(
        summary="Whether the server takes requests: 200, or 503 while it stops", answer='{"status": "ready"}'
    ),
    "/metrics": Operation(summary="Counters for Prometheus", answer="Prometheus' text format", media_type="text/plain"),
}

#: The route of a server with an index.
SEARCHING: Mapping[str, Operation] = {
    "/search": Operation(
        summary="Search the index",
        answer='{"hits": [{"id": ID, "score": S, "metadata": ...}, ...]}, the best hit first, for one query; a list '
        "of such lists for a list of queries",
        fields=SEARCH,
    )
}

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def document(operations: Mapping[str, Operation], *, key: bool) -> dict[str, Any]:
    """The OpenAPI document, version 3.1; `key` says whether requests need one.

    Example:
        >>> sorted(document(OPERATIONS, key=False)["paths"]["/embed"]["post"])
        ['operationId', 'requestBody', 'responses', 'security', 'summary']
    """
    schemes = {"key": {"type": "http", "scheme": "bearer"}} if key else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "m2v serve", "version": __version__, "description": "Embeddings from static models."},
        "paths": {path: {_method(one): _operation(path, one, key)} for path, one in operations.items()},
        "components": {"schemas": {"Error": _ERROR}, "securitySchemes": schemes},
    }


def _method(operation: Operation) -> str:
    return "get" if operation.fields is None else "post"


def _operation(path: str, operation: Operation, key: bool) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    found: dict[str, Any] = {
        "operationId": path.strip("/").replace("/", "_").replace("{", "").replace("}", ""),
        "summary": operation.summary,
        "security": [{"key": []}] if key and path not in OPEN else [],
        "responses": {
            "200": {"description": operation.answer, "content": {operation.media_type: {}}},
            "default": {"description": "An error", "content": error},
        },
    }
    if "{name}" in path:
        found["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
    if operation.fields is not None:
        schema = {
            "type": "object",
            "required": [name for name, field in operation.fields.items() if field.required],
            "properties": {
                name: {"description": field.description, **field.schema} for name, field in operation.fields.items()
            },
            "additionalProperties": False,
        }
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>m2v serve</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
code {{ font-size: 90%; }} table {{ border-collapse: collapse; }}
td {{ padding: .2rem .8rem .2rem 0; vertical-align: top; }}
:root {{ color-scheme: light dark; }}
</style></head><body>
<h1>m2v serve {version}</h1>
<p>{key} The document for programs is <a href="openapi.json">openapi.json</a>.</p>
{routes}
</body></html>
"""


def page(operations: Mapping[str, Operation], *, key: bool) -> str:
    """The document as a page of plain HTML, which loads nothing from anywhere.

    Example:
        >>> "<h2>POST <code>/embed</code></h2>" in page(OPERATIONS, key=False)
        True
    """
    routes = "\n".join(_section(path, operation) for path, operation in operations.items())
    needed = "Requests need the header <code>Authorization: Bearer KEY</code>." if key else "Requests need no key."
    return _PAGE.format(version=escape(__version__), key=needed, routes=routes)


def _section(path: str, operation: Operation) -> str:
    lines = [
        f"<h2>{_method(operation).upper()} <code>{escape(path)}</code></h2>",
        f"<p>{escape(operation.summary)}. The answer: <code>{escape(operation.answer)}</code></p>",
    ]
    if operation.fields:
        rows = "".join(
            f"<tr><td><code>{escape(name)}</code></td><td>{escape(field.description)}{_default(field)}</td></tr>"
            for name, field in operation.fields.items()
        )
        lines.append(f"<table>{rows}</table>")
    return "\n".join(lines)


def _default(field: Field) -> str:
    if field.required:
        return " (required)"
    return "" if field.default is None else f" (default: {escape(str(field.default).lower())})"
